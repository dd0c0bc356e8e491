"""`corpus splice`: genuine samples are positive and fake ones negative, so that the audio tells the truth."""

import csv
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from earwitness.audio.augment.codecs import transmit
from earwitness.audio.augment.mixing import Splicing
from earwitness.audio.protocol import Utterance, read_protocol, write_protocol
from earwitness.cli.corpus import corpus_app
from earwitness.errors import InputError
from earwitness.operations import corpus_pairing
from earwitness.operations.corpus import prepare
from earwitness.operations.corpus_check import check
from earwitness.operations.corpus_pairing import Request
from earwitness.operations.corpus_splice import splice_corpus


def write_corpus(folder, rows):
    """A protocol of (id, audio, fields); audio is written at 16 kHz unless it is bytes."""
    items = []
    for name, audio, fields in rows:
        path = folder / f"{name}.flac"
        folder.mkdir(exist_ok=True)
        if isinstance(audio, bytes):
            path.write_bytes(audio)
        else:
            soundfile.write(path, audio, 16_000)
        seconds = 1.0 if isinstance(audio, bytes) else len(audio) / 16_000
        known = {"dataset": "mine", "duration_s": seconds, "sample_rate": 16_000}
        items.append(Utterance(id=name, path=path, **(known | fields)))
    write_protocol(items, folder / "p.csv", folder)
    return folder / "p.csv"


def voice(number, fold, genuine, samples=16_000):
    """Positive noise if genuine, negative if fake; its size tells the fold."""
    rng = np.random.default_rng(number)
    return rng.uniform(0.2 * fold + 0.1, 0.2 * fold + 0.2, samples + 13 * number) * (1 if genuine else -1)


@pytest.fixture
def mine(tmp_path):
    """Six genuine and six fake recordings in three folds."""
    rows = []
    for number in range(12):
        genuine, fold = number % 2 == 0, number // 4
        fields = {"bona_fide": genuine, "fold": fold, "group": f"g{fold}", "speaker": f"s{fold}"}
        if not genuine:
            fields |= {"generator": f"vits-{number}", "architecture": "vits", "family": "tts"}
        rows.append((f"u{number}", voice(number, fold, genuine), fields | {"licence": f"L{number % 2}"}))
    return write_corpus(tmp_path / "mine", rows)


def manifest(out):
    return {row["id"]: row for row in map(json.loads, (out / "manifest.jsonl").read_text().splitlines())}


def reference(out):
    """Parts by recording as (first, last + 1, label), read without our own reader."""
    parts = {}
    for line in (out / "reference.rttm").read_text().splitlines():
        kind, name, channel, start, seconds, *_ = fields = line.split()
        assert (kind, channel, fields[5], fields[6], fields[8], fields[9]) == ("SPEAKER", "1", *["NA"] * 4)
        edges = round(float(start) * 16_000), round((float(start) + float(seconds)) * 16_000)
        parts.setdefault(name, []).append((*edges, fields[7]))
    return parts


def left_out(out):
    path = out / "left-out.csv"
    return {row["ID"]: row["Reason"] for row in csv.DictReader(path.open())} if path.exists() else {}


@pytest.mark.parametrize("base", ["real", "fake", "both"])
def test_reference_manifest_and_protocol_tell_what_the_samples_are(mine, tmp_path, base):
    out = tmp_path / "out"
    splicing = Splicing(share=(0.1, 0.5), segments=(1, 4), match_level=True)
    about = splice_corpus([mine], out, Request(40, 7, base, whole=0.15, splicing=splicing))
    parts, rows, items = reference(out), manifest(out), list(read_protocol(out / "protocol.csv"))
    assert len(items) == len(parts) == len(rows) == about["rows"] == 40
    modes = Counter((row["mode"], row["base_label"]) for row in rows.values())
    spliced = {"real": [28, 0], "fake": [0, 28], "both": [14, 14]}[base]
    assert [modes["cut", "real"], modes["cut", "fake"]] == spliced
    assert modes["whole", "real"] == modes["whole", "fake"] == 6
    for item in items:
        audio, rate = soundfile.read(item.path)
        row, genuine = rows[item.id], audio > 0
        assert (rate, audio.ndim, item.path) == (16_000, 1, out / row["path"])
        truth = np.zeros(len(audio), bool)
        places = [place for start, stop, _ in parts[item.id] for place in (start, stop)]
        assert places == sorted(places)
        assert (places[0], places[-1]) == (0, len(audio) == row["samples"] and len(audio))
        for start, stop, label in parts[item.id]:
            truth[start:stop] = label == "bonafide"
        assert np.array_equal(truth, genuine)
        assert item.bona_fide == genuine.all()
        assert item.duration_s == round(len(audio) / 16_000, 2)
        for start, stop in row["spans"]:
            assert (genuine[start:stop] == (row["injector_label"] == "real")).all()
        foreign = sum(stop - start for start, stop in row["spans"])
        assert foreign == (genuine != (row["base_label"] == "real")).sum()
        assert row["mode"] == "whole" or 0.09 < foreign / len(audio) < 0.51
    hours = {label: about["hours"][label] * 3600 * 16_000 for label in ("real", "fake")}
    total = sum(row["samples"] for row in rows.values())
    assert sum(hours.values()) == pytest.approx(total, rel=0.05)


