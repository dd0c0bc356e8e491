import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.augment import chain, channel, codecs, noise, rawboost, rooms
from earwitness.errors import InputError

DRAWN = [
    0.423468,
    0.549594,
    0.236845,
    0.822952,
    0.174528,
    0.045275,
    0.855,
    0.821228,
    0.972037,
    0.855583,
    0.967206,
    0.809513,
    0.689251,
    0.002631,
    0.397189,
    0.781466,
    0.904691,
    0.533654,
    0.475361,
    0.311665,
    0.925368,
    0.423405,
    0.611171,
    0.4707,
]
ALL = "rawboost:5,speed:1,rooms:1,noise:1,clipping:1,level:1,band:1,codecs:1,packets:1"


def test_a_text_becomes_a_chain():
    parsed = chain.parse_chain("rawboost:5, codecs:0.5,rooms:0.25")
    assert parsed.steps == (
        chain.Step("rawboost", 1.0, 5),
        chain.Step("codecs", 0.5),
        chain.Step("rooms", 0.25),
    )
    assert chain.parse_chain("rawboost:8:0.8").steps == (chain.Step("rawboost", 0.8, 8),)
    assert chain.parse_chain(" ") == chain.Chain()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rooms:0.5,reverb:0.5", "no augmentation is called 'reverb'; known are .*codecs.*rawboost.*speed"),
        ("noise", "noise takes one probability 0 to 1, as in noise:0.5; found 'noise'"),
        ("noise:1.5", "found 'noise:1.5'"),
        ("noise:-0.1", "found 'noise:-0.1'"),
        ("noise:nan", "found 'noise:nan'"),
        ("noise:x", "found 'noise:x'"),
        ("noise:0.5:0.5", "found 'noise:0.5:0.5'"),
        ("rawboost", "rawboost takes an algorithm 0 to 8, as in rawboost:5; found 'rawboost'"),
        ("rawboost:9", "found 'rawboost:9'"),
        ("rawboost:0.5", "found 'rawboost:0.5'"),
        ("rawboost:5:2", "rawboost takes one probability"),
        ("noise:0.5,,rooms:1", "no augmentation is called ''"),
        ("noise:0.5,noise:0.5", "noise stands twice"),
        ("babble:0.5", "babble needs recordings"),
        ("recorded:0.5", "recorded needs recordings"),
    ],
)
def test_bad_texts_are_refused_with_what_was_found(text, found):
    with pytest.raises(InputError, match=found) as error:
        chain.parse_chain(text)
    assert error.value.code == "usage"


@given(st.text(alphabet="rawboostnoise:,.0123456789- ", max_size=30))
@settings(deadline=None)
def test_any_text_is_a_chain_or_an_input_error(text):
    try:
        parsed = chain.parse_chain(text)
    except InputError:
        return
    assert all(0 <= step.probability <= 1 for step in parsed.steps)


def test_a_missing_encoder_stops_a_run_before_it_starts(monkeypatch):
    monkeypatch.setitem(codecs.CODECS, "opus", codecs.Codec("libnothing", "ogg", (16_000,)))
    with pytest.raises(InputError, match="opus needs the encoder libnothing"):
        chain.parse_chain("codecs:0.5")
    chain.parse_chain("noise:0.5")


def test_steps_run_in_the_order_written_on_one_generator(speech):
    clip = speech[16_000:48_000]
    out, names = chain.parse_chain("noise:1,clipping:1,rawboost:4").apply(clip, np.random.default_rng(7))
    assert names == ["noise", "clipping", "rawboost"]
    rng = np.random.default_rng(7)
    rng.random()
    expected = noise.add_noise(clip, rng)
    expected /= max(1, np.abs(expected).max())
    rng.random()
    expected = channel.clip(expected, rng)
    rng.random()
    expected = rawboost.rawboost(expected, rng, 4)
    expected /= max(1, np.abs(expected).max())
    np.testing.assert_allclose(out, expected, atol=1e-7)


def test_every_step_can_run_and_is_named(speech, write):
    recordings = [write("noise.wav", 0.1 * np.random.default_rng(0).standard_normal(20_000))]
    for name in chain.NAMES:
        text = "rawboost:5" if name == "rawboost" else f"{name}:1"
        out, names = chain.parse_chain(text, recordings).apply(speech[:32_000], np.random.default_rng(0))
        assert names == [name]
        assert out.dtype == np.float32
        assert name == "speed" or len(out) == 32_000
        assert not np.array_equal(out, speech[:32_000])


def test_probabilities_are_kept(speech):
    steps = chain.parse_chain("clipping:0.3,level:0.7,noise:0")
    counts = dict.fromkeys(("clipping", "level", "noise"), 0)
    for seed in range(1_000):
        for name in steps.apply(speech[:50], np.random.default_rng(seed))[1]:
            counts[name] += 1
    assert counts["clipping"] == pytest.approx(300, abs=50)
    assert counts["level"] == pytest.approx(700, abs=50)
    assert counts["noise"] == 0


