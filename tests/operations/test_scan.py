import os

import numpy as np
import pytest
import soundfile

import earwitness
from earwitness import ScanOptions, scan, scan_many, to_record


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
