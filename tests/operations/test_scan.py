import dataclasses
import os
import shutil
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
import soundfile

import earwitness
from earwitness import ScanOptions, scan, scan_many, to_record
from earwitness.audio.frames import FrameGrid
from earwitness.decision.engines import Outputs
from earwitness.decision.localisation import Localisation, SpanRule
from earwitness.operations import scan as scanning
from earwitness.operations.hearing import hear


def test_a_file_its_bytes_and_its_samples_get_one_verdict(samples):
    path = samples / "genuine-ljspeech.flac"
    audio, rate = soundfile.read(path, dtype="float32")
    by_path, by_bytes, by_array = scan(path), scan(path.read_bytes()), scan(audio, sample_rate=rate)
    assert by_path.llr == pytest.approx(by_bytes.llr, abs=1e-6)
    assert by_path.llr == pytest.approx(by_array.llr, abs=1e-4)
    assert by_path.sha256 == by_bytes.sha256
    with path.open("rb") as file:
        assert scan(file).llr == by_path.llr


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.flac", {}),
        ("a.aiff", {}),
    ],
)
def test_lossless_formats_agree(write, name, options):
    reference = scan(write("reference.wav", subtype="PCM_16"))
    assert scan(write(name, **options)).llr == pytest.approx(reference.llr, abs=0.05)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_higher_sample_rates_agree(write, speech, rate):
    import soxr

    reference = scan(write("reference.wav"))
    raised = soxr.resample(speech[:64_000], 16_000, rate, "VHQ")
    assert scan(write("a.wav", raised, rate)).llr == pytest.approx(reference.llr, abs=0.05)


def test_every_file_is_answered_once_with_any_number_of_threads(samples, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    paths = [*sorted(samples.iterdir()), tmp_path / "empty.wav", tmp_path / "missing.wav"]
    by_threads = []
    for threads in (1, 2, 5):
        verdicts = list(scan_many(paths, options=ScanOptions(threads=threads)))
        assert sorted(v.path for v in verdicts) == sorted(map(str, paths))
        by_threads.append({v.path: v for v in verdicts})
    for path in map(str, paths):
        one, *others = (verdicts[path] for verdicts in by_threads)
        for other in others:
            assert one.verdict == other.verdict
            assert (one.llr or 0) == pytest.approx(other.llr or 0, abs=1e-4)
    errors = {v.path: v.error.code for v in by_threads[0].values() if v.error}
    assert errors == {str(tmp_path / "empty.wav"): "empty-file", str(tmp_path / "missing.wav"): "not-found"}


def test_a_long_recording_is_decoded_on_while_a_part_of_it_is_scored(detector, tmp_path, speech):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(speech, 12), 16_000)
    begun, further = Event(), Event()

    def run(clips):
        begun.set()
        assert further.wait(10)
        return detector.run(clips)

    def watch(_):
        if begun.is_set():
            further.set()

    heard = hear(replace(detector, run=run), path, ScanOptions(), watch)
    assert heard.error is None
    assert [(w.start_s, w.score) for w in heard.windows] == [
        (w.start_s, pytest.approx(w.score)) for w in scan(path, model=detector).windows
    ]


def test_windows_side_by_side_are_the_windows_in_turn(detector, tmp_path, speech):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(speech, 14), 16_000)
    assert scanning.is_long(path, 3)
    options = ScanOptions(threads=3)
    several = scanning.open_detector(None, options, workers=1, long=True)
    assert several.ahead == 3
    assert scanning.open_detector(None, options, workers=3, long=True).ahead == 1
    found, wanted = (scan(path, model=one, timeline=True) for one in (several, detector))
    assert [w.start_s for w in found.windows] == [w.start_s for w in wanted.windows]
    assert [w.score for w in found.windows] == pytest.approx([w.score for w in wanted.windows], abs=1e-3)
    assert found.timeline is not None
    assert wanted.timeline is not None
    assert found.timeline.p_fake == pytest.approx(wanted.timeline.p_fake, abs=1e-2)


def test_scoring_that_fails_ends_its_recording(detector, speech):
    def fails(_):
        raise RuntimeError("out of order")

    verdict = scan(np.tile(speech, 8), model=replace(detector, run=fails))
    assert (verdict.verdict, verdict.rule) == ("error", "internal")