def test_an_empty_chain_gives_back_the_clip(speech):
    out, names = chain.Chain().apply(speech, np.random.default_rng(0))
    np.testing.assert_array_equal(out, speech)
    assert names == []


def test_one_seed_gives_one_clip(speech):
    steps = chain.parse_chain(ALL)
    one, two = (steps.apply(speech[:32_000], np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    assert one[1] == two[1]


@pytest.mark.parametrize("kind", ["silence", "impulse", "loud", "constant", "short"])
def test_odd_clips_stay_finite_and_in_bounds(kind):
    clip = np.zeros(400 if kind == "short" else 8_000, np.float32)
    if kind == "impulse":
        clip[100] = 1
    elif kind in ("loud", "constant"):
        clip += 1
        clip[::2] *= -1 if kind == "loud" else 1
    for seed in range(8):
        out, names = chain.parse_chain(ALL).apply(clip, np.random.default_rng(seed))
        assert len(names) == 9
        assert np.isfinite(out).all()
        assert np.abs(out).max() <= 1


@pytest.mark.parametrize("text", ["noise:1", "rawboost:3", "rooms:1", "codecs:1"])
def test_what_a_step_lifts_above_full_scale_is_brought_back(text):
    loud = np.sign(np.sin(np.arange(16_000) / 20)).astype(np.float32)
    for seed in range(10):
        out, _ = chain.parse_chain(text).apply(loud, np.random.default_rng(seed))
        assert np.abs(out).max() <= 1


def test_steps_that_cannot_run_raise(speech, write):
    with pytest.raises(InputError, match="needs 320 samples"):
        chain.parse_chain("codecs:1").apply(speech[:100], np.random.default_rng(0))
    silent = [write("silent.wav", np.zeros(8_000))]
    with pytest.raises(InputError, match=r"silent\.wav: is silent"):
        chain.parse_chain("recorded:1", silent).apply(speech, np.random.default_rng(0))
    with pytest.raises(InputError, match="NaN"):
        chain.parse_chain("noise:1").apply(np.array([np.nan]), np.random.default_rng(0))


def test_a_step_that_gives_no_number_raises(monkeypatch, speech):
    monkeypatch.setitem(chain.STEPS, "noise", lambda audio, rng: audio * np.float32("nan"))
    with pytest.raises(InputError, match="NaN"):
        chain.parse_chain("noise:1").apply(speech, np.random.default_rng(0))


def test_a_report_counts_runs_changes_and_decibels(monkeypatch, speech):
    monkeypatch.setitem(chain.STEPS, "level", lambda audio, rng: 1.1 * audio)
    monkeypatch.setitem(chain.STEPS, "band", lambda audio, rng: audio)  # a step that silently does nothing
    clips = [speech[i * 8_000 : (i + 1) * 8_000] for i in range(10)]
    steps = chain.parse_chain("level:1,band:1,speed:1,noise:0.5,rooms:0")
    found = chain.report(steps, clips, np.random.default_rng(0))
    json.dumps(found)
    assert found["clips"] == 10
    assert found["steps"]["level"] == {"ran": 10, "changed": 10, "median_db": pytest.approx(-20, abs=0.01)}
    assert found["steps"]["band"] == {"ran": 10, "changed": 0, "median_db": None}
    assert found["steps"]["speed"] == {"ran": 10, "changed": 10, "median_db": None}
    assert 1 <= found["steps"]["noise"]["ran"] == found["steps"]["noise"]["changed"] <= 9
    assert found["steps"]["rooms"] == {"ran": 0, "changed": 0, "median_db": None}


def test_every_step_changes_every_clip_of_speech(speech, write):
    recordings = [write("noise.wav", 0.1 * np.random.default_rng(0).standard_normal(20_000))]
    clips = [speech[i * 4_000 : i * 4_000 + 16_000] for i in range(25)]
    for name in chain.NAMES:
        text = "rawboost:5" if name == "rawboost" else f"{name}:1"
        found = chain.report(chain.parse_chain(text, recordings), clips, np.random.default_rng(1))
        assert found["steps"][name]["ran"] == found["steps"][name]["changed"] == 25
        assert name == "speed" or -60 < found["steps"][name]["median_db"] < 10


def test_disturb_draws_as_it_did_for_the_model_that_ships(speech):
    """The generator's next number after a clip, read off the version that trained the model."""
    after = []
    for seed in range(len(DRAWN)):
        rng = np.random.default_rng(seed)
        chain.disturb(speech[:16_000], rng)
        after.append(round(rng.random(), 6))
    assert after == DRAWN


def test_disturb_draws_each_step_as_often_as_it_says(monkeypatch, speech):
    ran = []
    for module, name in ((rooms, "add_room"), (noise, "add_noise"), (codecs, "encode")):
        monkeypatch.setattr(module, name, lambda audio, *_, name=name: ran.append(name) or audio)
    for seed in range(1_000):
        chain.disturb(speech[:500], np.random.default_rng(seed))
    for name, share in (("add_room", 0.35), ("add_noise", 0.45), ("encode", 0.45)):
        assert ran.count(name) / 1_000 == pytest.approx(share, abs=0.04)
