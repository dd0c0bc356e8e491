"""The README's commands run, its figures are those measured, its file map is true."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
NOT_RUN_HERE = ("pip install",)  # benchmarks/first_run.py runs these in a fresh environment


def blocks(language):
    """Bodies of the fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.S | re.M)
    return [body for name, body in found if name == language]


def commands():
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line and not any(word in line for word in NOT_RUN_HERE)]


@pytest.mark.parametrize("command", commands())
def test_commands_of_the_readme_run(command, tmp_path):
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    (tmp_path / "earwitness").write_text(f'#!/bin/sh\nexec {sys.executable} -m earwitness.cli "$@"\n')
    (tmp_path / "earwitness").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert done.returncode in (0, 3 if "--fail-on" in command else 0), done.stderr.decode()
    assert done.stdout


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_runs(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no-speech" in done.stdout


def listed() -> list[str]:
    """Paths of the file map, from its indentation."""
    (tree,) = (block for block in blocks("") if block.startswith("README.md"))
    paths, folders = [], []
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders[depth:] = [name]
        paths.append("".join(folders))
    return paths


def test_the_file_map_is_true_and_complete():
    paths = listed()
    for path in paths:
        assert (ROOT / path).exists(), f"{path} is listed and not there"
    named = {Path(path) for path in paths}
    for file in (ROOT / "src").rglob("*.py"):
        relative = file.relative_to(ROOT)
        covered = relative in named or relative.name == "__init__.py" or relative.parent in named
        assert covered, f"{relative} is not in the file map"
        if relative.parent.name in ("audio", "features", "decision", "operations"):
            assert relative in named or relative.name == "__init__.py", f"{relative} is not in the file map"


def test_figures_are_those_measured():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.figures(ROOT / "benchmarks" / "results") in README


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_sample_is_named_in_the_notice():
    notice = (ROOT / "NOTICE.md").read_text()
    for sample in (ROOT / "samples").iterdir():
        assert f"| {sample.name} |" in notice
    assert sum(f.stat().st_size for f in (ROOT / "samples").iterdir()) <= 2e6


def test_every_error_code_is_documented():
    records = (ROOT / "docs" / "records.md").read_text()
    for file in (ROOT / "src").rglob("*.py"):
        for code in re.findall(r'(?:InputError|Failure)\(\s*"([a-z-]+)"', file.read_text()):
            if code not in (
                "usage",
                "bad-journal",
                "unwritable",
                "bad-scores",
            ):  # of the command, not of a file
                assert f"`{code}`" in records, code
