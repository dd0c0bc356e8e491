"""`benchmarks/gpu.py` without a GPU: its logic on tiny networks, and nothing that could pass for a figure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from earwitness.errors import InputError
from earwitness.operations.plan_rates import read_rates

pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]


def test_the_gpu_benchmark_runs_and_says_what_it_did_not_measure(tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "gpu.json"
    command = [
        sys.executable,
        "benchmarks/gpu.py",
        "--device",
        "cpu",
        "--tiny",
        "--front-ends",
        "whisper-tiny",
    ]
    done = subprocess.run([*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    scoring, *training = json.loads(out.read_text())["gpu"]
    assert set(scoring["ways"]) == {"autocast", "weights"}
    assert "graph: needs a GPU" in scoring["not_measured"]
    assert [row["recompute"] for row in training] == [False, True]
    assert all(row["times_real_time"] > 0 and not row["measured"] for row in (scoring, *training))
    with pytest.raises(InputError, match="no rate"):  # and nobody plans with it
        read_rates(out)


def test_a_batch_is_doubled_until_it_takes_its_share_of_the_memory(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from gpu import largest  # type: ignore[import-not-found]

    assert largest(lambda batch: batch / 100, 4_096) == 64  # 128 would be more than all
    assert largest(lambda batch: None if batch > 8 else 0.1, 4_096) == 8
    assert largest(lambda batch: 0.0, 100, first=2) == 64
    assert largest(lambda batch: None, 100) == 0
    assert largest(lambda batch: 0.81, 100) == 0
