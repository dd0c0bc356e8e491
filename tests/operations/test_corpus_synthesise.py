"""`corpus synthesise`: pairs that differ in nothing but the method, the same folder however it came about."""

import csv
import hashlib
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from earwitness.audio.augment.mixing import alignment_lag
from earwitness.audio.protocol import Utterance, read_protocol, write_protocol
from earwitness.audio.synthesis.methods import METHODS
from earwitness.cli.corpus import corpus_app
from earwitness.errors import InputError
from earwitness.operations import corpus_synthesise
from earwitness.operations.corpus import prepare
from earwitness.operations.corpus_check import check
from earwitness.operations.corpus_copies import Request
from earwitness.operations.corpus_synthesise import plan, synthesise_corpus

QUICK = ("upsample", "phase", "smooth")


@pytest.fixture
def mine(tmp_path, speech):
    """Six genuine clips of three groups, a fake, and three that cannot be used."""
    folder = tmp_path / "mine"
    folder.mkdir()
    items = []
    for number in range(10):
        path = folder / f"u{number}.flac"
        seconds = 0.2 if number == 8 else 1.5 + 0.1 * number
        audio = speech[16_000 * (number % 6) :][: int(16_000 * seconds)]
        if number == 7:
            path.write_bytes(b"fLaC and no more")
        else:
            soundfile.write(path, 0 * audio if number == 9 else audio * (0.2 + 0.1 * number), 16_000)
        fields = {"group": f"g{number % 3}", "fold": number % 3, "speaker": f"s{number}", "language": "EN"}
        fields |= {"bona_fide": False, "generator": "x"} if number == 6 else {"bona_fide": True}
        items.append(
            Utterance(
                id=f"mine/u {number}", path=path, dataset="mine", duration_s=seconds, licence="L", **fields
            )
        )
    write_protocol(items, folder / "p.csv", folder)
    return folder / "p.csv"


