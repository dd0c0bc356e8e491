"""Speed that must not be lost: the embedded model against a product of matrices, timed in turn on one core.

A ratio, never a time: both slow down alike on a slow or busy machine.
"""

import numpy as np

from earwitness.decision.bundle import GRAPH, find_bundle
from earwitness.operations.bench_apart import apart
from earwitness.operations.bench_audio import speech_of
from earwitness.operations.bench_work import gflop_per_s

NORMAL = 0.5  # share of NumPy's product in float32 that ONNX Runtime reaches (AVX-512, Zen 4)
WORK = 1.18  # 10^9 operations a second of audio
ALLOWED = 2.5  # times worse; builds of BLAS differ by two


def test_the_embedded_model_is_as_fast_as_it_was(tmp_path):
    clips, graph = tmp_path / "clips.npy", find_bundle(None) / GRAPH
    np.save(clips, speech_of(None, 12.0).reshape(3, 64_000))
    found = apart(
        "bench_engines:timed",
        engine="onnx",
        precision="fp32",
        graph=str(graph),
        weights="",
        card="",
        clips=str(clips),
        seconds=3.0,
        numpy_only=True,
    )
    share = WORK * found["times_real_time_a_core"] / found["gemm_gflop_s"]
    assert share > NORMAL / ALLOWED, f"{share:.2f} of a product's speed, where {NORMAL} is normal"


def test_the_embedded_model_is_no_more_work_than_it_was():
    assert gflop_per_s(str(find_bundle(None) / GRAPH), 4.0) < 1.05 * WORK
