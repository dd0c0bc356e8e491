"""`earwitness evaluate-spans` from records and RTTM to report: what is matched, counted, said, refused."""

import json
from itertools import pairwise

import numpy as np
import pytest

from earwitness.audio.rttm import Part, write_rttm
from earwitness.errors import InputError
from earwitness.metrics.detection import eer
from earwitness.operations.evaluate_spans import SpanRequest, lines, run_evaluate_spans, span_report
from earwitness.operations.span_records import as_recording, bare, read_answers, stem

STEP = 0.1
COUNT = 24


def record(path, p_fake, duration=None, spans=(), **more):
    return {
        "path": str(path),
        "verdict": "uncertain",
        "llr": 1.0,
        "duration_s": len(p_fake) * STEP if duration is None else duration,
        "thresholds": {"fake": 0.5, "genuine": 0.2},
        "timeline": {"step_s": STEP, "p_fake": p_fake},
        "spans": [{"start_s": a, "end_s": b, "p_fake": p} for a, b, p in spans],
    } | more


def unscored(path, verdict):
    return {"path": str(path), "verdict": verdict, "llr": None, "spans": []}


@pytest.fixture
def made(tmp_path):
    """A scan of 24 recordings of 2 s, of which every other is fake from 0.5 to 1.0 s, and its RTTM."""
    rng = np.random.default_rng(0)
    rows, parts = [], {}
    for i in range(COUNT):
        fake, p_fake = i % 2 == 1, rng.uniform(0.01, 0.6, 20)
        parts[f"r{i}"] = [Part(0.0, 2.0, True)]
        if fake:
            p_fake[5:10] = rng.uniform(0.3, 0.99, 5)
            parts[f"r{i}"] = [Part(0.0, 0.5, True), Part(0.5, 1.0, False), Part(1.0, 2.0, True)]
        spans = [(0.6, 1.1, 0.7)] if fake else []
        row = record(f"audio/r{i}.flac", [round(p, 3) for p in p_fake], spans=spans)
        rows.append(row | {"llr": float(rng.normal(-1.0 if fake else 1.0, 1))})
    write_rttm(tmp_path / "reference.rttm", parts)
    return {"records": save(tmp_path, rows), "reference": tmp_path / "reference.rttm", "rows": rows}