def test_nothing_crosses_folds_splits_or_groups(mine, tmp_path):
    items = list(read_protocol(mine))
    splits = ("train", "valid", "test")
    as_splits = [replace(item, split=splits[item.fold or 0], fold=None, group="-") for item in items]
    only_groups = [replace(item, fold=None) for item in items]
    for i, changed in enumerate((items, as_splits, only_groups)):
        write_protocol(changed, mine, mine.parent)
        out = tmp_path / f"out{i}"
        splice_corpus([mine], out, Request(30, base="both", whole=0.1))
        before = {item.id: item for item in changed}
        for item in read_protocol(out / "protocol.csv"):
            row = manifest(out)[item.id]
            base = before[row["base"]]
            assert (item.fold, item.split, item.group) == (base.fold, base.split, base.group)
            fold = int(row["base"][1:]) // 4
            size = np.abs(soundfile.read(item.path)[0])
            assert size.min() >= 0.2 * fold + 0.0999
            assert size.max() <= 0.2 * fold + 0.2001


def test_rows_keep_what_is_the_bases_and_name_the_generator_of_the_fake_part(mine, tmp_path):
    out = tmp_path / "my splices"
    splice_corpus([mine], out, Request(30, base="both", whole=0.1))
    rows, before = manifest(out), {item.id: item for item in read_protocol(mine)}
    for item in read_protocol(out / "protocol.csv"):
        row = rows[item.id]
        base, injector = before[row["base"]], before.get(row["injector"])
        assert item.id.startswith("my_splices-")
        assert (item.source, item.speaker, item.dataset) == (base.id, base.speaker, "mine")
        assert (item.encoding, item.bits, item.channels) == ("FLAC", 16, 1)
        if injector is None:
            assert (item.generator, item.family) == (base.generator, base.family)
            continue
        fake = injector if base.bona_fide else base
        assert (base.bona_fide, injector.bona_fide) == (row["base_label"] == "real", not base.bona_fide)
        assert (item.generator, item.architecture, item.family) == (fake.generator, "vits", "edit")
        assert item.licence in ("L0 + L1", "L1 + L0")
    report = check([out / "protocol.csv"], decode=True)
    assert report["errors"] == 0, report["findings"]


def test_a_known_source_stays(mine, tmp_path):
    write_protocol((replace(item, source="K") for item in read_protocol(mine)), mine, mine.parent)
    splice_corpus([mine], tmp_path / "out", Request(3))
    assert {item.source for item in read_protocol(tmp_path / "out" / "protocol.csv")} == {"K"}
    kinds = [one["kind"] for one in check([tmp_path / "out" / "protocol.csv"])["findings"]]
    assert "leak-source" in kinds


def test_the_same_seed_makes_the_same_folder(mine, tmp_path):
    request = Request(12, 3, "both", whole=0.1, splicing=Splicing(codec=0.5, segments=(1, 3), fade_s=0.002))
    contents = []
    for name, one in (("a", request), ("b", request), ("c", replace(request, seed=4))):
        splice_corpus([mine], tmp_path / name / "out", one)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 12 + 4
    assert contents[0]["out/manifest.jsonl"] != contents[2]["out/manifest.jsonl"]


def test_every_base_comes_before_any_comes_twice(mine, tmp_path):
    splice_corpus([mine], tmp_path / "out", Request(12))
    assert set(Counter(row["base"] for row in manifest(tmp_path / "out").values()).values()) == {2}


