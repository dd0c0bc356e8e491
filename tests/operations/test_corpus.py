"""`corpus prepare` on small corpora: what it writes, what it leaves out, how it goes on."""

import csv
import hashlib
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from earwitness.audio.protocol import Utterance, read_protocol
from earwitness.errors import InputError
from earwitness.operations import corpus
from earwitness.operations.corpus import in_threads, prepare
from earwitness.operations.corpus_memory import Memory
from earwitness.types import Failure


def tone(path, seconds=1.0, rate=16_000, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    soundfile.write(path, audio, rate, **options)
    return path


@pytest.fixture
def mine(tmp_path):
    """A folder that the reader `folder` takes: two genuine recordings, two fakes of different formats."""
    root = tmp_path / "mine"
    tone(root / "real" / "b.wav", 2.0, 22_050)
    tone(root / "real" / "a.flac", 1.5, 16_000, subtype="PCM_24")
    tone(root / "fake" / "vits" / "c.mp3", 3.0, 24_000)
    tone(root / "fake" / "vits" / "d.ogg", 0.5, 8_000)
    return root


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "mine.csv"


@pytest.fixture
def reader(monkeypatch):
    """Puts a reader of the given rows in the place of every corpus."""

    def install(items):
        module = SimpleNamespace(NAME="Stub", LICENCE="CC0", SOURCE="here", read=lambda root: iter(items))
        monkeypatch.setattr(corpus, "find_corpus", lambda name: module)

    return install


def row(path, name="", **more):
    return Utterance(id=name or path.name, path=path, bona_fide=True, dataset="Stub", **more)


def left_out(out):
    with out.with_name(f"{out.stem}.left-out.csv").open(newline="") as file:
        return {one["ID"]: one["Reason"] for one in csv.DictReader(file)}


def test_the_protocol_says_what_the_headers_say(mine, out):
    about = prepare("folder", mine, out)
    rows = {item.path.name: item for item in read_protocol(out)}
    facts = {
        name: (item.duration_s, item.sample_rate, item.channels, item.encoding, item.bits)
        for name, item in rows.items()
    }
    assert facts == {
        "a.flac": (1.5, 16_000, 1, "FLAC", 24),
        "b.wav": (2.0, 22_050, 1, "PCM_S", 16),
        "c.mp3": (3.0, 24_000, 1, "MP3", None),
        "d.ogg": (0.5, 8_000, 1, "VORBIS", None),
    }
    assert {name for name, item in rows.items() if item.bona_fide} == {"a.flac", "b.wav"}
    assert rows["c.mp3"].path == mine / "fake" / "vits" / "c.mp3"
    assert about["rows"] == 4
    assert about["hours"] == {"real": round(3.5 / 3600, 4), "fake": round(3.5 / 3600, 4)}


def test_the_file_beside_it(mine, out):
    about = prepare("folder", mine, out)
    assert json.loads(out.with_suffix(".json").read_text()) == about
    assert about["root"] == str(mine)
    assert about["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert set(about) >= {"dataset", "licence", "source", "prepared_at", "earwitness", "left_out"}
    assert not out.with_name("mine.left-out.csv").exists()


def test_the_order_is_that_of_the_reader_whatever_the_threads(tmp_path, out, reader):
    paths = [tone(tmp_path / "in" / f"{i}.wav", 0.1 + i / 100) for i in range(150)]
    order = list(np.random.default_rng(0).permutation(150))
    reader([row(paths[i]) for i in order])
    prepare("stub", tmp_path / "in", out, threads=4)
    assert [item.id for item in read_protocol(out)] == [f"{i}.wav" for i in order]


def test_what_cannot_be_used_is_listed_and_the_rest_is_written(tmp_path, out, reader):
    root = tmp_path / "in"
    good = tone(root / "good.wav")
    (root / "text.wav").write_text("this is no audio")
    (root / "empty.wav").write_bytes(b"")
    tone(root / "short.wav", 0.002)
    cut = tone(root / "cut.wav", 3.0)
    cut.write_bytes(cut.read_bytes()[:50_000])
    outside = tone(tmp_path / "other" / "outside.wav")
    odd = root / os.fsdecode(b"odd\xff.wav")
    odd.write_bytes(good.read_bytes())
    names = ("good.wav", "text.wav", "empty.wav", "short.wav", "cut.wav", "missing.wav")
    rows = [row(root / name) for name in names]
    rows += [
        row(outside),
        row(odd),
        row(good, "-"),
        row(root / "good.wav"),
        row(root / "a" / ".." / "good.wav", "x"),
    ]
    reader(rows)
    about = prepare("stub", root, out)
    assert [item.id for item in read_protocol(out)] == ["good.wav", "x"]
    assert (about["rows"], about["left_out"]) == (2, 9)
    reasons = left_out(out)
    for name, reason in {
        "text.wav": "holds text, not audio",
        "empty.wav": "0 bytes",
        "short.wav": "lasts 2.0 ms",
        "cut.wav": "the header promises 3.0 s",
        "missing.wav": "no such file",
        "outside.wav": "lies outside of",
        "odd\\udcff.wav": "its name is not UTF-8",
        "-": "its ID is empty",
        "good.wav": "stands twice",
    }.items():
        assert reason in reasons[name], name


def test_nothing_left_out_any_more_takes_the_list_away(tmp_path, out, reader):
    path = tmp_path / "in" / "a.wav"
    other = tone(tmp_path / "in" / "b.wav")
    reader([row(path), row(other)])
    assert prepare("stub", tmp_path / "in", out)["left_out"] == 1
    tone(path)
    assert prepare("stub", tmp_path / "in", out)["left_out"] == 0
    assert not out.with_name("mine.left-out.csv").exists()
    assert len(list(read_protocol(out))) == 2


@pytest.fixture
def probed(monkeypatch):
    """Names of the files that were looked into, as they are."""
    seen = []
    way = corpus.AS_THEY_ARE

    def find(item):
        seen.append(item.path.name)
        return way.find(item)

    monkeypatch.setattr(corpus, "AS_THEY_ARE", replace(way, find=find))
    return seen


def test_a_second_run_looks_only_into_what_changed(mine, out, probed):
    prepare("folder", mine, out)
    before = out.read_bytes()
    assert sorted(probed) == ["a.flac", "b.wav", "c.mp3", "d.ogg"]
    probed.clear()
    prepare("folder", mine, out)
    assert probed == []
    assert out.read_bytes() == before
    tone(mine / "real" / "b.wav", 1.0, 22_050)
    prepare("folder", mine, out)
    assert probed == ["b.wav"]
    assert {item.path.name: item.duration_s for item in read_protocol(out)}["b.wav"] == 1.0


def test_a_run_that_was_stopped_goes_on(tmp_path, out, probed, reader, monkeypatch):
    items = [row(tone(tmp_path / "in" / f"{i}.wav", 0.1)) for i in range(20)]
    reader(items)
    keep, kept = Memory.keep, []

    def stop_at_ten(self, stamp, facts):
        if len(kept) == 10:
            raise KeyboardInterrupt
        kept.append(stamp[0])
        keep(self, stamp, facts)

    monkeypatch.setattr(Memory, "keep", stop_at_ten)
    with pytest.raises(KeyboardInterrupt):
        prepare("stub", tmp_path / "in", out)
    assert sorted(path.name for path in out.parent.iterdir()) == [".mine.probes.jsonl"]
    monkeypatch.setattr(Memory, "keep", keep)
    probed.clear()
    assert prepare("stub", tmp_path / "in", out)["rows"] == 20
    assert sorted(probed) == sorted(f"{i}.wav" for i in range(10, 20))


def test_a_line_of_memory_that_was_cut_short_costs_one_look(mine, out, probed):
    prepare("folder", mine, out)
    memory = out.with_name(".mine.probes.jsonl")
    memory.write_bytes(memory.read_bytes()[:-30])
    for expected in (["d.ogg"], []):
        probed.clear()
        prepare("folder", mine, out)
        assert len(probed) == len(expected)


@pytest.mark.parametrize(
    "line", ["nonsense", "[]", '["/a", 1, 2]', "3", '{"a": 1}', "[" * 10_000, '["a", 1, 2, 3]']
)
def test_memory_that_was_tampered_with_is_passed_over(tmp_path, line):
    (tmp_path / "m").write_text(f'{line}\n["/a", 1, 2, [3]]\n')
    with Memory(tmp_path / "m") as memory:
        assert memory.recall(("/a", 1, 2)) == [3]
        assert memory.recall(("/a", 1, 3)) is None
        assert memory.recall(("a", 1, 2)) is None


def test_facts_of_another_shape_are_looked_up_again(mine, out, probed):
    prepare("folder", mine, out)
    memory = out.with_name(".mine.probes.jsonl")
    lines = [json.loads(line) for line in memory.read_text().splitlines() if line]
    memory.write_text("".join(json.dumps([*line[:3], [1.0]]) + "\n" for line in lines))
    probed.clear()
    prepare("folder", mine, out)
    assert len(probed) == 4


def test_bad_labels_stop_it_before_the_first_look(mine, out, probed):
    tone(mine / "neither" / "e.wav")
    with pytest.raises(InputError, match="neither"):
        prepare("folder", mine, out)
    assert probed == []
    assert not out.parent.exists()


def test_an_empty_corpus(tmp_path, out, reader):
    reader([])
    with pytest.raises(InputError, match="holds no recording of Stub"):
        prepare("stub", tmp_path, out)


def test_no_folder_and_no_corpus(tmp_path, out):
    with pytest.raises(InputError, match="no such file or folder"):
        prepare("folder", tmp_path / "none", out)
    with pytest.raises(InputError, match="perhaps asvspoof5"):
        prepare("asvspof5", tmp_path, out)


def test_what_is_not_a_protocol_is_never_written_over(mine, out):
    out.parent.mkdir()
    labels = out.with_name("labels.csv")
    labels.write_text("path,label\n")
    with pytest.raises(InputError, match="was not prepared here"):
        prepare("folder", mine, labels)
    assert labels.read_text() == "path,label\n"
    out.with_suffix(".json").write_text("{}")
    with pytest.raises(InputError, match=r"would write over mine\.json"):
        prepare("folder", mine, out)
    with pytest.raises(InputError, match=r"ends in \.csv"):
        prepare("folder", mine, out.with_suffix(".txt"))


def test_a_table_is_never_its_own_output(mine, out):
    prepare("folder", mine, mine / "all.csv")
    with pytest.raises(InputError, match="was not prepared here"):
        prepare("csv", mine / "all.csv", mine / "all.csv")
    assert prepare("csv", mine / "all.csv", out)["rows"] == 4
    assert {item.path.name for item in read_protocol(out)} == {"a.flac", "b.wav", "c.mp3", "d.ogg"}


def test_threads_keep_order_and_one_failure_stays_one():
    def work(number):
        if number % 7 == 0:
            raise InputError("odd", f"{number} is bad")
        if number == 10:
            raise ZeroDivisionError
        return number * number

    found = list(in_threads(work, range(500), 500, "", threads=3, group=4))
    assert [item for item, _ in found] == list(range(500))
    for number, answer in found:
        if number % 7 == 0:
            assert answer == Failure("odd", f"{number} is bad")
        elif number == 10:
            assert isinstance(answer, Failure)
            assert answer.code == "internal"
        else:
            assert answer == number * number


def test_threads_do_not_run_ahead():
    begun = []
    source = (begun.append(i) or i for i in range(10_000))
    stream = in_threads(lambda i: i, source, 10_000, "", threads=2, group=4)
    next(stream)
    assert len(begun) <= 4 * 6
    stream.close()