def test_long_recordings_are_cut_and_only_speech_is_scored(tmp_path, speech):
    path = tmp_path / "long.wav"
    pause = np.zeros(16_000 * 40, np.float32)
    soundfile.write(path, np.concatenate([np.tile(speech, 4), pause, np.tile(speech, 2)]), 16_000)
    verdict = scan(path, timeline=True)
    assert verdict.quality is not None
    assert verdict.timeline is not None
    assert verdict.quality.duration_s == pytest.approx(len(speech) * 6 / 16_000 + 40)
    assert all(w.end_s - w.start_s == 12 for w in verdict.windows)
    silent = (len(speech) * 4 / 16_000 + 1, len(speech) * 4 / 16_000 + 39)
    assert not any(w.start_s > silent[0] and w.end_s < silent[1] for w in verdict.windows)
    assert verdict.score == pytest.approx(np.mean([w.score for w in verdict.windows]))
    steps = verdict.timeline.p_fake
    assert all(p is None for p in steps[int(silent[0] * 2) + 2 : int(silent[1] * 2) - 2])


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 3), (2, 5)])
def test_silence_around_a_clip_does_not_move_the_score(speech, before, after):
    plain = scan(speech)
    padded = scan(np.pad(speech, (before * 16_384, after * 16_384)), timeline=True)
    assert padded.llr == pytest.approx(plain.llr, abs=0.15)
    assert padded.windows[0].start_s == pytest.approx(plain.windows[0].start_s + before * 1.024, abs=0.1)
    assert padded.timeline is not None
    assert len(padded.timeline.p_fake) == pytest.approx(len(speech) / 8_000 + 2.048 * (before + after), abs=1)


def sees_marks(grid):
    """Runs as a network whose frames tell, without fail, samples whose last bit is set."""

    def run(clips):
        frames = max(grid.count(len(clip)) for clip in clips)
        scores = np.zeros((len(clips), frames + 1), np.float32)  # one too many, as of a padded batch
        for row, clip in zip(scores, clips, strict=True):
            middles = grid.middles(grid.count(len(clip)))
            row[: len(middles)] = np.where(np.round(clip[middles] * 32_768).astype(int) & 1, -6, 6)
        return Outputs(scores.mean(axis=1), scores, scores[:, :1])

    return run


def marked(speech, seconds, spans):
    """Speech of 16 bits, the last of which is set within the spans."""
    pcm = (np.resize(speech, seconds * 16_000) * 32_767).astype(np.int16) & ~1
    for start, stop in spans:
        pcm[start:stop] |= 1
    return pcm


@pytest.mark.parametrize("grid", [FrameGrid(320, 400, 200), FrameGrid(640, 512, 256), FrameGrid(320, 320, 0)])
@pytest.mark.parametrize("seconds", [9, 101])  # whole, and in windows of which the last one is moved back
@pytest.mark.parametrize("gate", [True, False])
def test_spans_of_taught_frames_lie_where_the_fakes_do(detector, speech, tmp_path, grid, seconds, gate):
    spans = [(30_007, 50_001), (60_000, 73_333)]
    short = [(800_000, 804_000)] * (seconds > 9)  # than `min_s`
    spans += [(896_000, 916_001), (1_595_000, 1_616_000)] * (seconds > 9)  # over two windows; to the end
    path = tmp_path / "marked.wav"
    soundfile.write(path, marked(speech, seconds, spans + short), 16_000)
    rule = SpanRule(smooth_s=0.1, threshold=0.8, edge=0.8, min_s=0.3, merge_s=0.1)
    how = Localisation(grid, 0.5, None, rule, True, None)
    taught = dataclasses.replace(detector, run=sees_marks(grid), calibration=None, localisation=how)
    verdict = scan(path, model=taught, gate=gate, timeline=True)
    for found, (start, stop) in zip(verdict.spans, spans, strict=True):
        assert abs(found.start_s * 16_000 - start) <= grid.hop
        assert abs(found.end_s * 16_000 - stop) <= grid.hop
    assert verdict.timeline is not None
    steps = verdict.timeline.p_fake
    assert steps[4:6] == pytest.approx((1, 1), abs=0.01)  # 2.0 to 3.0 s
    assert steps[10] == pytest.approx(0, abs=0.01) or steps[10] is None


def test_llr_and_p_fake_follow_from_the_card(samples, detector):
    verdict = scan(samples / "genuine-vctk.mp3", prior=0.2)
    card = detector.card["calibration"]["clip"]
    assert verdict.llr == pytest.approx(card["scale"] * verdict.score + card["offset"])
    odds = 0.2 / 0.8 * np.exp(-verdict.llr)
    assert verdict.p_fake == pytest.approx(odds / (1 + odds))


def test_no_speech_is_answered_not_guessed_and_the_gate_can_be_opened(samples):
    closed = scan(samples / "pink-noise.flac")
    assert (closed.verdict, closed.llr, closed.windows) == ("no-speech", None, ())
    assert closed.rule.startswith("no-speech: ")
    assert scan(samples / "pink-noise.flac", gate=False).llr is not None


