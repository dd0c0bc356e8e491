"""`earwitness models` as a user runs it, on a tiny detector in the authors' layout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

from fairseq_layout import Layout, detector_state, random_state  # noqa: E402

TINY = Layout("hubert", 48, 1, 4, 64, 32, False, "layer", True, 16, 4, final_dim=16)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    generator = torch.Generator().manual_seed(4)
    path = tmp_path_factory.mktemp("file") / "hubert.ckpt"
    torch.save(detector_state(random_state(TINY, generator), generator, 48), path)
    return path


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "EARWITNESS_MODELS": str(home)}
    command = [sys.executable, "-m", "earwitness.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_import_list_show_export_and_scan(home, checkpoint, samples):
    done = run(home, "models", "import", str(checkpoint), "--name", "tiny")
    assert done.returncode == 2
    assert "--heads" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run(home, "models", "import", str(checkpoint), "--name", "tiny", "--heads", "4")
    assert done.returncode == 0, done.stderr
    assert "hubert 1 x 48" in done.stdout
    assert "not for commercial use" in done.stdout

    rows = [json.loads(line) for line in run(home, "models", "list", "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == ["embedded", "tiny"]
    assert rows[1]["engines"] == ["torch"]
    assert "tiny" in run(home, "models", "list").stdout
    card = json.loads(run(home, "models", "show", "tiny", "--json").stdout)
    assert card["source"]["layout"] == "AntiDeepfake"
    assert "no: scores are raw" in run(home, "models", "show", "tiny").stdout

    clip = str(samples / "genuine-vctk.mp3")
    refused = run(home, "scan", clip, "--model", "tiny", "--engine", "onnx")
    assert refused.returncode == 2
    assert "earwitness models export tiny" in refused.stderr
    first = json.loads(run(home, "scan", clip, "--model", "tiny", "--json").stdout)
    assert first["calibrated"] is False
    assert first["llr"] == first["score"]
    assert any("not calibrated" in warning for warning in first["warnings"])

    done = run(home, "models", "export", "tiny")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (home / "tiny").iterdir()} == {
        "model.json",
        "model.onnx",
        "model.safetensors",
    }
    second = json.loads(run(home, "scan", clip, "--model", "tiny", "--engine", "onnx", "--json").stdout)
    assert second["llr"] == pytest.approx(first["llr"], abs=1e-3)
    assert second["model"] == first["model"]
    assert second["verdict"] == first["verdict"]
    table = run(home, "scan", clip, "--model", "tiny")
    assert table.stdout.count("not calibrated") == 0
    assert table.stderr.count("not calibrated") == 1  # said once, not for each file


def test_without_torch_the_extra_is_named_and_an_exported_model_scans(home, checkpoint, samples):
    for name, arguments in {
        "import": ["import", str(checkpoint), "--name", "other"],
        "export": ["export", "tiny"],
    }.items():
        code = (
            "import sys; sys.modules['torch'] = None; import earwitness.cli; "
            f"sys.argv = {['earwitness', 'models', *arguments]!r}; earwitness.cli.app()"
        )
        environment = {**os.environ, "EARWITNESS_MODELS": str(home)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 2, name
        assert "pip install 'earwitness[train]'" in done.stderr
        assert done.stderr.count("\n") == 1
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; import earwitness; "
        f"v = earwitness.scan({str(samples / 'genuine-vctk.mp3')!r}, model={str(home / 'tiny')!r}); "
        "assert v.llr is not None, v"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_damaged_bundles_are_listed_as_such_and_do_not_hide_others(home):
    (home / "broken").mkdir()
    (home / "broken" / "model.json").write_text("{")
    done = run(home, "models", "list")
    assert done.returncode == 0
    assert "embedded" in done.stdout
    assert "broken: damaged" in done.stderr
    (home / "broken" / "model.json").unlink()
    (home / "broken").rmdir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models", "show", "nothing"], "neither a bundle's folder nor one of"),
        (["models", "export", "embedded"], "has its graph already"),
        (["models", "import", "missing.ckpt", "--name", "x"], "cannot be read"),
        (["scan", "x.wav", "--engine", "tpu"], "one of auto, onnx, openvino, torch"),
        (["scan", "x.wav", "--engine", "torch"], "has a graph only"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(home, arguments, message):
    done = run(home, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