def save(folder, rows):
    (folder / "scan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "scan.jsonl"


def report_of(made, rows=None, **request):
    if rows is not None:
        save(made["records"].parent, rows)
    return span_report(SpanRequest(made["records"], made["reference"], **{"draws": 0} | request))


def test_figures_are_those_of_the_steps_and_spans(made):
    report = report_of(made)
    fake = np.arange(COUNT) % 2 == 1
    p_fake = np.array([row["timeline"]["p_fake"] for row in made["rows"]])
    spoofed = np.zeros((COUNT, 20), bool)
    spoofed[fake, 5:10] = True
    value = {name: one["value"] for name, one in report["metrics"].items()}
    expected = eer(-p_fake[~spoofed], -p_fake[spoofed])
    assert value["segment_eer_10ms"] == pytest.approx(expected)
    assert value["segment_eer_20ms"] == pytest.approx(expected)
    llr, worst = np.array([row["llr"] for row in made["rows"]]), -p_fake.max(1)
    assert value["utterance_eer"] == pytest.approx(eer(llr[~fake], llr[fake]))
    assert value["utterance_eer_lowest"] == pytest.approx(eer(worst[~fake], worst[fake]))
    called = p_fake >= 0.5
    assert value["segment_recall"] == pytest.approx((called & spoofed).sum() / spoofed.sum())
    assert value["segment_precision"] == pytest.approx((called & spoofed).sum() / called.sum())
    assert value["span_iou"] == pytest.approx(0.4 / 0.6)
    assert value["span_mean_iou"] == pytest.approx(0.4 / 0.6)
    assert value["boundary_error_s"] == pytest.approx(0.1)
    assert [value[f"ap_{least}"] for least in (50, 75, 90)] == [1, 0, 0]
    assert (report["recordings"], report["genuine"], report["with_spoof"], report["spans_found"]) == (
        24,
        12,
        12,
        12,
    )
    assert (report["seconds"], report["seconds_spoof"]) == (pytest.approx(48), pytest.approx(6))
    assert report["matched_by"] == "file name"
    assert report["threshold_from"] == "`fake` of the records"
    assert 0 < report["thresholds"]["segment_eer_20ms"] < 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_threshold_is_reached_by_what_equals_it(made):
    rows = [record(f"r{i}", [0.5] * 20) for i in range(COUNT)]
    assert report_of(made, rows)["metrics"]["segment_recall"]["value"] == 1
    report = report_of(made, rows, threshold=0.51)
    assert report["metrics"]["segment_recall"]["value"] == 0
    assert report["metrics"]["segment_precision"]["value"] is None
    assert report["threshold_from"] == "as given"
    with pytest.raises(InputError, match="between 0 and 1"):
        report_of(made, rows, threshold=1.5)
    rows[0]["thresholds"]["fake"] = 0.9
    with pytest.raises(InputError, match="name 2 thresholds"):
        report_of(made, rows)


def test_steps_without_speech_count_as_bona_fide(made):
    rows = [
        row | {"timeline": {"step_s": STEP, "p_fake": [*[None] * 10, *[0.9] * 10]}} for row in made["rows"]
    ]
    report = report_of(made, rows)
    assert report["metrics"]["segment_recall"]["value"] == 0
    assert (report["steps"], report["steps_without_speech"]) == (20 * COUNT, 10 * COUNT)
    assert "50.0% of them without speech" in "\n".join(lines(report))


def answer_of(made, row):
    return read_answers(save(made["records"].parent, [row]))[0]


@pytest.mark.parametrize(
    ("steps", "duration", "edges", "scores"),
    [
        (3, 0.3, [0, 0.1, 0.2, 0.3], [-0.5] * 3),
        (3, 0.38, [0, 0.1, 0.2, 0.3], [-0.5] * 3),  # the last step is stretched
        (3, 0.75, [0, 0.1, 0.2, 0.3, 0.75], [-0.5, -0.5, -0.5, 0]),  # what was not scored is not fake
        (0, 0.75, [0, 0.75], [0]),
    ],
)
def test_a_timeline_reaches_to_the_end(made, steps, duration, edges, scores):
    answer = answer_of(made, record("a", [0.5] * steps, duration))
    recording = as_recording(answer, [Part(0.0, duration, True)], made["records"])
    assert recording.edges == pytest.approx(edges)
    assert recording.scores == pytest.approx(scores)


def test_the_reference_says_when_a_recording_ends_unless_it_names_parts_only(made):
    answer = answer_of(made, record("a", [0.5] * 20, 2.03))
    whole = as_recording(answer, [Part(0.0, 1.0, True), Part(1.0, 2.0, False)], made["records"])
    assert whole.duration_s == 2.0  # padding of a codec is no genuine speech
    part = as_recording(answer, [Part(1.0, 1.5, False)], made["records"])
    assert (part.duration_s, part.spoof.tolist()) == (2.03, [[1.0, 1.5]])


def test_what_was_not_scored_is_left_out_counted_and_named(made):
    rows = [*made["rows"][:-2], unscored("audio/r22.flac", "no-speech"), unscored("audio/r23.flac", "error")]
    report = report_of(made, rows)
    assert report["recordings"] == 22
    assert report["coverage"]["unscored"] == {
        "no-speech": {"bona_fide": 1, "spoof": 0},
        "error": {"bona_fide": 0, "spoof": 1},
    }
    assert report["coverage"]["left_out"]["error"] == ["audio/r23.flac"]
    text = "\n".join(lines(report))
    assert "1 error (0 bona fide, 1 spoofed)" in text
    assert "no-speech: audio/r22.flac" in text


def test_missing_recordings_stop_it_unless_allowed(made):
    rows = [*made["rows"][3:], record("audio/other.wav", [0.1] * 20)]
    with pytest.raises(InputError) as caught:
        report_of(made, rows)
    assert caught.value.code == "bad-scores"
    assert "1 recordings have no line in the reference (audio/other.wav)" in caught.value.message
    assert "3 recordings of the reference have no record (r0, r1, r2)" in caught.value.message
    report = report_of(made, rows, allow_missing=True)
    assert report["recordings"] == 21
    assert report["coverage"]["left_out"] == {
        "without_record": ["r0", "r1", "r2"],
        "without_reference": ["audio/other.wav"],
    }
    assert "without record: r0, r1, r2" in "\n".join(lines(report))


def test_recordings_are_matched_by_path_or_by_the_id_of_a_protocol(made, tmp_path):
    pytest.importorskip("polars")
    write_rttm(tmp_path / "by-id.rttm", {f"DS-{i}": parts_of(i) for i in range(COUNT)})
    table = "".join(
        f"DS-{i},{'fake' if i % 2 else 'real'},$ROOT/x/r{i}.flac,p{i // 4}\n" for i in range(COUNT)
    )
    (tmp_path / "protocol.csv").write_text(f"ID,Label,Path,Page\n{table}")
    request = {"protocol": tmp_path / "protocol.csv", "draws": 400, "groups": "page"}
    by_id = report_of({**made, "reference": tmp_path / "by-id.rttm"}, **request)
    assert by_id["matched_by"] == "ID"
    assert by_id["intervals"]["groups"] == {"all": 6, "bona_fide": 6, "spoof": 6}
    assert "6 groups (page)" in " ".join(by_id["warnings"])
    write_rttm(tmp_path / "by-path.rttm", {f"audio/r{i}": parts_of(i) for i in range(COUNT)})
    by_path = report_of({**made, "reference": tmp_path / "by-path.rttm"}, **request)
    assert by_path["matched_by"] == "path"
    assert by_path["metrics"] == by_id["metrics"]
    (tmp_path / "protocol.csv").write_text(f"ID,Label,Path,Page\n{table.partition('DS-23')[0]}")
    with pytest.raises(InputError, match="1 recordings have no row there"):
        report_of({**made, "reference": tmp_path / "by-path.rttm"}, **request)
    allowed = report_of({**made, "reference": tmp_path / "by-path.rttm"}, **request, allow_missing=True)
    assert allowed["intervals"]["groups"]["all"] == 7
    with pytest.raises(InputError, match="--groups speaker"):
        report_of(made, **request | {"groups": "speaker"}, allow_missing=True)
    with pytest.raises(InputError, match="--protocol"):
        report_of(made, groups="page")


def parts_of(i):
    cuts = [0.0, 0.5, 1.0, 2.0] if i % 2 else [0.0, 2.0]
    return [Part(a, b, k != 1) for k, (a, b) in enumerate(pairwise(cuts))]


def test_one_name_fits_one_recording(made):
    rows = [*made["rows"], made["rows"][0] | {"path": "other/r0.wav"}]
    with pytest.raises(InputError, match="2 recordings have the file name 'r0'"):
        report_of(made, rows)
    with pytest.raises(InputError, match="none of its recordings is in"):
        report_of(made, [record("x", [0.1] * 20)])


def test_names_lose_folders_and_endings_of_audio_only():
    assert [stem(name) for name in ("a/b.c/d.FLAC", "d.v2", r"c:\x\d.wav", "d")] == ["d", "d.v2", "d", "d"]
    assert bare("a/b.wav") == "a/b"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"timeline": None}, "scan again with --timeline"),
        ({"timeline": {"step_s": 0, "p_fake": [0.1]}}, "above 0 s"),
        ({"timeline": {"step_s": 0.1, "p_fake": ["0.1"]}}, "p_fake is '0.1'"),
        ({"timeline": {"step_s": 0.1, "p_fake": [1.2]}}, "not between 0 and 1"),
        ({"timeline": {"step_s": 0.1, "p_fake": [True]}}, "p_fake is 'True'"),
        ({"timeline": {"step_s": 1e400, "p_fake": [0.1]}}, "step_s is 'inf'"),
        ({"llr": None}, "llr is 'None'"),
        ({"llr": 10**400}, "int too large"),
        ({"spans": [{"start_s": 1}]}, "end_s"),
        ({"spans": [{"start_s": 1, "end_s": 0.5, "p_fake": 0.5}]}, "found spans must"),
        ({"thresholds": None}, "row 3"),
        ({"verdict": "error"}, "there is a score"),
        ({"path": "audio/r0.flac"}, "stands in row 1 already"),
    ],
)
def test_what_is_no_record_is_refused_with_its_row(made, change, expected):
    rows = [*made["rows"]]
    rows[2] = rows[2] | change
    with pytest.raises(InputError, match=expected) as caught:
        report_of(made, rows)
    assert "row 3" in caught.value.message


