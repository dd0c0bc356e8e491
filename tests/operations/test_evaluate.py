"""`earwitness evaluate` from files to report: what is read, said, written, refused."""

import csv
import json

import numpy as np
import pytest

from earwitness.errors import InputError
from earwitness.metrics.detection import Costs, eer, eer_threshold
from earwitness.metrics.scores import write_key, write_scores
from earwitness.operations.evaluate import Request, costs_of, make_report, parse_only, run_evaluate
from earwitness.operations.evaluation_table import harmless_cell, lines, table_text

pytest.importorskip("polars")

N = 120
RNG = np.random.default_rng(0)
BONA_FIDE = np.arange(N) % 3 == 0
SCORES = RNG.normal(np.where(BONA_FIDE, 1.0, -1.0), 1.4)
IDS = [f"t{i:03}" for i in range(N)]
POINTS = {"draws": 0}


@pytest.fixture
def files(tmp_path):
    """A score file and its key."""
    write_scores(tmp_path / "scores.tsv", IDS, SCORES)
    write_key(tmp_path / "key.tsv", IDS[::-1], BONA_FIDE[::-1])
    return {"scores": tmp_path / "scores.tsv", "key": tmp_path / "key.tsv"}


@pytest.fixture
def protocol(tmp_path):
    """A protocol with attributes, as `corpus prepare` writes it, with its root beside it."""
    rows = [
        "ID,Label,Duration,SampleRate,Path,Attack,Speaker,Proportion,AudioChannel,AudioEncoding,"
        "AudioBitSample,Language"
    ]
    for i, (name, real) in enumerate(zip(IDS, BONA_FIDE, strict=True)):
        attack = "-" if real else f"=A{i % 2}"
        split = "test" if i < 90 else "train"
        rows.append(
            f"DS-{name},{'real' if real else 'fake'},{1 + i % 9},16000,$ROOT/wav/{name}.wav,{attack},"
            f"s{i % 12},{split},1,PCM_S,16,{'EN' if i % 2 else 'DE'}"
        )
    (tmp_path / "protocol.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "protocol.json").write_text(json.dumps({"root": str(tmp_path / "corpus")}))
    return tmp_path / "protocol.csv"


@pytest.fixture
def scan(tmp_path):
    """Records of a scan of the protocol's test split; one recording holds no speech, one is broken."""
    rows = []
    for i in range(90):
        record = {"path": str(tmp_path / "corpus" / "wav" / f"{IDS[i]}.wav"), "model": {"digest": "ab"}}
        score = {"verdict": "uncertain", "score": SCORES[i] / 2, "llr": SCORES[i]}
        if i in (0, 1):
            score = {"verdict": ("no-speech", "error")[i], "score": None, "llr": None}
        rows.append(json.dumps(record | score))
    (tmp_path / "scan.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path / "scan.jsonl"


def report_of(**request):
    return make_report(Request(**POINTS | request))[0]


def test_scores_and_key_give_the_figures_of_their_trials(files):
    report = report_of(**files)
    assert report["metrics"]["eer"]["value"] == pytest.approx(eer(SCORES[BONA_FIDE], SCORES[~BONA_FIDE]))
    assert (report["bona_fide"], report["spoof"]) == (40, 80)
    assert report["coverage"] == {
        "key_rows": N,
        "evaluated": N,
        "share": 1.0,
        "unscored": {},
        "key_rows_without_score": 0,
        "scores_without_key": 0,
    }
    assert report["files"]["key"]["layout"] == "named columns"
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_a_scan_meets_its_protocol_by_path_and_what_it_left_out_is_said(protocol, scan):
    request = {"scores": scan, "key": protocol, "only": (("split", ("test",)),)}
    report = report_of(**request, by=("generator", "language", "length"))
    assert report["matched_by"] == "path"
    assert report["trials"] == 88
    assert report["coverage"]["unscored"] == {
        "error": {"bona_fide": 0, "spoof": 1},
        "no-speech": {"bona_fide": 1, "spoof": 0},
    }
    assert report["coverage"]["share"] == pytest.approx(88 / 90)
    text = " ".join(report["warnings"])
    assert "1 error (0 bona fide, 1 spoofed)" in text
    assert "1 no-speech (1 bona fide, 0 spoofed)" in text
    assert "nothing here speaks for the others" in text
    counts = {(row["by"], row["name"]): (row["bona_fide"], row["spoof"]) for row in report["subgroups"]}
    assert set(counts) == {
        ("generator", "=A0"),
        ("generator", "=A1"),
        ("language", "DE"),
        ("language", "EN"),
    } | {("length", name) for name in ("under 2 s", "2 to 4 s", "4 to 8 s", "8 to 16 s")}
    assert counts["generator", "=A0"][0] == 29  # all bona fide trials that have a score
    assert sum(sum(pair) for (by, _), pair in counts.items() if by == "language") == 88


def test_speakers_are_hinted_at_and_resampled(protocol, scan):
    request = {"scores": scan, "key": protocol, "only": (("split", ("test",)),), "draws": 400}
    assert "--groups speaker" in " ".join(report_of(**request)["warnings"])
    report = report_of(**request, groups="speaker")
    assert report["intervals"]["groups"]["all"] == 12
    assert "--groups speaker" not in " ".join(report["warnings"])


def test_thresholds_are_given_or_come_from_development_scores(files, tmp_path):
    assert report_of(**files)["threshold"] == 0
    assert report_of(**files, threshold=0.7)["threshold"] == 0.7
    dev = SCORES + 0.5
    write_scores(tmp_path / "dev.tsv", IDS, dev)
    report = report_of(**files, threshold_from=tmp_path / "dev.tsv", dev_key=files["key"])
    expected = eer_threshold(dev[BONA_FIDE], dev[~BONA_FIDE])[1]
    assert report["threshold"] == pytest.approx(expected)
    assert report["threshold_from"] == "EER of dev.tsv"
    miss, false_alarm = np.mean(SCORES[BONA_FIDE] < expected), np.mean(SCORES[~BONA_FIDE] >= expected)
    assert report["metrics"]["hter"]["value"] == pytest.approx((miss + false_alarm) / 2)
    with pytest.raises(InputError, match="name one of them"):
        report_of(**files, threshold=0.0, threshold_from=tmp_path / "dev.tsv")
    with pytest.raises(InputError, match="--threshold-from"):
        report_of(**files, dev_key=files["key"])


def test_other_json_beside_a_key_without_paths_is_no_concern(files):
    files["key"].with_suffix(".json").write_text("[1]")
    assert report_of(**files)["trials"] == N


def test_a_second_system_is_compared_on_the_same_trials(files, tmp_path):
    write_scores(tmp_path / "other.tsv", IDS[::-1], 2 * SCORES[::-1])
    request = {**files, "against": tmp_path / "other.tsv"}
    report, systems = make_report(Request(**request, draws=400))
    assert report["against"]["metrics"]["eer"]["difference"] == 0
    assert report["against"]["metrics"]["cllr"]["difference"] < 0
    assert {name: len(sides[0]) for name, sides in systems.items()} == {"scores": 40, "other": 40}
    (tmp_path / "other.tsv").write_text("filename\tcm-score\n" + "".join(f"{i}\t1\n" for i in IDS[:90]))
    with pytest.raises(InputError, match="30 rows of the key have no score"):
        report_of(**request)
    report = report_of(**request, allow_missing=True)
    assert (report["trials"], report["against"]["scored_by_one_only"]) == (90, 30)


def test_asv_scores_give_rates_and_t_eer(tmp_path):
    labels = np.where(BONA_FIDE, np.where(np.arange(N) % 2, "target", "nontarget"), "spoof")
    asv = RNG.normal(np.where(labels == "target", 2.0, np.where(labels == "spoof", 1.0, -2.0)), 1)
    rows = zip(asv.tolist(), SCORES.tolist(), labels, strict=True)
    table = tmp_path / "sasv.csv"
    table.write_text("asv-score,cm-score,asv-label\n" + "".join(f"{a!r},{s!r},{c}\n" for a, s, c in rows))
    without, paired = report_of(scores=table), report_of(scores=table, asv=table)
    assert "t_eer" not in without["metrics"]
    assert not without["asv"]["given"]
    assert paired["asv"]["p_miss"] < 0.2
    other = tmp_path / "asv.txt"
    other.write_text("".join(f"- {c} {float(a)!r}\n" for a, c in zip(asv, labels, strict=True)))
    apart = report_of(scores=table, asv=other)
    for name in ("t_eer", "min_tdcf"):
        assert apart["metrics"][name]["value"] == pytest.approx(paired["metrics"][name]["value"])
    write_scores(tmp_path / "cm.tsv", IDS, SCORES)
    with pytest.raises(InputError, match="needs a column asv-score"):
        report_of(scores=table, asv=tmp_path / "cm.tsv")


def test_lines_are_for_people_and_name_the_warnings(protocol, scan):
    report = report_of(
        scores=scan, key=protocol, only=(("split", ("test",)),), by=("generator",), draws=400, threshold=0.25
    )
    text = "\n".join(lines(report))
    assert "88 trials: 29 bona fide, 59 spoofed" in text
    assert "95 % interval by utterance" in text
    assert "at threshold 0.25 (as given)" in text
    assert text.index("by generator, worst first") < text.index("! Left out")
    assert "=A0" in text


def test_the_csv_holds_every_figure_and_no_formula(protocol, scan):
    report = report_of(scores=scan, key=protocol, only=(("split", ("test",)),), by=("generator",), draws=400)
    rows = list(csv.DictReader(table_text(report).splitlines()))
    everyone = {row["metric"]: row for row in rows if row["by"] == "all"}
    assert float(everyone["eer"]["value"]) == report["metrics"]["eer"]["value"]
    assert float(everyone["cllr"]["low"]) == report["metrics"]["cllr"]["low"]
    assert everyone["eer_asvspoof"]["low"] == ""
    assert {row["name"] for row in rows if row["by"] == "generator"} == {"'=A0", "'=A1"}


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("-", "-"),
        ("-2+3", "'-2+3"),
        ("a\x1bb\n", "a\\x1bb\\n"),
        ("A07", "A07"),
    ],
)
def test_cells_are_harmless(cell, shown):
    assert harmless_cell(cell) == shown