def digests(out):
    """All that a user sees of a folder: files by name."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(out))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def manifest(out):
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def left_out(out):
    path = out / "left-out.csv"
    return {row["ID"]: row["Reason"] for row in csv.DictReader(path.open())} if path.exists() else {}


def rms(audio):
    return np.sqrt(np.square(audio).mean())


def test_fakes_stand_beside_their_twins_in_all_but_the_artefacts(mine, tmp_path):
    out = tmp_path / "out"
    about = synthesise_corpus([mine], out, Request(15, QUICK), jobs=1)
    items = {item.id: item for item in read_protocol(out / "protocol.csv")}
    rows = {row["id"]: row for row in manifest(out)}
    sources = {item.id: item for item in read_protocol(mine)}
    assert items.keys() == rows.keys()
    usable = {"mine/u 0", "mine/u 1", "mine/u 2", "mine/u 3", "mine/u 4", "mine/u 5"}
    assert {row["source"] for row in rows.values()} <= usable
    assert about["rows"] == len(items)
    assert about["fakes"] == sum(not item.bona_fide for item in items.values())
    for name, item in items.items():
        row, source = rows[name], sources[rows[name]["source"]]
        twin = items[row["twin"]]
        assert item.path == out / row["path"]
        assert item.bona_fide == (row["label"] == "real") == (name == row["twin"])
        assert item.dataset == "mine-synth"
        for shared in ("group", "fold", "split", "speaker", "language", "licence"):
            assert getattr(item, shared) == getattr(source, shared)
        assert item.source == twin.source == source.id
        audio, genuine = soundfile.read(item.path)[0], soundfile.read(twin.path)[0]
        assert len(audio) == len(genuine) == row["samples"]
        if item.bona_fide:
            assert (row["method"], row["settings"], item.generator, item.family) == ("genuine", {}, "-", "-")
            continue
        assert (item.generator, item.family) == (f"synth/{row['method']}", METHODS[row["method"]].family)
        assert row["settings"].keys() == vars(METHODS[row["method"]].draw(np.random.default_rng(0))).keys()
        assert rms(audio) == pytest.approx(rms(genuine), rel=0.01)
        assert abs((audio == 0).mean() - (genuine == 0).mean()) < 0.02
        assert abs(alignment_lag(genuine, audio)[0]) < 80
        assert rms(audio - genuine) > 0.05 * rms(genuine)
    assert not check([out / "protocol.csv"])["findings"]


def test_bad_recordings_are_listed_and_stop_nothing(mine, tmp_path):
    out = tmp_path / "out"
    about = synthesise_corpus([mine], out, Request(24, QUICK), jobs=1)  # all there is
    assert about["fakes"] == 18
    reasons = left_out(out)
    assert set(reasons) == {"mine/u 7", "mine/u 8", "mine/u 9"}
    assert "expected 0.5 s or more" in reasons["mine/u 8"]
    assert "silent" in reasons["mine/u 9"]
    assert about["left_out"] == 3


def test_what_a_method_cannot_do_is_listed_and_leaves_no_lonely_twin(mine, tmp_path, monkeypatch):
    def fail(*_):
        raise FloatingPointError("overflow")

    monkeypatch.setitem(METHODS, "smooth", replace(METHODS["smooth"], make=fail))
    about = synthesise_corpus([mine], tmp_path / "out", Request(16, ("smooth", "phase")), jobs=1)
    assert about["fakes"] == 6
    assert "smooth: FloatingPointError: overflow" in left_out(tmp_path / "out")["mine/u 0"]
    about = synthesise_corpus([mine], tmp_path / "none", Request(8, ("smooth",)), jobs=1)
    assert (about["rows"], manifest(tmp_path / "none")) == (0, [])


def test_seed_and_source_decide_and_processes_do_not(mine, tmp_path):
    made = {}
    for name, jobs, seed in (("one", 1, 0), ("two", 2, 0), ("other", 1, 1)):
        out = tmp_path / name / "out"
        synthesise_corpus([mine], out, Request(9, QUICK, seed), jobs)
        made[name] = digests(out)
    assert made["one"] == made["two"]
    assert made["one"] != made["other"]


def test_a_run_that_was_stopped_goes_on_and_a_larger_one_adds(mine, tmp_path, monkeypatch):
    whole = tmp_path / "a" / "out"
    synthesise_corpus([mine], whole, Request(9, QUICK), jobs=1)
    out = tmp_path / "b" / "out"
    real, calls = corpus_synthesise.in_processes, []

    def stop(work, items, *rest):
        for i, pair in enumerate(real(work, items, *rest)):
            if i == 2:
                raise KeyboardInterrupt
            yield pair

    monkeypatch.setattr(corpus_synthesise, "in_processes", stop)
    with pytest.raises(KeyboardInterrupt):
        synthesise_corpus([mine], out, Request(6, QUICK), jobs=1)
    assert not (out / "protocol.csv").exists()
    before = {out / row["path"]: (out / row["path"]).stat().st_mtime_ns for row in manifest(out)}
    assert before
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"source": "mine/u 0", "meth')  # cut short by a crash

    def count(work, items, *rest):
        calls.append(len(items))
        return real(work, items, *rest)

    monkeypatch.setattr(corpus_synthesise, "in_processes", count)
    synthesise_corpus([mine], out, Request(6, QUICK), jobs=1)
    synthesise_corpus([mine], out, Request(9, QUICK), jobs=1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert digests(out) == digests(whole)
    lost = manifest(out)[3]
    (out / lost["path"]).unlink()
    synthesise_corpus([mine], out, Request(9, QUICK), jobs=1)
    assert digests(out) == digests(whole)
    assert calls[-1] == 1 + sum(name in {"mine/u 7", "mine/u 9"} for name in left_out(out))


def test_another_request_on_the_folder_is_refused(mine, tmp_path):
    out = tmp_path / "out"
    synthesise_corpus([mine], out, Request(3, QUICK), jobs=1)
    for request in (Request(3, QUICK, 1), Request(3, ("phase",))):
        with pytest.raises(InputError, match="was begun with other protocols or options"):
            synthesise_corpus([mine], out, request, jobs=1)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        synthesise_corpus([mine], tmp_path / "full", Request(3, QUICK), jobs=1)
    (out / ".request.json").write_text("[")
    with pytest.raises(InputError, match="was begun with other"):
        synthesise_corpus([mine], out, Request(3, QUICK), jobs=1)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(0), "--count 0"),
        (Request(5, seed=-1), "--seed -1"),
        (Request(5, ("vits",)), "--method 'vits'"),
        (Request(5, ("neural",)), "needs --vocoder"),
        (Request(99, ("phase",)), "at most 8"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(mine, tmp_path, request_, says):
    with pytest.raises(InputError, match=says):
        synthesise_corpus([mine], tmp_path / "out", request_, jobs=1)
    assert not (tmp_path / "out").exists()


def test_groups_come_by_the_square_root_of_their_size(tmp_path):
    items = [
        Utterance(id=f"{group}{n}", path=tmp_path / "x", bona_fide=True, dataset="d", group=group)
        for group, size in (("a", 1_600), ("b", 400), ("c", 100))
        for n in range(size)
    ]
    counts = Counter()
    for seed in range(60):
        wanted = plan(items, Request(20, ("phase", "lpc"), seed))
        counts.update(name[0] for name, methods in wanted.items() for _ in methods)
    total = sum(counts.values())
    assert total == 1_200
    shares = [counts[group] / total for group in "abc"]
    assert shares == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=0.05)
    more = plan(items, Request(50, ("phase", "lpc"), 0))
    for name, methods in plan(items, Request(20, ("phase", "lpc"), 0)).items():
        assert set(methods) <= set(more[name])


def test_on_the_command_line(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(corpus_app, ["synthesise", *map(str, arguments)])

    done = run(mine, "out", "--count", 4, "--method", "phase", "--method", "lpc", "--seed", 3, "--jobs", 1)
    assert done.exit_code == (1 if left_out(tmp_path / "out").keys() & {"mine/u 7", "mine/u 9"} else 0)
    assert "fakes of" in done.stdout
    assert "left-out.csv says why of each" in done.stderr
    done = run(mine, "more", "--count", 2, "--method", "phase", "--jobs", 1, "--json")
    assert json.loads(done.stdout)["request"] == {"count": 2, "methods": ["phase"], "seed": 0}
    done = run(mine, "out", "--count", 4, "--seed", 4, "--method", "phase")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    help_ = run("--help").stdout
    assert "earwitness corpus synthesise demos.csv" in help_
    assert "only files you trust" in help_
    for name in METHODS:
        assert name in help_


@pytest.mark.shared
def test_pairs_of_real_recordings_are_aligned(shared, tmp_path):
    prepare("demos", shared / "corpus" / "demos", tmp_path / "demos.csv")
    methods = ("world", "griffin-lim", "lpc")
    about = synthesise_corpus([tmp_path / "demos.csv"], tmp_path / "out", Request(6, methods), jobs=1)
    assert about["fakes"] == 6
    items = {item.id: item for item in read_protocol(tmp_path / "out" / "protocol.csv")}
    for row in manifest(tmp_path / "out"):
        fake, genuine = (soundfile.read(items[name].path)[0] for name in (row["id"], row["twin"]))
        assert rms(fake) == pytest.approx(rms(genuine), rel=0.15)
        levels = [np.sqrt(np.convolve(x**2, np.ones(800), "same"))[::160] for x in (fake, genuine)]
        assert np.corrcoef(*levels)[0, 1] > 0.85