@pytest.mark.parametrize("text", ["", "\n\n", "[1]\n", "nonsense\n", '{"path": 1}\n', "\ufffe", "[" * 9999])
def test_what_is_no_scan_is_refused(made, text):
    made["records"].write_text(text)
    with pytest.raises(InputError) as caught:
        report_of(made)
    assert caught.value.code == "bad-scores"
    made["records"].unlink()
    with pytest.raises(InputError) as caught:
        report_of(made)
    assert caught.value.code == "not-found"


def test_steps_of_no_length_need_no_memory(made):
    rows = [row | {"timeline": {"step_s": 1e-9, "p_fake": [0.5] * 3}} for row in made["rows"]]
    assert report_of(made, rows)["metrics"]["range_eer"]["value"] == pytest.approx(0.5)


def test_readers_are_warned(made, tmp_path):
    assert report_of(made)["warnings"] == []
    rows = [row | {"duration_s": 1.5} for row in made["rows"][:1]] + made["rows"][1:]
    assert "1 recordings do not end when their reference does (r0)" in report_of(made, rows)["warnings"][0]
    rows = [row | {"timeline": {"step_s": STEP, "p_fake": [0.0] * 10 + [0.5] * 10}} for row in made["rows"]]
    assert "50.0% of the steps with speech have a p(fake) of 0 or 1" in report_of(made, rows)["warnings"][0]
    few = [made["rows"][1], made["rows"][3]]
    write_rttm(tmp_path / "few.rttm", {"r1": parts_of(1), "r3": parts_of(3)})
    text = " ".join(report_of({**made, "reference": tmp_path / "few.rttm"}, few)["warnings"])
    assert "Only 2 recordings hold anything spoofed" in text
    assert "No recording is genuine throughout" in text


