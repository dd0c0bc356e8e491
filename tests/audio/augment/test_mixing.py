"""Splices: what is foreign is where the spans say, to the sample, and labels of frames say the same."""

import csv
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.stats import kstest

from earwitness.audio.augment.codecs import transmit
from earwitness.audio.augment.mixing import (
    ALIGNED,
    MAX_GAIN,
    Splicing,
    alignment_lag,
    check_aligned,
    check_splicing,
    draw_spans,
    paste,
    splice,
    splice_aligned,
)
from earwitness.audio.frames import FrameGrid
from earwitness.errors import InputError

HARD = Splicing()
GRIDS = [FrameGrid(160, 400, 200), FrameGrid(320, 400, 200), FrameGrid(640, 640, 320), FrameGrid(160, 1, 0)]


def any_splicing(rng):
    """Options of every kind, the codec aside, which moves samples."""
    low, high = np.sort(rng.uniform(0.001, 0.999, 2))
    few, many = np.sort(rng.integers(1, 9, 2))
    share = [(0.1, 0.3), (float(low), float(high))][rng.integers(2)]
    segments = [(1, 1), (int(few), int(many))][rng.integers(2)]
    return Splicing(
        share, segments, float(rng.choice([0.0, 0.00013, 0.005, 0.5])), match_level=bool(rng.integers(2))
    )


@pytest.mark.parametrize("aligned", [False, True])
def test_labels_match_the_samples_of_ten_thousand_splices_at_any_length(aligned):
    rng = np.random.default_rng(5)
    for i in range(5_000):
        size = int(rng.integers(1, 70_001)) if i % 2 else int(np.exp(rng.uniform(0, np.log(70_001))))
        splicing = any_splicing(rng)
        other = size if aligned else max(1, int(size * rng.uniform(0.01, 1.5)))
        base = np.full(size, -0.5, np.float32)  # an equal mix of the two is 0
        injector = np.full(other, 0.25 if splicing.match_level else 0.5, np.float32)
        audio, spans = (splice_aligned if aligned else splice)(base, injector, rng, splicing)

        foreign = audio > 0
        assert audio.shape == (size,)
        assert audio.dtype == np.float32
        edges = np.flatnonzero(np.diff(foreign.astype(np.int8), prepend=0, append=0))
        assert [place for span in spans for place in span] == edges.tolist(), (size, splicing)
        for grid in GRIDS:
            truth = foreign[grid.middle :: grid.hop][: grid.count(size)]
            assert np.array_equal(grid.labels(spans, grid.count(size)), truth)
        assert foreign.sum() < size
        low, high = splicing.share
        assert min(round(size * low), size - 1) <= foreign.sum() <= round(size * high) + 1
        assert len(spans) <= splicing.segments[1]
        assert len(spans) >= min(splicing.segments[0], foreign.sum(), size - foreign.sum() + 1)
        beyond = np.abs(audio) != 0.5  # neither base nor injector: in a fade
        near = np.zeros(size + 1, bool)
        half = round(splicing.fade_s * 8_000)
        for place in edges:
            near[max(0, place - half) : place + half] = True
        assert not (beyond & ~near[:size]).any()
        assert splicing.fade_s < 0.001 or size < 2_000 or half > size / 100 or beyond.any()


def test_without_options_it_is_cut_and_paste(speech):
    rng = np.random.default_rng(0)
    base, injector = speech[:64_600], speech[64_600:150_000]
    for _ in range(200):
        audio, [(start, stop)] = splice(base, injector, rng)
        sources = np.flatnonzero(injector == audio[start])
        assert any(np.array_equal(injector[u : u + stop - start], audio[start:stop]) for u in sources)
        assert np.array_equal(np.delete(audio, slice(start, stop)), np.delete(base, slice(start, stop)))
        assert 6_460 <= stop - start <= 19_380
    assert np.array_equal(base, speech[:64_600])


def test_length_place_and_source_are_drawn_as_in_the_paper():
    rng = np.random.default_rng(1)
    size, other = 20_000, 30_000
    base, injector = np.full(size, -1, np.float32), np.arange(other, dtype=np.float32)
    shares, places, sources = [], [], []
    for _ in range(3_000):
        audio, [(start, stop)] = splice(base, injector, rng)
        shares.append((stop - start) / size)
        places.append(start / (size - (stop - start)))
        sources.append(audio[start] / (other - (stop - start)))
    assert kstest(np.array(shares), "uniform", (0.1, 0.2)).pvalue > 0.01
    assert kstest(places, "uniform").pvalue > 0.01
    assert kstest(sources, "uniform").pvalue > 0.01
    assert np.abs(np.corrcoef([shares, places, sources]) - np.eye(3)).max() < 4 / np.sqrt(3_000)


