"""Every distortion runs, follows its seed and stays in bounds; what its name says is measured."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from earwitness.audio.augment import codecs, distortions
from earwitness.audio.augment.distortions import DISTORTIONS, distort, training_names
from earwitness.errors import InputError

RATE = 16_000
LENGTHS = {
    "speed-1.1": 1 / 1.1, "speed-0.9": 1 / 0.9, "stretch-1.2": 1.2, "stretch-0.8": 0.8, "stretch-1.5": 1.5,
    "crop-half": 0.5,
}  # fmt: skip
CHEAP = [
    name
    for name, one in DISTORTIONS.items()
    if one.family in ("noise", "mix", "resample", "gain", "requantise", "crop", "filter", "smoothing")
    or one.family in ("dynamics", "enhancement", "echo", "packets", "pitch", "speed", "stretch")
]


def voice(seconds, pitch_hz=125.0, seed=0):
    """Harmonics of a steady pitch under three formants, in syllables with pauses of faint noise."""
    rng, time = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    audio = np.zeros(len(time))
    for k in range(1, int(7_500 / pitch_hz)):
        hertz = k * pitch_hz
        level = sum(np.exp(-(((hertz - f) / 250) ** 2)) for f in (500, 1_500, 2_500)) + 0.02
        audio += level * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 2 * np.pi))
    spoken = ndimage.gaussian_filter1d((np.sin(2 * np.pi * 1.7 * time + 1) > -0.5).astype(float), 160)
    audio = audio * spoken + 0.003 * rng.standard_normal(len(time))
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


@pytest.fixture(scope="module")
def clip():
    return voice(2.0)


@pytest.fixture(scope="module")
def white():
    return (0.1 * np.random.default_rng(0).standard_normal(64_000)).astype(np.float32)


def after(audio, name, seed=0):
    return distort(audio, name, np.random.default_rng(seed))


def gain_db(before, other, hertz):
    where, one = signal.welch(before, RATE, nperseg=1_024)
    _, two = signal.welch(other, RATE, nperseg=1_024)
    return 10 * np.log10(np.interp(hertz, where, two / one) + 1e-20)


def level_db(audio):
    return 10 * np.log10(np.mean(np.square(audio, dtype=float)))


def strongest_hz(audio):
    """Place of the highest line of the spectrum, Hz."""
    inner = audio[1_000:-1_000] * np.hanning(len(audio) - 2_000)
    return np.argmax(np.abs(np.fft.rfft(inner, 1 << 19))) * RATE / (1 << 19)


def test_everything_runs_on_a_voice_on_a_short_clip_and_on_silence(clip):
    for name in DISTORTIONS:
        for audio in (clip, voice(0.6, seed=1), np.zeros(RATE, np.float32)):
            given_, out = audio.copy(), after(audio, name)
            np.testing.assert_array_equal(audio, given_, err_msg=name)
            assert out.dtype == np.float32, name
            assert out.ndim == 1, name
            assert np.isfinite(out).all(), name
            assert np.abs(out).max() <= 1, name
            if audio.any():
                assert out.shape != audio.shape or not np.array_equal(out, audio) or name == "crop-1s", name
            else:
                assert np.abs(out).max() < 1e-3, name


def test_one_seed_gives_one_result(clip):
    short = voice(0.6)
    for name in DISTORTIONS:
        np.testing.assert_array_equal(after(short, name, 3), after(short, name, 3), err_msg=name)
    for name in ("white-noise-10dB", "room", "crop-half", "equaliser", "echo", "frequency-mask", "phone"):
        assert not np.array_equal(after(clip, name, 3), after(clip, name, 4))


def test_lengths_are_kept_but_for_speeds_stretches_and_cuts(clip):
    for name in DISTORTIONS:
        if name not in ("crop-1s", "trim-10ms"):
            expected = LENGTHS.get(name, 1.0) * len(clip)
            assert len(after(clip, name)) == pytest.approx(expected, abs=2 if name in LENGTHS else 0), name
    assert len(after(clip, "crop-1s")) == RATE
    short = voice(0.6)
    np.testing.assert_array_equal(after(short, "crop-1s"), short)


@given(st.sampled_from(CHEAP), st.integers(1_600, 1_900), st.floats(-30, 30), st.integers(0, 1_000))
@settings(deadline=None, max_examples=80)
def test_any_clip_stays_in_bounds(name, samples, exponent, seed):
    rng = np.random.default_rng(seed)
    audio = (rng.standard_normal(samples) * rng.integers(0, 2, samples) * 10.0**exponent).astype(np.float32)
    out = distort(audio, name, rng)
    assert out.dtype == np.float32
    assert len(out)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1


@pytest.mark.parametrize(
    ("audio", "code"),
    [
        (np.zeros(1_599), "too-short"),
        (np.zeros(0), "no-samples"),
        (np.zeros((2, 2_000)), "bad-samples"),
        (np.full(2_000, np.nan), "bad-samples"),
    ],
)
def test_clips_that_cannot_be_worked_on_are_refused(audio, code):
    with pytest.raises(InputError) as raised:
        distort(audio, "inverted", np.random.default_rng(0))
    assert raised.value.code == code


def test_unknown_names_are_refused(clip):
    with pytest.raises(InputError, match="no distortion is called 'tea'; known are white-noise-20dB"):
        after(clip, "tea")


def test_families_are_held_out_whole_and_training_sees_none_of_them():
    held_out = {}
    for one in DISTORTIONS.values():
        held_out.setdefault(one.family, set()).add(one.held_out)
    assert all(len(said) == 1 for said in held_out.values())
    kept = {family for family, said in held_out.items() if said == {True}}
    assert kept == {"mobile-codec", "vocoder", "enhancement", "echo"}
    assert set(training_names()) == {name for name, one in DISTORTIONS.items() if one.family not in kept}
    assert not {"gsm", "amr-12k2", "world", "echo", "spectral-subtraction"} & set(training_names())
    assert {"opus-8k", "griffin-lim", "inverted"} < set(training_names())


@pytest.mark.parametrize("name", [name for name in DISTORTIONS if "noise-" in name and name.endswith("dB")])
def test_noise_has_its_ratio_and_its_slope(name, clip):
    added = after(clip, name).astype(float) - clip
    wanted = float(name.split("-")[-1].removesuffix("dB"))
    assert level_db(clip) - level_db(added) == pytest.approx(wanted, abs=0.5)
    hertz, power = signal.welch(added, RATE, nperseg=512)
    inside = (hertz > 100) & (hertz < 7_000)
    slope = np.polyfit(np.log10(hertz[inside]), np.log10(power[inside]), 1)[0]
    assert slope == pytest.approx(-1.0 if name.startswith("pink") else 0.0, abs=0.15)


def test_a_second_voice_is_10_db_under_and_has_few_lines(clip):
    added = after(clip, "mix-tones-10dB").astype(float) - clip
    assert level_db(clip) - level_db(added) == pytest.approx(10, abs=0.1)
    power = np.sort(np.abs(np.fft.rfft(added)) ** 2)[::-1]
    assert power[: len(power) // 10].sum() > 0.95 * power.sum()


def test_a_room_keeps_the_level_and_goes_on_after_the_sound():
    click = np.zeros(RATE, np.float32)
    click[2_000] = 0.9
    wet = after(click, "room")
    assert np.argmax(np.abs(wet)) == 2_000
    assert not np.abs(wet[:1_950]).max() > 1e-3 * np.abs(wet).max()
    late = np.sum(wet[2_400:] ** 2)
    assert 1e-4 < late / np.sum(wet**2) < 0.9
    assert level_db(wet) == pytest.approx(level_db(click), abs=0.1)


@pytest.mark.parametrize(
    ("name", "corner"), [("8-kHz-and-back", 4_000), ("4-kHz-and-back", 2_000), ("mulaw-8k", 4_000)]
)
def test_nothing_is_left_above_half_a_sample_rate(name, corner, white):
    out = after(white, name)
    assert gain_db(white, out, 0.7 * corner) == pytest.approx(0, abs=1.0)
    assert gain_db(white, out, 1.15 * corner) < -25


def test_higher_rates_change_next_to_nothing_below_7_khz(white):
    for name in ("22.05-kHz-and-back", "44.1-kHz-and-back"):
        assert np.abs(gain_db(white, after(white, name), np.arange(200, 7_000, 200))).max() < 0.05


def test_codecs_cost_more_the_fewer_bits_they_have(speech):
    audio = speech[16_000:48_000]

    def apart(name):
        return level_db(after(audio, name).astype(float) - audio)

    for names in (
        ["opus-24k", "opus-12k", "opus-8k", "opus-6k"],
        ["mp3-64k", "mp3-32k"],
        ["aac-64k", "aac-32k"],
        ["amr-12k2", "amr-4k75"],
    ):
        found = [apart(name) for name in names]
        assert found == sorted(found)
    assert all(apart(name) < level_db(audio) for name, one in DISTORTIONS.items() if "codec" in one.family)


@pytest.mark.parametrize("bit_rate", codecs.CODECS["opus"].asked_for)
def test_low_bit_rates_of_opus_are_those_asked_for(bit_rate, speech):
    longer, shorter = (codecs.compress(speech[:n], "opus", RATE, bit_rate) for n in (96_000, 64_000))
    assert (len(longer) - len(shorter)) * 8 / 2 == pytest.approx(bit_rate, rel=0.3)


def test_bit_rates_that_are_only_asked_for_are_never_drawn(monkeypatch):
    """Else seeded recipes of training would change."""
    seen = set()
    monkeypatch.setattr(codecs, "transmit", lambda audio, codec, rate, bits: seen.add(bits))
    for seed in range(200):
        codecs.encode(np.zeros(RATE, np.float32), "opus", np.random.default_rng(seed))
    assert seen == {12_000, 16_000, 24_000, 48_000}


@pytest.mark.parametrize("name", ["griffin-lim", "griffin-lim-mel-80", "world", "codebooks-2x8-bit"])
def test_resynthesis_keeps_short_time_spectra_better_than_noise_would(name, speech):
    audio = speech[16_000:48_000]
    one, two = (np.abs(signal.stft(x, nperseg=512)[2]) for x in (audio, after(audio, name)))
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.85
    if name != "codebooks-2x8-bit":  # the others forget the phases
        assert level_db(after(audio, name).astype(float) - audio) > level_db(audio) - 3


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("pitch-up-1", 2 ** (1 / 12)), ("pitch-up-5", 2 ** (5 / 12)), ("pitch-down-2", 2 ** (-2 / 12)),
        ("speed-1.1", 1.1), ("speed-0.9", 0.9), ("stretch-1.2", 1), ("stretch-0.8", 1), ("stretch-1.5", 1),
    ],
)  # fmt: skip
def test_pitch_moves_by_its_ratio_or_stays(name, ratio):
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(32_000) / RATE)).astype(np.float32)
    out = after(tone, name)
    assert strongest_hz(out) == pytest.approx(220 * ratio, rel=0.005)
    assert level_db(out) == pytest.approx(level_db(tone), abs=1.0)
    # of a voice: the first peak of the autocorrelation
    changed = after(voice(2.0), name)
    alike = signal.correlate(changed, changed, "full")[len(changed) - 1 :]
    period = 60 + np.argmax(alike[60:200])
    assert RATE / period == pytest.approx(125 * ratio, rel=0.015)


def test_cuts_are_stretches_of_the_clip(clip):
    begins = {"crop-half": set(), "crop-1s": set(), "trim-10ms": set()}
    for seed in range(60):
        for name, seen in begins.items():
            out = after(clip, name, seed)
            windows = np.lib.stride_tricks.sliding_window_view(clip, len(out))
            (begin,) = np.flatnonzero((windows[:, :3] == out[:3]).all(axis=1))
            np.testing.assert_array_equal(out, clip[begin : begin + len(out)])
            seen.add(int(begin))
            if name == "trim-10ms":
                assert begin + len(out) == len(clip)
    assert 112 <= min(begins["trim-10ms"]) < 130 < 190 < max(begins["trim-10ms"]) <= 208
    assert all(min(begins[name]) < 2_000 and max(begins[name]) > 14_000 for name in ("crop-half", "crop-1s"))


@pytest.mark.parametrize(
    ("name", "kept", "lost"),
    [
        ("low-pass-2k", (100, 1_500), (2_600, 7_900)),
        ("low-pass-4k", (100, 3_000), (5_100, 7_900)),
        ("high-pass-500", (700, 7_900), (0, 380)),
        ("high-pass-1500", (2_000, 7_900), (0, 1_150)),
        ("band-300-3400", (450, 2_500), (4_400, 7_900)),
        ("phone", (450, 2_500), (4_500, 7_900)),
    ],
)
def test_filters_keep_their_band_and_lose_20_db_beyond(name, kept, lost, white):
    out = after(white, name)
    # a telephone adds noise 25 dB under the clip, and quantises
    assert np.abs(gain_db(white, out, np.arange(*kept, 50))).max() < (1.5 if name == "phone" else 0.5)
    assert gain_db(white, out, np.arange(*lost, 50)).max() < -20
    if name in ("band-300-3400", "phone"):
        assert gain_db(white, out, np.arange(0, 200, 50)).max() < -20


def test_filters_do_not_delay_nor_ring_around_the_ends():
    click = np.zeros(8_000, np.float32)
    click[-200] = 0.9
    for name in ("low-pass-2k", "band-300-3400", "smoothing-4", "equaliser"):
        out = after(click, name)
        assert abs(np.argmax(np.abs(out)) - (8_000 - 200)) <= 1
        assert np.abs(out[:1_000]).max() < 1e-3


def test_an_equaliser_draws_octaves_within_12_db(white):
    drawn = []
    for seed in range(30):
        found = gain_db(white * 0.2, after(white * 0.2, "equaliser", seed), 62.5 * 2.0 ** np.arange(2, 8))
        drawn.append(found[:-1])
    assert np.abs(drawn).max() < 12.5
    assert np.std(drawn) == pytest.approx(24 / np.sqrt(12), rel=0.2)
    assert np.abs(np.corrcoef(np.transpose(drawn)) - np.eye(5)).max() < 0.6  # each octave by itself


def test_a_mask_takes_one_band_of_its_width(white):
    for seed in range(20):
        gains = gain_db(white, after(white, "frequency-mask", seed), np.arange(0, 8_000, 10))
        gone = np.flatnonzero(gains < -15)
        width = 10 * (gone[-1] - gone[0])
        assert 90 < width < 1_300
        assert (gains[gone[0] : gone[-1]] < -15).all()
        outside = np.delete(gains, np.arange(max(gone[0] - 10, 0), gone[-1] + 10))
        assert np.abs(outside).max() < 0.5


def test_smoothing_is_that_of_scipy(clip):
    inner = slice(20, -20)
    for width in (4, 8):
        out = after(clip, f"smoothing-{width}")
        expected = ndimage.uniform_filter1d(clip.astype(float), width)
        alike = [np.abs(np.roll(expected, k)[inner] - out[inner]).max() for k in (-1, 0)]
        assert min(alike) < 1e-6
    np.testing.assert_array_equal(after(clip, "median-filter-5")[inner], signal.medfilt(clip, 5)[inner])


def test_chains_do_what_they_say(speech):
    audio = speech[16_000:48_000]
    assert level_db(after(audio, "platform")) == pytest.approx(-20, abs=0.5)
    levels = []
    for seed in range(8):
        sent = after(audio, "messenger", seed)
        assert np.corrcoef(sent, audio)[0, 1] > 0.8
        levels.append(level_db(sent))
    assert max(levels) - min(levels) > 10


def test_a_distortion_that_works_in_place_does_not_reach_the_clip(clip):
    before = clip.copy()
    halved = distortions.apply(clip, distortions.Distortion("-", lambda a, rng: np.multiply(a, 0.5, a)), None)
    np.testing.assert_array_equal(halved, before * np.float32(0.5))
    np.testing.assert_array_equal(clip, before)


def test_a_vocoder_out_of_a_file_can_stand_beside_the_table(tmp_path, monkeypatch, clip):
    file = tmp_path / "toy.onnx"
    with pytest.raises(InputError, match=r"toy\.json"):
        distortions.vocoder(file)
    file.write_bytes(b"graph")
    facts = {
        "sample_rate": RATE,
        "n_fft": 512,
        "hop": 128,
        "window": 512,
        "mels": 40,
        "fmin": 0,
        "fmax": 8_000,
    }
    file.with_suffix(".json").write_text(json.dumps(facts))
    monkeypatch.setattr(distortions, "neural", lambda audio, how, rng, path: 3 * audio)
    made = distortions.vocoder(file)
    assert made.held_out
    out = distortions.apply(clip, made, np.random.default_rng(0))
    assert np.abs(out).max() == 1
