"""`earwitness bench`: its arithmetic against closed forms, what it writes, and a quick run."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.io import load
from earwitness.audio.quality import QualityMeter
from earwitness.decision.bundle import find_bundle
from earwitness.errors import InputError
from earwitness.operations import bench as benching
from earwitness.operations import bench_engines, bench_knowledge, bench_scan, bench_show
from earwitness.operations.bench_apart import Unmeasured, apart, cpu_times, importing_s
from earwitness.operations.bench_audio import FORMATS, made_voice, speech_of, write_format, write_wav
from earwitness.operations.bench_fits import exponent, line
from earwitness.operations.bench_setup import Setup
from earwitness.operations.bench_stages import ahead
from earwitness.operations.bench_work import SIDE, gflop_per_s, multiplications, products
from earwitness.operations.plan_rates import read_rates

MACHINE = {"name": "2 cores of a clock", "cores": 2}


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 14), st.integers(0, 10_000), st.floats(-2, 2))
def test_slopes_and_intervals_are_those_of_scipy(count, seed, slope):
    from scipy import stats

    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.uniform(0.1, 2, count))
    y = slope * x + rng.normal(0, 1, count)
    found, half = line(x, y)
    truth: Any = stats.linregress(x, y)
    assert found == pytest.approx(truth.slope)
    wide = stats.t.ppf(0.975, count - 2) if count <= 12 else 1.96
    assert half == pytest.approx(truth.stderr * wide, rel=1e-3)


def test_a_power_is_found():
    x = [10, 60, 600, 3600]
    found = exponent(x, [3 * value**1.1 for value in x])
    assert found == {"exponent": pytest.approx(1.1), "within": pytest.approx(0, abs=1e-6)}
    assert exponent([1, 2], [1, 2]) is None
    assert exponent([2, 2, 2], [1, 2, 3]) is None


def test_lengths_are_measured_again_beside_the_longest(monkeypatch, tmp_path):
    seen = []

    def scanned(_, file, model, alone):
        size = Path(file).stat().st_size
        seen.append(round((size - 44) / 32_000))
        seconds = 1e-3 * seen[-1] * len(seen)  # ever slower
        return {"scan_s": seconds, "cpu_s": seconds, "memory_mib": 100.0}

    monkeypatch.setattr(bench_scan, "apart", scanned)
    monkeypatch.setattr(bench_scan, "LENGTHS", (1.0, 10.0, 700.0, 900.0))
    setup: Any = SimpleNamespace(audio=None, quick=False, work=tmp_path, folder=tmp_path)
    found: dict[str, Any] = {}
    bench_scan.measure_length(setup, found, lambda _: None)
    assert seen == [1, 10, 700, 1, 10, 900, 1, 10]
    rows = found["length"]["rows"]
    assert [row["scan_s"] for row in rows] == pytest.approx([4e-3, 50e-3, 2.1, 5.4])
    assert [row["times"] for row in rows] == [3, 3, 1, 1]
    assert found["length"]["wall"] == exponent([10, 700, 900], [50e-3, 2.1, 5.4])


def test_growth_of_time_and_memory():
    rows = [
        {"audio_s": s, "scan_s": s / 30, "cpu_s": s / 20, "memory_mib": 200 + s / 360} for s in (10, 60, 600)
    ]
    rows += [{"audio_s": 3600.0, "scan_s": 120.0, "cpu_s": 180.0, "memory_mib": 210.0}]
    rows += [
        {"audio_s": 1.0, "scan_s": 1.0, "cpu_s": 1.0, "memory_mib": 1.0},
        {"audio_s": 14_400.0, "why": "no"},
    ]
    rows.sort(key=lambda row: row["audio_s"])
    found = bench_scan.growth(rows)
    assert found["wall"]["exponent"] == pytest.approx(1)  # a second of audio is not fitted
    assert found["memory_grows_mib"] == pytest.approx(10 - 60 / 360)
    assert found["memory_grows_mib_an_hour"] == pytest.approx(10)
    assert bench_scan.growth([]) == {
        "wall": None,
        "cpu": None,
        "memory_grows_mib": None,
        "memory_grows_mib_an_hour": None,
    }


def test_speed_ups_are_of_the_same_round():
    spent = {1: [10.0, 20.0, 12.0], 2: [5.0, 10.0, 7.0]}
    one, two = bench_scan.speed_ups(100, 2.0, spent)
    assert (one["speed_up"], one["seconds"], two["seconds"]) == (1, 12, 7)
    assert two["speed_up"] == 2  # of 2, 2 and 12/7
    assert two["speed_up_beyond_start"] == pytest.approx(18 / 8)
    assert two["files_per_s"] == pytest.approx(100 / 7)


@pytest.mark.parametrize(
    ("processors", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_worker_counts(processors, counts):
    assert bench_scan.worker_counts(processors) == counts


def test_each_worker_gets_as_many_groups():
    for files in (1, 30, 399, 10_000):
        assert bench_scan.even(files, 16) % 16 == 0
        assert 16 <= bench_scan.even(files, 16) <= 400
    assert bench_scan.even(1, 1_024) == 1_024


def test_decoding_keeps_ahead_or_not():
    found = ahead(100, 100, 25)
    assert found == {"feeds_cores": pytest.approx(2), "keeps_ahead": True}
    assert ahead(40, 40, 25) == {"feeds_cores": pytest.approx(0.8), "keeps_ahead": False}


@pytest.mark.parametrize(
    ("kind", "takes", "gives", "count"),
    [
        ("MatMul", [[2, 3, 4], [4, 5]], [2, 3, 5], 2 * 3 * 4 * 5),
        ("Gemm", [[4, 3], [4, 5]], [3, 5], 3 * 4 * 5),  # the first transposed
        ("Conv", [[1, 8, 100], [16, 4, 3]], [1, 16, 98], 16 * 98 * 4 * 3),  # two groups
        ("ConvTranspose", [[1, 8, 10], [8, 4, 3]], [1, 4, 12], 8 * 10 * 4 * 3),
        ("Einsum", [[1, 20, 30], [20, 7]], [1, 7, 30], 20 * 30 * 7),
        ("Einsum", [[5, 20, 30], [5, 30, 7]], [5, 20, 7], 5 * 20 * 30 * 7),
        ("LSTM", [[9, 2, 6], [1, 12, 6], [1, 12, 3]], [9, 1, 2, 3], 9 * 2 * 12 * (6 + 3)),
        ("Add", [[2, 2], [2, 2]], [2, 2], 0),
        ("Einsum", [[2, 2]], [2], 0),
    ],
)
def test_multiplications_of_a_node(kind, takes, gives, count):
    event = {
        "args": {
            "op_name": kind,
            "input_type_shape": [{"float": shape} for shape in takes],
            "output_type_shape": [{"float": gives}],
        }
    }
    assert multiplications(event) == pytest.approx(count)


def test_work_of_a_graph_that_is_counted_by_hand(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((64, 1, 400), np.float32), "w")
    ports = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["b", "n"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"]),
    ]
    axis = numpy_helper.from_array(np.array([1]), "axis")
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axis"], ["x"]),
        helper.make_node("Conv", ["x", "w"], ["score"], strides=[160]),
        helper.make_node("Identity", ["lengths"], ["embedding"]),
    ]
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, None),
        helper.make_tensor_value_info("embedding", TensorProto.INT64, None),
    ]
    graph = helper.make_graph(nodes, "g", ports, outputs, [weights, axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "g.onnx")
    frames = (32_000 - 400) // 160 + 1
    assert gflop_per_s(str(tmp_path / "g.onnx"), 2.0) == pytest.approx(2e-9 * frames * 64 * 400 / 2)


def test_products_are_products():
    for precision in ("fp32", "bf16", "int8"):
        for multiply in products(precision):
            found = multiply()
            found = found if isinstance(found, np.ndarray) else next(iter(found.values()))
            rng = np.random.default_rng(0)
            left, right = (rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32) for _ in range(2))
            assert np.corrcoef(found[7], left[7] @ right)[0, 1] > 0.99
    assert products("bf16", numpy_only=True) == []


def test_the_made_voice_is_speech_to_the_check():
    audio = made_voice(30)
    assert np.array_equal(audio, made_voice(30))
    assert np.abs(audio).max() < 1
    meter = QualityMeter()
    meter.update(audio)
    assert meter.finish().speech_s > 15


def test_formats_are_written_as_they_are_named(tmp_path, speech):
    for kind in FORMATS:
        write_format(tmp_path / f"a.{kind}", speech)
        found = load(tmp_path / f"a.{kind}")
        size = min(len(found), len(speech))
        assert abs(len(found) - len(speech)) < 3_000
        a, b = (np.fft.rfft(audio[:size], 2 * size) for audio in (speech, found))
        alike = np.fft.irfft(a * b.conj()) / np.linalg.norm(speech[:size]) / np.linalg.norm(found[:size])
        assert alike.max() > 0.9  # at whatever delay the encoder has


def test_recordings_of_a_folder_are_repeated(tmp_path, samples):
    audio = speech_of(samples, 100)
    assert audio.shape == (1_600_000,)
    assert audio.dtype == np.float32
    with pytest.raises(InputError, match="holds no second"):
        speech_of(tmp_path, 5)
    write_wav(tmp_path / "a.wav", audio[:16_000], 3.5)
    assert np.allclose(load(tmp_path / "a.wav"), np.resize(audio[:16_000], 56_000), atol=1e-3)


def test_imports_are_summed():
    report = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       100 |        100 |   a\nimport time:       250 |        350 | b\nother\n"
    )
    assert importing_s(report) == pytest.approx(350e-6)


def test_calls_are_timed_in_turn():
    order = []
    spent = cpu_times([lambda: order.append("a"), lambda: order.append("b")], 0.0, least=4)
    assert "".join(order) == "abababab"
    assert [len(times) for times in spent] == [4, 4]


def test_a_measurement_apart_answers_or_says_why(tmp_path):
    assert apart("bench_audio:write_wav", path=str(tmp_path / "x.wav"), audio=[0.0]) is None
    with pytest.raises(Unmeasured, match=r"holds no model\.json"):
        apart("bench_knowledge:embedding_size", model=str(tmp_path))
    with pytest.raises(Unmeasured, match="AttributeError"):
        apart("bench_knowledge:nothing")


def test_what_is_too_large_is_not_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_knowledge, "free_memory_mib", lambda: 1_000.0)
    assert bench_knowledge.too_large(1_000, 394, tmp_path) == ""
    assert "memory" in bench_knowledge.too_large(1_000_000, 394, tmp_path)


def test_a_knowledge_base_is_asked(tmp_path):
    assert bench_knowledge.fill(str(tmp_path / "k.db"), 300, 16) > 0
    found = bench_knowledge.ask(str(tmp_path / "k.db"), 16)
    assert 0 < found["query_ms"] <= found["p95_ms"]


def test_sections_that_fail_do_not_end_the_bench(tmp_path, monkeypatch):
    def fails(setup, found, step):
        found["engines"] = [
            {"model": "m", "engine": "onnx", "precision": "fp32", "times_real_time_a_core": 9.0}
        ]
        raise Unmeasured(f"{tmp_path}/x went away")

    monkeypatch.setitem(benching.SECTIONS, "engines", fails)
    monkeypatch.setitem(benching.SECTIONS, "start", lambda setup, found, step: found.update(start=1))
    found, done = {}, []
    benching.bench(Setup(tmp_path, "m", tmp_path), ("engines", "start"), found, lambda _: None, done.append)
    assert found["skipped"] == {"engines": "x went away"}  # no folder of this machine
    assert (found["start"], done) == (1, ["engines", "start"])
    benching.write_json(tmp_path / "b.json", found)
    assert read_rates(tmp_path / "b.json").engines[0].value == 9  # a plan takes it


def test_interrupted_it_keeps_what_it_has(tmp_path, monkeypatch, capsys):
    def stopped(setup, found, step):
        found["length"] = {
            "rows": [{"audio_s": 1.0, "scan_s": 0.5, "cpu_s": 0.4, "memory_mib": 9.0}, {"audio_s": 9.0}]
        }
        raise KeyboardInterrupt

    monkeypatch.setitem(benching.SECTIONS, "length", stopped)
    out = tmp_path / "b.json"
    with pytest.raises(KeyboardInterrupt):
        benching.run_bench(None, "", "length", True, None, out, None, False)
    assert json.loads(out.read_text())["length"]["rows"][0]["scan_s"] == 0.5
    assert "0.5 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given",
    [
        {"only": "engines,magic"},
        {"front_ends": "magic"},
        {"out": Path("/nowhere/x.json")},
        {"plot": Path("x.jpg")},
        {"audio": Path("/nowhere")},
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(given, monkeypatch):
    monkeypatch.setattr(benching, "SECTIONS", dict.fromkeys(benching.SECTIONS))
    usual = {
        "model": None,
        "front_ends": "",
        "only": "",
        "quick": True,
        "audio": None,
        "out": None,
        "plot": None,
    }
    with pytest.raises(InputError):
        benching.run_bench(**(usual | given), as_json=False)


def test_figures_are_rounded():
    assert benching.rounded({"a": [1.23456, 7, None, True], "b": 98_765.4}) == {
        "a": [1.235, 7, None, True],
        "b": 98_770,
    }


def full() -> dict:
    """Results of every section."""
    engine = {"model": "m", "engine": "onnx", "precision": "fp32", "memory_mib": 100.0, "gemm_gflop_s": 80.0}
    about = {"machine": MACHINE, "model": "m", "audio": "a made voice", "quick": True, "load_before": 5.0}
    lengths = [
        {"audio_s": s, "scan_s": s / 30, "cpu_s": s / 20, "memory_mib": 200.0} for s in (10.0, 60.0, 600.0)
    ]
    known = [
        {"entries": n, "query_ms": n / 1e4, "first_query_s": 1.0, "memory_mib": 9.0} for n in (1_000, 10_000)
    ]
    return about | {
        "skipped": {"cores": "no reason"},
        "start": {"one_5_s_file_s": 1.5, "importing_s": 0.4, "help_s": 0.2, "starts": 3},
        "engines": [
            engine
            | {"times_real_time_a_core": 50.0, "best_times_real_time_a_core": 51.0, "share_of_peak": 0.625},
            {"model": "m", "engine": "openvino", "precision": "int8", "why": "nncf is not installed"},
        ],
        "decoding": {
            "mp3": {
                "of": "libmp3lame",
                "kbit_s": 128.0,
                "times_real_time_a_core": 300.0,
                **ahead(300, 200, 50),
            },
            "opus": {"of": "libopus", "why": "no encoder"},
        },
        "speech_check": {"times_real_time_a_core": 200.0},
        "scoring": {"times_real_time_a_core": 50.0, "by": "onnx fp32"},
        "cores": {
            "files": 16,
            "clip_s": 5.0,
            "start_s": 1.0,
            "rows": [
                row | {"scoring_alone": 2.03} for row in bench_scan.speed_ups(16, 1.0, {1: [9.0], 2: [5.0]})
            ],
        },
        "length": {"rows": lengths, **bench_scan.growth(lengths)},
        "knowledge": {
            "embedding": 394,
            "neighbours": 10,
            "rows": [*known, {"entries": 10**6, "why": "too large"}],
        },
    }


def test_tables_say_what_was_measured_and_what_was_not(capsys):
    bench_show.show(full())
    words = " ".join(capsys.readouterr().out.split())
    for text in (
        "2 cores of a clock; m, a made voice, quick",
        "of which importing 0.4 s",
        "m onnx fp32 50 51 62 % 80 100 -",
        "not measured: nncf is not installed",
        "decoding keeps ahead of scoring",
        "2 5 s 3.2 1.8 2 2.03",
        "to the power of 1.000 ± 0.000",
        "1,000,000 too large -",
        "the machine was busy (load 5)",
        "cores: not measured: no reason",
    ):
        assert text in words
    bench_show.show(
        {key: full()[key] for key in ("machine", "model", "audio", "quick", "load_before", "skipped")}
    )


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_plot_has_a_panel_a_section(kind):
    drawn = bench_show.draw(full(), kind)
    if kind == "png":
        assert drawn.startswith(b"\x89PNG")
    else:
        assert all(title.encode() in drawn for title in ("<svg", "axes_5"))
    few = {"machine": MACHINE, "cores": full()["cores"]}
    assert len(bench_show.draw(few, kind)) < len(drawn)


def test_a_quick_run_of_engines(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_engines, "find_spec", lambda name: None)  # ONNX Runtime alone, for time's sake
    found = {}
    setup = Setup(find_bundle(None), "embedded", tmp_path, quick=True)
    benching.bench(setup, ("engines",), found, lambda _: None, lambda _: None)
    assert found["skipped"] == {}
    first, *others = found["engines"]
    assert (first["model"], first["engine"], first["precision"]) == ("embedded", "onnx", "fp32")
    assert 0 < first["times_real_time_a_core"] <= first["best_times_real_time_a_core"]
    share = first["gflop_per_s"] * first["times_real_time_a_core"] / first["gemm_gflop_s"]
    assert math.isclose(first["share_of_peak"], share)
    assert 0.05 < share < 1.3
    assert first["memory_mib"] > 50
    assert [row["precision"] for row in others] == ["fp32", "bf16", "int8"]
    assert all("OpenVINO is not installed" in row["why"] for row in others)
    json.dumps(found)