def test_page_plots_and_csv_are_written(files, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    request = Request(
        **files, draws=0, html=tmp_path / "o.html", plots=tmp_path / "plots", csv=tmp_path / "o.csv"
    )
    run_evaluate(request, as_json=True)
    assert json.loads(capsys.readouterr().out)["trials"] == N
    assert (tmp_path / "o.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "o.csv").read_text().startswith("by,name,bona_fide,spoof,metric,value,low,high")
    assert len(list((tmp_path / "plots").iterdir())) == 8
    assert not list(tmp_path.glob(".*.part"))


def test_what_is_read_is_never_written_over(files, tmp_path):
    before = files["key"].read_bytes()
    for output in ({"html": files["key"]}, {"csv": tmp_path / "x", "html": tmp_path / "x"}):
        with pytest.raises(InputError, match="already read or written"):
            run_evaluate(Request(**files, **output), as_json=True)
    assert files["key"].read_bytes() == before
    with pytest.raises(InputError, match="cannot be written"):
        run_evaluate(Request(**files, draws=0, csv=tmp_path / "no" / "folder.csv"), as_json=True)


def test_columns_that_are_not_there_are_named(files):
    for request, expected in (({"by": ("codec",)}, "--by codec"), ({"groups": "page"}, "--groups page")):
        with pytest.raises(InputError, match=expected):
            report_of(**files, **request)


def test_one_class_or_no_scores_of_the_countermeasure_are_refused(tmp_path):
    file = tmp_path / "scores"
    file.write_text("a - bonafide 1\nb - bonafide 2\n")
    with pytest.raises(InputError, match="scores: all 2 trials are bona fide"):
        report_of(scores=file)
    file.write_text("filename,cm-score,sasv-score,asv-label\na,-,1,target\nb,-,2,spoof\n")
    with pytest.raises(InputError, match="nothing in a column cm-score"):
        report_of(scores=file)


def test_choices_and_costs_are_parsed():
    assert parse_only(["split=eval,hidden", "codec=a=b"]) == (
        ("split", ("eval", "hidden")),
        ("codec", ("a=b",)),
    )
    for text in ("split", "=x", "split="):
        with pytest.raises(InputError, match="COLUMN=TEXT"):
            parse_only([text])
    assert costs_of(None, None) == Costs()
    assert costs_of(0.2, None) == Costs(0.2, 1, 10)
    assert costs_of(None, (2.0, 3.0)) == Costs(0.05, 2, 3)
    with pytest.raises(InputError):
        costs_of(1.0, None)
