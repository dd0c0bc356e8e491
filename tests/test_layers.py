"""The package reads as data flows: a stage imports only stages to its left."""

import ast
import subprocess
import sys
from pathlib import Path

import earwitness

SOURCE = Path(earwitness.__file__).parent
STAGES = ["audio", "features", "decision", "evidence", "operations", "service"]
COMMON = {"types", "errors"}
INSTRUMENTS = {"metrics", "training"}


def imported(file: Path) -> set[str]:
    """First-level parts of earwitness that a file imports, wherever in it."""
    parts = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        parts |= {name.split(".")[1] for name in names if name.startswith("earwitness.")}
    return parts


def files_of(part: str) -> list[Path]:
    folder = SOURCE / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{part}.py"]


def test_stages_import_only_to_their_left():
    for i, stage in enumerate(STAGES):
        allowed = set(STAGES[: i + 1]) | COMMON | {"metrics"}
        for file in files_of(stage):
            if file.exists():
                assert imported(file) <= allowed, f"{file.name} imports {imported(file) - allowed}"


def test_metrics_and_common_parts_stand_alone():
    for part in ("metrics", "types", "errors"):
        for file in files_of(part):
            assert imported(file) <= COMMON | {"metrics"}


def test_every_part_of_the_package_is_known_to_this_test():
    parts = {p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or p.is_dir()}
    parts -= {"__init__", "__pycache__", "models"}
    assert parts <= set(STAGES) | COMMON | INSTRUMENTS | {"cli"}


def test_importing_the_package_and_the_command_loads_nothing_heavy():
    code = (
        "import sys, earwitness, earwitness.cli; "
        "heavy = {'numpy', 'torch', 'av', 'onnxruntime', 'rich.progress', 'soxr'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_scanning_needs_no_torch(samples):
    code = (
        "import sys; sys.modules['torch'] = None; import earwitness; "
        f"v = earwitness.scan({str(samples / 'genuine-ljspeech.flac')!r}); assert v.llr is not None, v"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_are_pinned():
    assert earwitness.__all__ == [
        "EarwitnessError",
        "InputError",
        "ModelError",
        "ScanOptions",
        "Verdict",
        "load_detector",
        "scan",
        "scan_many",
        "to_record",
    ]
    for name in earwitness.__all__:
        assert getattr(earwitness, name).__doc__


def test_every_module_says_what_it_is():
    for file in SOURCE.rglob("*.py"):
        text = file.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{file} has no docstring"
