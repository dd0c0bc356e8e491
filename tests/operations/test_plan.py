"""`earwitness plan`: its arithmetic by hand, what binds, and files of rates that cannot be used."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.frames import Windowing, cut_windows
from earwitness.errors import EarwitnessError, InputError
from earwitness.operations import plan as planning
from earwitness.operations.plan_options import Job, PlanOptions
from earwitness.operations.plan_rates import (
    DEFAULT,
    Decoding,
    EngineRate,
    Gpu,
    GpuRate,
    Rate,
    Rates,
    cpu_rate,
    gpu_rate,
    read_rates,
)

ROOT = Path(__file__).parents[2]


def engine(model, name, precision, value, **more):
    return EngineRate(
        value,
        "measured",
        f"{name} {precision}",
        "here",
        model=model,
        engine=name,
        precision=precision,
        **more,
    )


# Numbers that the head can reckon with: decoding and check take a 50th of the time, scoring a tenth.
RATES = Rates(
    engines=(
        engine("small", "onnx", "fp32", 8.0),
        engine("small", "openvino", "bf16", 10.0),
        engine("small", "openvino", "int8", 20.0),
    ),
    decoding={
        "mp3": Decoding(100.0, "measured", "mp3", "here", kbit_s=100.0),
        "flac": Decoding(100.0, "measured", "flac", "here", kbit_s=200.0),
    },
    gpu=(),
    speech_check=Rate(100.0, "measured", "check", "here"),
    augmentation=Rate(100.0, "measured", "rawboost", "here"),
    gflop_per_s={"small": 10.0, "large": 40.0},
    parameters={"small": 1e8, "large": 1e9},
    gpus={
        "h100": Gpu("H100", 1_000.0, 80.0, 400.0),
        "h200": Gpu("H200", 1_000.0, 141.0, 400.0),
    },
    share_of_peak={"scoring": 0.5, "training": 0.3},
    record_bytes=1_000.0,
)
PLAIN = PlanOptions(efficiency=1.0, core_hour=0.05, gpu_hour=2.0, tb_month=10.0)


def score(hours: float = 1e6, within: float | None = 24.0, model="small", rates=RATES, **options):
    return planning.plan_scoring(Job(hours, within, model), replace(PLAIN, **options), rates)


def train(hours: float = 74_000.0, within: float | None = None, model="large", rates=RATES, **options):
    return planning.plan_training(Job(hours, within, model), replace(PLAIN, **options), rates)


def test_scoring_on_processors_by_hand():
    found = score(hours=24_000.0)
    # An hour takes 1/100 + 1/100 + 1/10 = 0.12 core-hours; a machine of 16 cores does 133.3 hours an hour.
    assert found.unit_hours == pytest.approx(24_000 * 0.12)
    assert found.limits["processors"] == pytest.approx(16 / 0.12)
    assert (found.machines, found.bottleneck, found.unit) == (8, "scoring", "core")  # 1,000 / 133.3 = 7.5
    assert found.wall_h == pytest.approx(24 * 7.5 / 8)
    assert found.audio_tb == pytest.approx(24_000 * 3600 * 12_500 / 1e12)
    assert found.kept_tb == pytest.approx(24_000 * 120 * 1_000 / 1e12)
    assert found.money == pytest.approx(24_000 * 0.12 * 0.05)
    assert found.storage_money == pytest.approx(10 * (found.audio_tb + found.kept_tb))
    assert found.reading_gbit_s == pytest.approx(24_000 / found.wall_h * 100e3 / 1e9)


def test_efficiency_and_engines():
    assert score(efficiency=0.5).unit_hours == pytest.approx(2 * score().unit_hours)
    assert score(precision="int8").rate.value == 20
    assert score(engine="onnx").rate.value == 8
    assert score().rate.value == 10  # int8 is for those who ask


def test_a_gpu_waits_for_the_processors_that_decode():
    fast = score(device="gpu")  # half of 1,000 TFLOP/s at 10 GFLOP a second
    assert fast.rate.value == pytest.approx(50_000)
    assert fast.rate.kind == "estimated"
    assert fast.limits["processors"] == pytest.approx(16 * 50)
    assert fast.bottleneck in ("decoding", "speech check")
    assert fast.busy_cores == pytest.approx(50_000 / 50)
    assert score(device="gpu", cores=1_000, gbit=1e5).limits["processors"] == pytest.approx(50_000)
    assert score(device="gpu", cores=1_600, gbit=1e5).bottleneck == "scoring"
    narrow = score(device="gpu", cores=1_600, gbit=0.001)  # 1 Mbit/s carries ten hours an hour
    assert narrow.limits["reading (network)"] == pytest.approx(10)
    assert narrow.bottleneck == "reading (network)"
    assert narrow.unit_hours == pytest.approx(1e5)


def test_the_storage_binds_whatever_the_machines():
    one = score(hours=24_000.0, store_gbit=0.05)  # 500 hours an hour where 1,000 are wanted
    assert not one.in_time
    assert one.bottleneck == "reading (storage)"
    assert one.wall_h == pytest.approx(48)
    assert one.machines == 4  # 500 / 133.3 = 3.75
    assert one.reading_gbit_s == pytest.approx(0.05)
    assert score(hours=12_000.0, store_gbit=0.05).in_time


def test_one_machine_where_there_is_no_hurry():
    found = score(hours=1_000.0, within=None)
    assert (found.machines, found.in_time) == (1, True)
    assert found.wall_h == pytest.approx(1_000 * 0.12 / 16)


@settings(max_examples=60, deadline=None)
@given(
    hours=st.floats(1, 1e9),
    within=st.floats(0.1, 1e4),
    cores=st.integers(1, 256),
    store=st.floats(0.01, 1e4),
    device=st.sampled_from(["cpu", "gpu"]),
)
def test_a_plan_is_in_time_or_says_what_binds(hours, within, cores, store, device):
    found = score(hours, within, cores=cores, store_gbit=store, device=device)
    assert found.in_time == (found.wall_h <= within * (1 + 1e-6))
    assert found.in_time or found.bottleneck == "reading (storage)"
    assert found.reading_gbit_s <= store * (1 + 1e-6)
    if found.in_time and found.machines > 1:  # one machine fewer would be late
        assert hours / ((found.machines - 1) * min(found.limits.values())) > within * (1 - 1e-6)
    tenfold = score(10 * hours, within, cores=cores, store_gbit=store, device=device)
    assert tenfold.audio_tb == pytest.approx(10 * found.audio_tb)


@settings(max_examples=30, deadline=None)
@given(st.floats(1, 400))
def test_overlap_is_what_windows_are_cut(file_s):
    import numpy as np

    samples = round(file_s * 16_000)
    cut = sum(len(audio) for _, audio in cut_windows([np.zeros(samples, np.float32)]))
    assert planning.overlap(samples / 16_000) == pytest.approx(cut / samples, rel=1e-3)
    assert planning.overlap(1e6) == pytest.approx(Windowing().window_s / Windowing().hop_s, rel=1e-3)


def test_post_training_by_hand():
    found = train(cores=10_000, gbit=1e5, store_gbit=1e5)
    # 30 % of 1,000 TFLOP/s over three passes of 40 GFLOP; eight GPUs.
    assert found.rate.value == pytest.approx(2_500)
    assert found.wall_h == pytest.approx(74_000 / 20_000)
    assert found.unit_hours == pytest.approx(8 * 3.7)
    assert found.money == pytest.approx(2 * 8 * 3.7)
    assert (found.batch_s, found.steps) == (800, 74_000 * 3600 // 800)
    assert (found.copied_gb, found.sharded_gb) == (pytest.approx(16), pytest.approx(2))
    assert found.bottleneck == "training"
    # A ring sends each gradient 2 x 7/8 times: 7 GB over 400 GB/s for 800 s of audio.
    assert found.limits["exchanging gradients"] == pytest.approx(800 * 400e9 / 7e9)
    again = train(cores=10_000, gbit=1e5, store_gbit=1e5, recompute=True, epochs=3)
    assert again.unit_hours == pytest.approx(3 * 4 / 3 * found.unit_hours)
    assert again.audio_tb == found.audio_tb


def test_what_holds_training_up():
    assert train(cores=8).bottleneck in ("decoding", "augmentation")
    assert train(batch_s=8, cores=10_000).bottleneck == "exchanging gradients"
    assert train(store_gbit=0.1).bottleneck == "reading (storage)"
    alone = train(gpus=1)
    assert "exchanging gradients" not in alone.limits
    assert planning.exchange_bytes(1e9, 8, True) == 1.5 * planning.exchange_bytes(1e9, 8, False) == 10.5e9


def test_the_fewest_machines_that_end_in_time():
    wide = {"cores": 10_000, "gbit": 1e6, "store_gbit": 1e6}
    one = train(**wide)
    three = train(within=one.wall_h / 2.5, **wide)
    assert (three.machines, three.in_time) == (3, True)
    assert three.sharded_gb == pytest.approx(16 / 24)
    never = train(within=1e-3, batch_s=100.0)
    assert not never.in_time
    assert never.bottleneck == "exchanging gradients"


def test_a_front_end_that_nobody_measured_goes_by_its_work():
    found = cpu_rate(RATES, "large", "auto", "auto")
    assert (found.value, found.kind, found.memory_mib) == (2.5, "estimated", None)
    assert "small" in found.source
    rows = (*RATES.engines, engine("near", "torch", "fp32", 3.0))
    near = replace(RATES, engines=rows, gflop_per_s={**RATES.gflop_per_s, "near": 39.0})
    assert cpu_rate(near, "large", "auto", "auto").value == pytest.approx(3 * 39 / 40)  # not the fastest
    with pytest.raises(InputError, match="no rate of stranger"):
        cpu_rate(RATES, "stranger", "auto", "auto")
    with pytest.raises(InputError, match="no rate of small by torch"):
        cpu_rate(RATES, "small", "torch", "auto")


def test_what_was_measured_on_a_gpu_goes_before_estimates():
    row = GpuRate(700.0, "measured", "NVIDIA H200", "here", model="small", task="scoring")
    rates = replace(RATES, gpu=(row,))
    assert score(device="gpu", rates=rates).rate is row  # of the kind that was measured
    assert gpu_rate(rates, "small", "h100", "scoring").kind == "estimated"
    assert gpu_rate(rates, "small", "h200", "training").value == pytest.approx(10_000)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "tpu"},
        {"codec": "wma"},
        {"gpu": "h900", "device": "gpu"},
        {"efficiency": 0.0},
        {"efficiency": float("nan")},
        {"core_hour": float("inf")},
        {"file_s": -1.0},
        {"cores": -1},
        {"store_gbit": 0.0},
    ],
)
def test_what_cannot_be_planned_with_is_refused(change):
    with pytest.raises(InputError) as error:
        score(**change)
    assert error.value.code == "usage"


@pytest.mark.parametrize(("text", "hours"), [("24h", 24), ("3d", 72), ("2", 48), ("0.5d", 12), ("90H", 90)])
def test_within(text, hours):
    assert planning.parse_within(text) == hours


@pytest.mark.parametrize("text", ["", "h", "soon", "-3d", "0", "nan", "inf"])
def test_within_that_is_no_time(text):
    with pytest.raises(InputError, match="--within"):
        planning.parse_within(text)


def test_a_bench_stands_in_for_the_defaults_model_by_model(tmp_path):
    content = {
        "machine": {"name": "a machine"},
        "engines": [
            {"model": "mms-300m", "engine": "onnx", "precision": "fp32", "times_real_time_a_core": 4.5},
            {"model": "mms-300m", "engine": "torch", "precision": "fp32", "times_real_time_a_core": "fast"},
            {"engine": "torch", "times_real_time_a_core": 3},
            "no row",
        ],
        "decoding": {
            "mp3": {"times_real_time_a_core": 77.0},
            "wma": {"times_real_time_a_core": 5},  # of which no bit rate is known
            "m4a": None,
        },
        "speech_check": {"times_real_time_a_core": 123.0},
        "gpu": [{"model": "mms-300m", "task": "scoring", "times_real_time": 900, "device": "NVIDIA H200"}],
        "more": {},
    }
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(content))
    found, usual = read_rates(path), read_rates()
    assert found.speech_check.value == 123
    assert [row.value for row in found.engines if row.model == "mms-300m"] == [4.5]
    assert cpu_rate(found, "mms-300m", "auto", "auto").source == "bench.json: a machine"
    assert cpu_rate(found, "w2v-small", "auto", "auto") == cpu_rate(usual, "w2v-small", "auto", "auto")
    assert found.decoding["mp3"].value == 77.0
    assert found.decoding["mp3"].kbit_s == usual.decoding["mp3"].kbit_s
    assert set(found.decoding) == set(usual.decoding)
    assert gpu_rate(found, "mms-300m", "h200", "scoring").value == 900


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "{}",
        '{"engines": {"a": 1}, "decoding": [], "gpu": 3}',
        '{"engines": [{"model": "m", "engine": "e", "times_real_time_a_core": -1}]}',
        '{"engines": [{"model": "m", "engine": "e", "times_real_time_a_core": NaN}]}',
        '{"engines": [{"model": "m", "engine": "e", "times_real_time_a_core": 1e999}]}',
        '{"gpu": [{"model": "m", "task": "scoring", "times_real_time": 9, "measured": false}]}',
        "[" * 100_000,
    ],
)
def test_a_bench_that_holds_nothing_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bench\.json") as error:
        read_rates(path)
    assert error.value.code == "bad-bench"


def test_a_bench_that_is_not_there_or_too_large_is_refused(tmp_path):
    with pytest.raises(InputError, match="not readable"):
        read_rates(tmp_path / "none.json")
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(InputError, match="more than"):
        read_rates(large)


def test_the_defaults_name_machine_and_source_and_are_those_of_the_results():
    content = json.loads(DEFAULT.read_text())
    rows = [
        *content["engines"],
        *content["decoding"].values(),
        content["speech_check"],
        content["augmentation"],
    ]
    assert all(row["machine"] and row["source"] for row in rows)
    costs = json.loads((ROOT / "benchmarks" / "results" / "detectors.json").read_text())["front_ends"]
    rates = read_rates()
    assert rates.gflop_per_s == {name: row["gflop_per_s"] for name, row in costs.items()}
    assert rates.parameters == {name: row["parameters"] for name, row in costs.items()}
    for name in costs:  # everything can be planned
        assert score(model=name, rates=rates).machines >= 1
        assert train(model=name, rates=rates).machines == 1


def test_models_by_name_and_by_their_front_end():
    rates = read_rates()
    assert planning.model_of(None, None, rates, "cpu") == "embedded"
    assert planning.model_of(None, None, rates, "gpu") == "whisper-tiny"  # what the embedded model stands on
    assert planning.model_of(None, None, rates, "train") == "mms-300m"
    assert planning.model_of("xls-r-2b", None, rates, "cpu") == "xls-r-2b"
    for names in (("nothing", None), ("mms-300m", "embedded"), (None, "nothing")):
        with pytest.raises(EarwitnessError):
            planning.model_of(*names, rates, "cpu")


def test_the_tables_of_the_page_are_those_that_the_command_makes():
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import plan; page = open('docs/scale.md').read(); "
        "assert all(block in page for block in plan.blocks(plan.read_rates()).values())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