def test_a_cut_off_file_is_refused_or_scored_with_a_warning(write):
    path = write("a.wav")
    path.write_bytes(path.read_bytes()[:80_000])
    refused = scan(path)
    assert refused.error is not None
    assert refused.error.code == "truncated"
    scored = scan(path, gate=False)
    assert scored.llr is not None
    assert any("cut off" in warning for warning in scored.warnings)


def test_wrong_priors_and_shapes_raise(speech):
    with pytest.raises(ValueError, match="prior"):
        scan(speech, prior=1.0)
    with pytest.raises(ValueError, match="expected audio"):
        scan(np.zeros((2, 2, 2), np.float32))


def test_stopping_early_leaves_no_threads(samples):
    import threading

    before = threading.active_count()
    verdicts = scan_many([samples / "genuine-ljspeech.flac"] * 20, options=ScanOptions(threads=2))
    next(verdicts)
    verdicts.close()
    assert threading.active_count() <= before + 1


def test_a_file_that_vanishes_gets_its_record(write):
    path = write("a.wav")
    sources = iter([path])
    verdicts = scan_many(sources)
    os.unlink(path)
    (verdict,) = verdicts
    assert verdict.error is not None
    assert verdict.error.code == "not-found"


def test_the_shipped_samples_are_not_called_the_opposite(samples):
    # A guard on polarity: training files of the shipped model, so this shows nothing else.
    opposite = {"genuine": "fake", "generated": "genuine"}
    for path in samples.iterdir():
        kind = path.name.split("-")[0]
        if kind in opposite:
            assert scan(path).verdict != opposite[kind], path.name


def test_records_of_real_verdicts_are_json(samples):
    import json

    for path in samples.iterdir():
        record = to_record(scan(path, timeline=True))
        assert json.loads(json.dumps(record)) == record
        assert record["model"]["digest"] == earwitness.load_detector().id.digest


MOVES = ("score", "llr", "p_fake", "windows", "worst", "rule")  # a little, with what else is in a batch


def test_copies_are_scored_once_and_answered_each(samples, tmp_path, monkeypatch):
    paths, scored, real = [], [], scanning.score_clips
    for number in range(12):
        name = "genuine-librispeech.flac" if number % 2 else "generated-tortoise.flac"
        paths.append(shutil.copy(samples / name, tmp_path / f"{number}.flac"))

    def counted(detector, clips):
        scored.extend(clips)
        return real(detector, clips)

    monkeypatch.setattr(scanning, "score_clips", counted)
    fresh = {v.path: v for v in scan_many(paths, options=ScanOptions(threads=1, cache=False))}
    assert len(scored) == 12
    cached = {v.path: v for v in scan_many(paths, options=ScanOptions(threads=1))}
    assert len(scored) == 12 + 2
    assert cached.keys() == fresh.keys() == set(map(str, paths))
    for path, verdict in fresh.items():
        one, other = to_record(verdict), to_record(cached[path])
        assert other["llr"] == pytest.approx(one["llr"], abs=1e-3)
        assert {**one, **dict.fromkeys(MOVES)} == {**other, **dict.fromkeys(MOVES)}


def test_copies_of_what_fails_name_themselves(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for path in paths:
        path.write_bytes(b"no audio at all" * 10)
    found = list(scan_many(paths, options=ScanOptions(threads=1)))
    assert {v.path for v in found} == set(map(str, paths))
    assert all(v.error and v.error.code == "not-audio" for v in found)
    assert len({v.error.message for v in found}) in (1, 3)


def test_only_the_latest_verdicts_are_remembered(samples, monkeypatch):
    monkeypatch.setattr(scanning, "REMEMBERED", 2)
    memory = scanning.Memory()
    verdict = scan(samples / "pink-noise.flac")
    for name in "abc":
        memory.note(replace(verdict, sha256=name))
    assert [memory.recall(name) is not None for name in "abc"] == [False, True, True]
    assert memory.recall(None) is None


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_a_recording_is_long_by_its_header(kind, tmp_path, speech):
    long, short = (tmp_path / f"{name}.{kind}" for name in ("long", "short"))
    soundfile.write(long, np.tile(speech, 8), 16_000)
    soundfile.write(short, speech, 16_000)
    assert 40 < len(speech) * 8 / 16_000 < 100
    assert scanning.is_long(long, 2)
    assert not scanning.is_long(long, 8)  # too few windows for all of them
    assert not scanning.is_long(long, 1)
    assert not scanning.is_long(short, 2)


def test_what_is_no_file_to_open_is_not_long(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    for source in (tmp_path / "text.wav", tmp_path / "gone.wav", tmp_path, b"RIFF", np.zeros(10**7)):
        assert not scanning.is_long(source, 2)
