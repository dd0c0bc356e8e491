"""What is deployed, as far as that can be checked without an engine for containers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def instructions():
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text())
    return [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_has_no_root_and_copies_what_is_there():
    lines = instructions()
    users = [value for name, value in lines if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    assert [name for name, _ in lines].index("USER") < [name for name, _ in lines].index("ENTRYPOINT")
    for name, value in lines:
        if name == "COPY" and "--from" not in value:
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
    extras = re.search(r"\[([a-z,]+)\]", " ".join(value for _, value in lines))
    assert extras
    project = (ROOT / "pyproject.toml").read_text()
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", project, re.M), extra


def test_what_the_image_may_see_holds_no_more_than_it_copies():
    seen = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert seen[0] == "*"
    assert "!src" in seen


def test_the_compose_file_has_no_password_and_takes_rights_away():
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    service = found["services"]["earwitness"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for one in found["services"].values():
        for value in one["environment"].values():
            assert "PASSWORD:?" in value or not re.search("pass|secret", str(value), re.I)


def commands():
    """Arguments of `earwitness` in every file that starts it."""
    image = next(value for name, value in instructions() if name == "CMD")
    yield yaml.safe_load(image)
    yield yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["earwitness"]["command"]
    unit = re.search(r"^ExecStart=\S+ (.*)$", (DEPLOY / "earwitness.service").read_text(), re.M)
    assert unit
    yield unit[1].split()
    chart = re.search(r"args: (\[.*\])", (DEPLOY / "helm" / "templates" / "earwitness.yaml").read_text())
    assert chart
    yield yaml.safe_load(chart[1].replace('"{{ .Values.keep }}"', "30d"))


def test_every_option_that_is_given_is_one():
    from typer.testing import CliRunner

    from earwitness.cli import app

    known = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for command in commands():
        assert command[0] == "serve"
        for word in command[1:]:
            assert not word.startswith("--") or f"{word} " in known, word


def test_the_chart_names_values_that_are_there():
    values = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text())
    template = (DEPLOY / "helm" / "templates" / "earwitness.yaml").read_text()
    for path in re.findall(r"\.Values\.([a-zA-Z.]+)", template):
        here = values
        for part in path.split("."):
            here = here[part]
    filled = re.sub(r"{{[^}]*}}", "x", template)
    kinds = [one["kind"] for one in yaml.safe_load_all(filled)]
    assert kinds == ["PersistentVolumeClaim", "Deployment", "Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
def test_the_unit_is_one(tmp_path):
    unit = tmp_path / "earwitness.service"
    text = (DEPLOY / "earwitness.service").read_text()
    unit.write_text(text.replace("/opt/earwitness/bin/earwitness", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if "earwitness.service" in line]
    assert said == [], said