def test_a_codec_is_met_by_whole_files_too(mine, tmp_path):
    splice_corpus([mine], tmp_path / "out", Request(12, whole=0.4, splicing=Splicing(codec=1.0)))
    rows, before = manifest(tmp_path / "out"), {item.id: item.path for item in read_protocol(mine)}
    whole = [row for row in rows.values() if row["mode"] == "whole"]
    assert len(whole) == 10
    for row in whole:
        one, two = (soundfile.read(path)[0] for path in (tmp_path / "out" / row["path"], before[row["base"]]))
        assert len(one) == len(two)
        assert not np.array_equal(one, two)


def test_what_cannot_be_used_is_left_out_with_the_reason(tmp_path):
    good = {"fold": 0}
    rows = [
        ("real", voice(0, 0, True), good | {"bona_fide": True}),
        ("fake", voice(1, 0, False), good | {"bona_fide": False}),
        ("edited", voice(1, 0, False), good | {"bona_fide": False, "family": "edit"}),
        ("short", np.full(3_100, 0.1), good | {"bona_fide": True}),
        ("long", np.full(100, 0.1), good | {"bona_fide": True, "duration_s": 301.0}),
        ("alone", voice(1, 1, False), {"bona_fide": False, "fold": 1}),
        ("broken", b"fLaC" + bytes(99), good | {"bona_fide": True}),
        ("lies", np.full(3, 0.1), good | {"bona_fide": True, "duration_s": 1.0}),
    ]
    out = tmp_path / "out"
    about = splice_corpus([write_corpus(tmp_path / "in", rows)], out, Request(9))
    reasons = left_out(out)
    assert set(reasons) == {"edited", "short", "long", "alone", "broken", "lies"}
    assert "fake in part already" in reasons["edited"]
    assert "0.20 s" in reasons["short"]
    assert "at most 300 s" in reasons["long"]
    assert "no genuine recording" in reasons["alone"]
    assert "broken.flac" in reasons["broken"]
    assert "3 samples hold no such segments" in reasons["lies"]
    assert about["rows"] == 3 == len(list((out / "audio").iterdir()))
    assert about["left_out"] == 4 + 6


def test_what_cannot_be_asked_leaves_nothing_behind(mine, tmp_path):
    out = tmp_path / "out"
    bad = {
        "--count": Request(0),
        "--seed": Request(1, -1),
        "--base": Request(1, base="genuine"),
        "--whole": Request(1, whole=0.5),
        "share": Request(1, splicing=Splicing(share=(0.5, 0.1))),
        "--whole 0.4: asks for 8 whole genuine files, there are 6": Request(20, whole=0.4),
        "--aligned: 0 pairs": Request(3, aligned=True),
    }
    for says, request in bad.items():
        with pytest.raises(InputError, match=f"^{says}") as caught:
            splice_corpus([mine], out, request)
        assert caught.value.code == "usage"
        assert not out.exists()
    write_protocol((item for item in read_protocol(mine) if item.bona_fide), mine, mine.parent)
    with pytest.raises(InputError, match="holds genuine and fake"):
        splice_corpus([mine], out, Request(3))
    assert not out.exists()