def test_nothing_spoofed_is_an_error_not_a_figure(made, tmp_path):
    write_rttm(tmp_path / "genuine.rttm", {f"r{i}": [Part(0.0, 2.0, True)] for i in range(COUNT)})
    with pytest.raises(InputError, match="everything is bona fide"):
        report_of({**made, "reference": tmp_path / "genuine.rttm"})


def test_a_table_or_json_is_printed(made, capsys):
    request = SpanRequest(made["records"], made["reference"], draws=400)
    run_evaluate_spans(request, as_json=True)
    report = json.loads(capsys.readouterr().out)
    low, high = report["metrics"]["range_eer"]["low"], report["metrics"]["range_eer"]["high"]
    assert low < report["metrics"]["range_eer"]["value"] < high
    run_evaluate_spans(request, as_json=False)
    text = capsys.readouterr().out
    assert "24 recordings: 12 genuine, 12 with fakes; 0:48.0 in all, 0:06.0 of it fake in 12 spans" in text
    assert "95 % interval by utterance" in text
    assert "segments of 20 ms called fake at p(fake) 0.5" in text
    for title in ("segment EER, 640 ms", "range EER", "IoU, all seconds", "median distance of boundaries"):
        assert title in text


def test_an_open_interval_shows_its_end(made):
    rows = [row | {"spans": []} if i in (1, 3, 5, 7, 9) else row for i, row in enumerate(made["rows"])]
    report = report_of(made, rows, draws=400)
    assert report["metrics"]["boundary_error_s"]["high"] is None
    assert "0.1000 – ∞" in "\n".join(lines(report))
