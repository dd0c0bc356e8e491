"""The README's two commands on a fresh clone in fresh environments, as someone new runs them.

    python benchmarks/first_run.py

Measures command one (seconds, installed size, whether torch came along) and command two (seconds,
tests passed). Writes `benchmarks/results/first_run.json`. pip's cache is switched off, so the
download counts.
"""

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run(command: str, folder: Path) -> tuple[float, str]:
    """Seconds and output of a shell command that must succeed."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment["PIP_NO_CACHE_DIR"] = "1"
    started = time.monotonic()
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - started, done.stdout


def main() -> None:
    text = (ROOT / "README.md").read_text()
    first, second = (
        line for line in text.splitlines() if line.startswith(("python3 -m venv", ".venv/bin/pip"))
    )
    results: dict[str, Any] = {"commands": [first, second], "processors": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "earwitness"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        seconds, output = run(first, folder)
        packages = folder / ".venv/lib"
        size = sum(f.stat().st_size for f in packages.rglob("*") if f.is_file() and not f.is_symlink())
        results["first"] = {
            "seconds": round(seconds, 1),
            "installed_mb": round(size / 1e6, 1),
            "torch": any(packages.glob("*/site-packages/torch")),
            "verdicts": output.strip().splitlines()[-1],
        }
        print(results["first"], flush=True)
        seconds, output = run(second, folder)
        passed = re.findall(r"\d+ passed.*", output)
        results["second"] = {"seconds": round(seconds, 1), "tests": passed[-1] if passed else output[-300:]}
        print(results["second"])
    (Path(__file__).parent / "results" / "first_run.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