def test_a_folder_that_is_not_empty_stays_as_it_is(mine, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    splice_corpus([mine], out, Request(2))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    for place in (out, mine):
        with pytest.raises(InputError, match="is there and not empty") as caught:
            splice_corpus([mine], place, Request(2))
        assert caught.value.code == "usage"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.fixture
def versions(tmp_path, speech, samples):
    """Two utterances, each genuine, coded 50 ms late, and spoken by another; no pair for a third."""
    rows = []
    other = soundfile.read(samples / "genuine-ljspeech.flac", dtype="float32")[0]
    for key, audio, wrong in (("k1", speech[:80_000], other[:80_000]), ("k2", other[:64_000], speech)):
        late = np.concatenate([np.zeros(800, np.float32), transmit(audio, "mulaw")])
        rows += [
            (f"{key}-real", audio, {"bona_fide": True, "source": key, "fold": 0}),
            (f"{key}-coded", late, {"bona_fide": False, "source": key, "fold": 0, "generator": "codec"}),
            (f"{key}-other", wrong[:60_000], {"bona_fide": False, "source": key, "fold": 0}),
            (f"{key}-far", late, {"bona_fide": False, "source": key, "fold": 1}),
        ]
    rows.append(("unknown", speech[:50_000], {"bona_fide": True, "source": "-", "fold": 0}))
    return write_corpus(tmp_path / "versions", rows)


@pytest.mark.parametrize("base", ["real", "fake"])
def test_aligned_splices_take_the_same_moment_of_the_other_version(versions, tmp_path, base):
    out = tmp_path / "out"
    about = splice_corpus([versions], out, Request(8, base=base, aligned=True, whole=0.25))
    assert about["pairs"] == {"found": 4, "compared": 4, "aligned": 2}
    assert set(left_out(out)) == {"k1-other", "k2-other"}
    assert all("not spliced with k" in reason and "correlates" in reason for reason in left_out(out).values())
    rows, before = manifest(out), {item.id: item.path for item in read_protocol(versions)}
    assert Counter(row["mode"] for row in rows.values()) == {"aligned": 4, "whole": 4}
    assert {row["base"].split("-")[1] for row in rows.values()} == {"real", "coded"}
    for row in rows.values():
        if row["mode"] == "aligned":
            audio, one, two = (
                soundfile.read(path)[0]
                for path in (out / row["path"], before[row["base"]], before[row["injector"]])
            )
            [(start, stop)] = row["spans"]
            assert row["lag"] == (800 if base == "real" else -800)
            assert np.array_equal(np.delete(audio, slice(start, stop)), np.delete(one, slice(start, stop)))
            assert np.array_equal(audio[start:stop], two[start + row["lag"] : stop + row["lag"]])


def test_no_more_pairs_are_compared_than_are_needed(versions, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_pairing, "CHUNK", 1)
    about = splice_corpus([versions], tmp_path / "out", Request(1, aligned=True))
    assert about["pairs"]["compared"] <= 3
    assert about["pairs"]["aligned"] == 1
    monkeypatch.setattr(corpus_pairing, "MAX_PAIRS", 3)
    with pytest.raises(InputError, match="names no utterances"):
        splice_corpus([versions], tmp_path / "more", Request(1, aligned=True))


@pytest.mark.shared
def test_vocoded_demos_are_spliced_in_time(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_pairing, "CHUNK", 8)
    root = shared / "corpus" / "demos"
    prepare("demos", root, tmp_path / "demos.csv")
    about = splice_corpus([tmp_path / "demos.csv"], tmp_path / "out", Request(4, aligned=True))
    families = {row["id"]: row["family"] for row in csv.DictReader((root / "manifest.csv").open())}
    used = [families[row["injector"]] for row in manifest(tmp_path / "out").values()]
    assert about["rows"] == 4
    assert "edit" not in used
    assert len(left_out(tmp_path / "out")) >= 80  # the edits


def test_on_the_command_line(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(corpus_app, ["splice", *map(str, arguments)])

    options = "--share 0.2 0.4 --segments 2 3 --fade-s 0.001 --match-level --codec 0.1 --base both".split()
    done = run(mine, "out", "--count", 10, "--seed", 5, "--whole", 0.2, *options)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "out: 10 files" in done.stdout
    about = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert about["request"] == {
        "count": 10,
        "seed": 5,
        "base": "both",
        "aligned": False,
        "whole": 0.2,
        "splicing": {
            "share": [0.2, 0.4],
            "segments": [2, 3],
            "fade_s": 0.001,
            "match_level": True,
            "codec": 0.1,
        },
    }
    done = run(mine, "more", "--count", 2, "--json")
    assert json.loads(done.stdout)["rows"] == 2
    done = run(mine, "out", "--count", 1)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "is there and not empty" in done.stderr
    rows = list(read_protocol(mine))
    for name, label in (("genuine", True), ("fakes", False)):
        write_protocol(
            (row for row in rows if row.bona_fide == label), mine.parent / f"{name}.csv", mine.parent
        )
    done = run(mine.parent / "genuine.csv", mine.parent / "fakes.csv", "lists", "--count", 3, "--json")
    assert [one["protocol"] for one in json.loads(done.stdout)["made_from"]] == ["genuine.csv", "fakes.csv"]
    (mine.parent / "u0.flac").unlink()
    done = run(mine, "fewer", "--count", 12)
    assert done.exit_code == 1
    assert "left-out.csv says why of each" in done.stderr
    assert "earwitness corpus splice demos.csv" in run("--help").stdout