def test_a_short_injector_is_repeated_to_the_length_of_the_base():
    base, injector = np.full(1_000, -1, np.float32), np.arange(70, dtype=np.float32)
    rng = np.random.default_rng(2)
    begins = set()
    for _ in range(300):
        audio, [(start, stop)] = splice(base, injector, rng)
        assert set((np.diff(audio[start:stop]) % 70).tolist()) == {1}
        begins.add(int(audio[start]))
    assert len(begins) > 60


def test_every_place_of_the_injector_is_drawn():
    rng = np.random.default_rng(12)
    base, injector = np.full(10, -1, np.float32), np.arange(10, dtype=np.float32)
    found = Counter(
        tuple(audio[start:stop].tolist())
        for audio, [(start, stop)] in (splice(base, injector, rng, Splicing((0.3, 0.3))) for _ in range(800))
    )
    assert set(found) == {(place, place + 1, place + 2) for place in range(8)}
    assert min(found.values()) > 60  # of 100


def test_all_places_of_several_segments_are_equally_likely():
    rng = np.random.default_rng(3)
    splicing = Splicing(share=(0.375, 0.375), segments=(3, 3))  # 3 of 8 samples
    found = Counter(tuple(start for start, _ in draw_spans(8, rng, splicing)) for _ in range(20_000))
    apart = [c for c in combinations(range(8), 3) if all(b - a > 1 for a, b in pairwise(c))]
    assert set(found) == set(apart)
    expected = 20_000 / len(apart)
    assert sum((n - expected) ** 2 / expected for n in found.values()) < 43.8  # chi², 19 degrees, p = 0.001


def test_segments_share_the_foreign_part_equally():
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(300):
        spans = draw_spans(10_000, rng, Splicing(share=(0.2, 0.5), segments=(2, 4)))
        lengths = [stop - start for start, stop in spans]
        assert max(lengths) - min(lengths) <= 1
        assert 2_000 <= sum(lengths) <= 5_000
        seen.add(len(spans))
    assert seen == {2, 3, 4}


@pytest.mark.parametrize("size", range(1, 12))
def test_clips_too_short_for_what_is_asked(size):
    rng = np.random.default_rng(size)
    asked = Splicing(share=(0.9, 0.95), segments=(100, 100), fade_s=1, match_level=True, codec=1)
    for _ in range(50):
        audio, spans = splice(-np.ones(size, np.float32), np.ones(3, np.float32), rng, asked)
        assert (audio > 0).sum() == sum(stop - start for start, stop in spans) < size
        assert spans or size == 1


def test_an_aligned_splice_of_a_recording_with_itself_is_the_recording(speech):
    rng = np.random.default_rng(6)
    splicing = Splicing(segments=(1, 3), match_level=True)
    for fade in (0.0, 0.01):
        audio, spans = splice_aligned(speech, speech, rng, replace(splicing, fade_s=fade))
        assert spans
        np.testing.assert_allclose(audio, speech, atol=1e-7)


def test_aligned_segments_keep_to_what_both_have():
    rng = np.random.default_rng(7)
    for sizes in ((1_000, 900), (900, 1_000)):
        base, other = (np.arange(size, dtype=np.float32) for size in sizes)
        for _ in range(100):
            audio, [(start, stop)] = splice_aligned(base, -other, rng)
            assert stop <= 900
            assert np.array_equal(audio[start:stop], -base[start:stop])
            assert len(audio) == sizes[0]


@pytest.mark.parametrize("lag", [-1_234, 0, 777])
def test_an_aligned_splice_makes_up_for_a_lag(speech, lag):
    rng = np.random.default_rng(9)
    late = np.concatenate([rng.normal(0, 0.1, max(0, lag)), speech[max(0, -lag) :]]).astype(np.float32)
    places = set()
    for _ in range(100):
        audio, spans = splice_aligned(speech, late, rng, Splicing(share=(0.4, 0.6), segments=(1, 2)), lag)
        assert np.array_equal(audio, speech)
        places |= {place for span in spans for place in span}
    assert min(places) < max(0, -lag) + len(speech) / 50
    assert max(places) > len(speech) * 0.98
    assert splice_aligned(speech[:100], speech, rng, lag=-100)[1] == []


@pytest.mark.parametrize("lag", [-9_001, -40, 0, 1, 39, 5_000])
def test_the_lag_of_a_delayed_copy_is_found_to_the_sample(speech, lag):
    rng = np.random.default_rng(10)
    late = np.concatenate([rng.normal(0, 0.001, max(0, lag)), speech[max(0, -lag) :]])
    spectrum = np.fft.rfft(late)
    spectrum[len(spectrum) * 3 // 8 :] = 0  # nothing above 3 kHz
    for copy in (late, -0.3 * late, np.fft.irfft(spectrum, len(late)), transmit(late, "gsm")):
        found, peak = alignment_lag(speech, copy)
        assert abs(found - lag) <= 1
        assert peak > ALIGNED or copy is not late
    assert alignment_lag(speech, speech) == (0, pytest.approx(1))


def test_the_lag_is_found_where_the_phase_is_lost(speech):
    rng = np.random.default_rng(11)
    late = np.concatenate([np.zeros(2_000), speech])
    late = np.pad(late, (512, 512 + -len(late) % 256))
    shape = np.sin(np.pi * (np.arange(512) + 0.5) / 512)
    frames = np.lib.stride_tricks.sliding_window_view(late, 512)[::256] * shape
    frames = np.fft.irfft(np.abs(np.fft.rfft(frames)) * np.exp(2j * np.pi * rng.random((len(frames), 257))))
    robot = np.zeros(len(late))
    for i, frame in enumerate(frames * shape):
        robot[256 * i : 256 * i + 512] += frame
    lag, peak = alignment_lag(speech, robot[512:])
    assert abs(lag - 2_000) <= 32
    assert peak > 0.8


def test_other_words_and_another_timing_are_not_aligned(speech, samples):
    import soundfile

    other = soundfile.read(samples / "genuine-ljspeech.flac", dtype="float32")[0]
    slower = np.interp(np.arange(0, len(speech), 0.97), np.arange(len(speech)), speech)
    places = np.arange(len(speech))
    uneven = np.interp(places + 480 * np.sin(places / 5_000), places, speech)  # 30 ms to either side
    lengthened = np.concatenate([speech[:80_000], np.zeros(3_200), speech[80_000:]])
    silence = np.zeros(16_000)
    for bad in (other, slower, uneven, lengthened, silence, speech[::-1], speech[:1]):
        with pytest.raises(InputError) as caught:
            check_aligned(speech, bad)
        assert caught.value.code == "not-aligned"
    assert check_aligned(speech, np.concatenate([np.zeros(160), speech])) == 160
    assert abs(alignment_lag(speech, np.concatenate([np.zeros(8_000), speech]), 4_000)[0]) <= 4_032


@pytest.mark.shared
def test_the_threshold_parts_pairs_of_the_demos(shared):
    import soundfile

    rows = list(csv.DictReader((shared / "corpus" / "demos" / "manifest.csv").open()))
    genuine = {row["utt_key"]: row for row in rows if row["label"] == "real"}

    def lag(one, two):
        heard = [soundfile.read(shared / "corpus" / "demos" / row["path"])[0] for row in (one, two)]
        return alignment_lag(heard[0], heard[1])

    coded = [row for row in rows if row["family"] == "codec" and row["utt_key"] in genuine][:12]
    spoken = [row for row in rows if row["family"] == "tts" and row["utt_key"] in genuine][::25]
    assert min(lag(genuine[row["utt_key"]], row)[1] for row in coded) >= ALIGNED
    assert np.mean([lag(genuine[row["utt_key"]], row)[1] >= ALIGNED for row in spoken]) < 0.3
    others = list(genuine.values())
    assert max(lag(others[i], row)[1] for i, row in enumerate(coded + spoken)) < 0.7


def test_fades_are_where_the_cuts_are_and_cross_in_the_middle():
    base, injector = np.zeros(4_000, np.float32), np.ones(4_000, np.float32)
    audio = paste(base, injector, [(1_000, 2_000)], [500], Splicing(fade_s=0.01))
    turn = np.sin(np.linspace(0, np.pi / 2, 161)[:-1] + np.pi / 640) ** 2
    np.testing.assert_allclose(audio[920:1_080], turn, atol=1e-6)
    np.testing.assert_allclose(audio[1_920:2_080], turn[::-1], atol=1e-6)
    assert not audio[:920].any()
    assert not audio[2_080:].any()
    assert (audio[1_080:1_920] == 1).all()
    whole_start = paste(base, injector, [(0, 2_000)], [0], Splicing(fade_s=0.01))
    assert (whole_start[:1_920] == 1).all()


def test_fades_shorten_where_there_is_not_enough():
    base, injector = np.zeros(100, np.float32), np.ones(110, np.float32)
    audio = paste(base, injector, [(10, 20), (24, 90)], [3, 34], Splicing(fade_s=1.0))
    assert ((audio > 0) & (audio < 1)).nonzero()[0].tolist() == [
        *range(7, 13),  # three samples lie before it in the injector
        *range(18, 22),  # two segments have four samples between them
        *range(22, 26),
        *range(85, 95),  # a fade may take half of what is left of the base
    ]


def test_levels_are_those_of_what_is_replaced_within_bounds():
    rng = np.random.default_rng(8)
    base, injector = rng.normal(0, 0.02, 8_000).astype(np.float32), rng.normal(0, 0.05, 8_000)
    splicing = Splicing(match_level=True)
    audio, [(start, stop)] = splice(base, injector, rng, splicing)
    rms = [np.sqrt(np.mean(one[start:stop].astype(float) ** 2)) for one in (audio, base)]
    assert rms[0] == pytest.approx(rms[1], rel=1e-5)
    quiet, [(start, stop)] = splice(base * 0, injector, rng, splicing)
    assert np.std(quiet[start:stop]) == pytest.approx(0.05 / MAX_GAIN, rel=0.1)
    loud, [(start, stop)] = splice(base, injector / 1_000, rng, splicing)
    assert np.std(loud[start:stop]) == pytest.approx(0.00005 * MAX_GAIN, rel=0.1)
    peaky = np.zeros(8_000, np.float32)
    peaky[::500] = 0.8
    audio, _ = splice(np.full(8_000, 0.5, np.float32), peaky, rng, splicing)
    assert np.abs(audio).max() == pytest.approx(1.0)
    audio, [(start, stop)] = splice(base, np.zeros(8_000), rng, splicing)
    assert not audio[start:stop].any()


def test_the_codec_comes_last_and_keeps_length_and_time(speech):
    base, injector = speech[:16_000] * 0, speech[16_000:32_000]
    ran = 0
    for seed in range(8):
        plain, spans = splice(base, injector, np.random.default_rng(seed))
        coded, found = splice(base, injector, np.random.default_rng(seed), Splicing(codec=0.5))
        assert (found, coded.shape) == (spans, plain.shape)
        ran += not np.array_equal(plain, coded)
        (start, stop) = spans[0]
        assert np.std(coded[start:stop]) > 3 * np.std(np.delete(coded, slice(start, stop)))
    assert 1 <= ran <= 7


def test_a_seed_gives_the_same_splice():
    base, injector = np.zeros(9_000, np.float32), np.random.default_rng(0).normal(0, 0.1, 9_000)
    splicing = Splicing(segments=(1, 4), fade_s=0.01)
    first, again, other = (
        splice(base, injector, np.random.default_rng(seed), splicing) for seed in (1, 1, 2)
    )
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1] != other[1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("share", (0.0, 0.3)),
        ("share", (0.3, 0.1)),
        ("share", (0.5, 1.0)),
        ("share", (float("nan"), 0.3)),
        ("segments", (0, 1)),
        ("segments", (3, 2)),
        ("segments", (1, 101)),
        ("fade_s", -0.01),
        ("fade_s", 2.0),
        ("fade_s", float("nan")),
        ("codec", 1.5),
        ("codec", float("nan")),
    ],
)
def test_options_that_cannot_be(option, value):
    splicing = Splicing(**{option: value})
    one = np.ones(100, np.float32)
    for call in (
        lambda: check_splicing(splicing),
        lambda: splice(one, one, np.random.default_rng(0), splicing),
        lambda: splice_aligned(one, one, np.random.default_rng(0), splicing),
    ):
        with pytest.raises(InputError, match=f"^{option} ") as caught:
            call()
        assert caught.value.code == "usage"


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((2, 9)), np.array([0.0, np.nan])])
def test_audio_that_cannot_be_used(bad):
    good = np.ones(100, np.float32)
    for pair in ((bad, good), (good, bad)):
        with pytest.raises(InputError):
            splice(*pair, np.random.default_rng(0))
