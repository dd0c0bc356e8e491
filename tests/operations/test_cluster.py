"""Blocks hold each file once; workers answer as a plain scan does; one that dies loses nothing."""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness import ScanOptions, scan_many, to_record
from earwitness.errors import InputError, MissingExtra, ModelError
from earwitness.operations import cluster, run
from earwitness.operations.cluster import MOST_BYTES, MOST_FILES, block_size, plan, scan_cluster
from earwitness.operations.cluster_worker import TRIES, Job, Ledger, Worker, identity
from earwitness.operations.journal import Journal
from earwitness.operations.scan import BIG_FILE, GROUP

SIZES = st.lists(st.one_of(st.integers(0, 2 * BIG_FILE), st.integers(0, 100_000)), max_size=300)


@given(sizes=SIZES, most=st.integers(1, 40))
def test_each_file_is_in_one_block_and_big_ones_are_alone(sizes, most):
    of = {f"{number}.wav": size for number, size in enumerate(sizes)}
    blocks = list(plan(of, most, of.__getitem__))
    assert sorted(row for block in blocks for row in block) == sorted(enumerate(of))
    for block in blocks:
        held = [of[path] for _, path in block]
        assert 1 <= len(block) <= most
        assert len(block) == 1 or (max(held) <= BIG_FILE and sum(held) <= MOST_BYTES)


@settings(deadline=None)
@given(files=st.integers(1, 10**7), workers=st.integers(1, 5_000))
def test_blocks_are_whole_groups_and_enough_for_all_workers(files, workers):
    size = block_size(files, workers)
    assert size % GROUP == 0
    assert GROUP <= size <= MOST_FILES
    if files >= 400 * workers:
        assert files / size >= 25 * workers


def test_a_million_files_are_planned_as_they_are_read():
    read = 0

    def paths():
        nonlocal read
        for read in range(1, 10**6 + 1):  # noqa: B007
            yield "/shared/archive/a.opus"

    planned = 0
    for block in plan(paths(), MOST_FILES, lambda _: 50_000):
        planned += len(block)
        assert read - planned <= 1
    assert planned == 10**6


def test_sizes_are_those_on_disk(tmp_path):
    for name, size in (("a", 10), ("b", BIG_FILE + 1), ("c", 10)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    names = [str(tmp_path / name) for name in "abc"] + [str(tmp_path / "absent"), "a\0b"]
    assert [[place for place, _ in block] for block in plan(names, 8)] == [[1], [0, 2, 3, 4]]


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it is done."""


class LocalWorker(Worker):
    """A worker with the ledger in its own process, which a file called poison kills."""

    heard: list[list[str]]

    def tell(self, what, *given):
        return getattr(self.ledger, what)(*given)

    def records(self, rows):
        self.heard.append([Path(path).stem for _, path in rows])
        if any("poison" in path for _, path in rows):
            raise Killed
        return super().records(rows)


def local_worker(ledger=None, folder=None, who=None, **options):
    job = Job(None, who or identity(None), ScanOptions(**options), str(folder or Path.cwd()))
    worker = LocalWorker(job, ledger or Ledger())
    worker.heard = []
    return worker


def same(one, other):
    """Equal but for the last digits of floats."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == (pytest.approx(other, abs=1e-5) if isinstance(one, float) else other)


@pytest.fixture(scope="module")
def named(samples, tmp_path_factory):
    """Plain records by path; one name is not UTF-8, and two files cannot be scored."""
    folder = tmp_path_factory.mktemp("named")
    odd, empty = folder / os.fsdecode(b"r\xe9sum\xe9.mp3"), folder / "empty.wav"
    with suppress(OSError):  # some file systems refuse such names; then it is one more that is absent
        shutil.copy(samples / "genuine-vctk.mp3", odd)
    empty.write_bytes(b"")
    paths = [*sorted(samples.iterdir()), odd, empty, folder / "absent.wav"]
    options = ScanOptions(timeline=True, threads=2)
    return {str(path): to_record(verdict) for path, verdict in each(paths, options)}


def each(paths, options):
    found = {verdict.path_bytes or verdict.path: verdict for verdict in scan_many(paths, options=options)}
    for path in paths:
        raw = os.fsencode(path)
        yield path, found.get(raw.hex()) or found[os.fsdecode(raw)]


def test_a_worker_gives_the_records_of_a_plain_scan(named):
    worker = local_worker(timeline=True)
    rows = json.loads(json.dumps(list(enumerate(named))))
    answers = worker.answer(rows)
    assert [place for place, _, _ in answers] == list(range(len(named)))
    assert [refused for _, refused, _ in answers] == [None] * len(named)
    for (_, _, text), expected in zip(answers, named.values(), strict=True):
        assert same(json.loads(text), json.loads(json.dumps(expected)))
    assert [len(group) for group in worker.heard] == [GROUP, len(named) - GROUP]


def test_a_file_on_which_workers_die_is_answered_and_the_others_are_heard_alone(samples):
    names = ["genuine-vctk.mp3", "pink-noise.flac", "poison.wav", "genuine-ljspeech.flac", "poison-too.wav"]
    rows = [[place, str(samples / name)] for place, name in enumerate(names)]
    ledger, deaths, heard, answers = Ledger(), 0, [], []
    while not answers:
        worker = local_worker(ledger)
        try:
            answers = worker.answer(rows)
        except Killed:
            deaths += 1
        heard += worker.heard
    assert deaths == 1 + 2 * TRIES
    rules = {names[place]: json.loads(text)["rule"] for place, _, text in answers}
    assert {name for name, rule in rules.items() if rule == "worker-died"} == {"poison.wav", "poison-too.wav"}
    alone = Counter(group[0] for group in heard if len(group) == 1)
    assert alone == {Path(name).stem: TRIES if "poison" in name else 1 for name in names}
    assert not ledger.answers


def test_a_worker_that_finds_another_model_or_no_folder_says_so_and_dies_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((_, refused, why),) = local_worker(who="of another").answer([[0, "a.wav"]])
    assert (refused, "driver's model" in why) == ("", True)
    ((_, refused, why),) = local_worker(folder=tmp_path / "gone").answer([[0, "a.wav"]])
    assert (refused, "gone" in why) == ("usage", True)
    ((_, refused, why),) = local_worker(knowledge=str(tmp_path / "gone.db")).answer([[0, "a.wav"]])
    assert refused
    assert "gone.db" in why


def test_workers_are_told_the_engine_that_the_driver_would_take(monkeypatch):
    monkeypatch.setattr(cluster, "choose_engine", lambda card, engine, precision: ("openvino", "bf16"))
    told = cluster.with_engine(ScanOptions(prior=0.2), None)
    assert (told.engine, told.precision, told.prior) == ("openvino", "bf16", 0.2)
    monkeypatch.setattr(cluster, "choose_engine", lambda card, engine, precision: ("gpu", "bf16"))
    assert cluster.with_engine(ScanOptions(), None).engine == "torch"


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "", "http://head:6379"])
def test_addresses_that_cannot_be_used_are_refused(address, samples):
    with pytest.raises(InputError, match="HOST:6379") as caught:
        list(scan_cluster(list(samples.iterdir()), address, model=None, options=ScanOptions()))
    assert caught.value.code == "usage"


def test_streams_are_refused(samples):
    with (samples / "genuine-vctk.mp3").open("rb") as file, pytest.raises(InputError, match="stream"):
        list(scan_cluster([file], "local", model=None, options=ScanOptions()))


@pytest.mark.parametrize("package", ["ray", "pyarrow"])
def test_the_extra_is_named_where_ray_is_missing(package, samples, monkeypatch):
    if package == "ray":
        monkeypatch.setitem(sys.modules, "pyarrow", sys)  # whatever is installed here
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=r"earwitness\[scale\]"):
        list(scan_cluster(list(samples.iterdir()), "local", model=None, options=ScanOptions()))


@pytest.mark.parametrize(("places", "lost"), [([2, 0, 1, 0, 2], False), ([1, 0, 1], True)])
def test_a_block_that_comes_twice_is_answered_once_and_one_that_never_comes_is_an_error(
    places, lost, monkeypatch
):
    monkeypatch.setattr(cluster, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(cluster, "scored", lambda *_: ((place, {"place": place}) for place in places))
    records, found = scan_cluster([*"abc"], "local", model=None, options=ScanOptions()), []
    with pytest.raises(InputError, match="1 files were not answered") if lost else nullcontext():
        found += iter(records)
    if not lost:
        assert [record["place"] for record in found] == [2, 0, 1]


def test_what_the_journal_holds_is_not_scored_again(samples, tmp_path, monkeypatch):
    paths = sorted(samples.iterdir())[:4]
    made = {str(path): {"path": str(path), "verdict": "fake"} for path in paths}
    asked = []

    def scan_here(sources, address, *, model, options):
        asked.append((address, list(sources)))
        yield from (made[str(source)] for source in sources)

    monkeypatch.setattr(cluster, "scan_cluster", scan_here)
    with Journal(tmp_path / "j", {}) as journal:
        journal.append(made[str(paths[1])])
        todo = [path for path in paths if path != paths[1]]
        found = list(run.records(paths, todo, journal, ScanOptions(), None, "auto"))
    assert asked == [("auto", todo)]
    assert sorted(record["path"] for record in found) == sorted(made)
    with Journal(tmp_path / "j", {}) as journal:
        assert sorted(path for path, _ in journal.records) == sorted(made)


@pytest.fixture(scope="module")
def local_ray():
    """Ray on this machine for the tests below."""
    pytest.importorskip("pyarrow")
    pytest.importorskip("ray.data")
    with cluster.connected("local", 2):
        yield


def test_local_ray_gives_the_records_of_a_plain_scan(local_ray, named):
    found = list(
        scan_cluster(list(named), "local", model=None, options=ScanOptions(timeline=True, threads=2))
    )
    by_key = {record.get("path_bytes") or record["path"]: record for record in found}
    assert len(found) == len(by_key) == len(named)
    for expected in named.values():
        record = by_key[expected.get("path_bytes") or expected["path"]]
        assert same(record, json.loads(json.dumps(expected)))


def test_killed_workers_lose_and_double_nothing(local_ray, samples, tmp_path):
    paths = [tmp_path / f"{number:02d}.mp3" for number in range(24)]
    for path in paths:
        shutil.copy(samples / "genuine-vctk.mp3", path)
    records = scan_cluster(paths, "local", model=None, options=ScanOptions(threads=2))
    found = [next(records)]
    killed = workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    found += records
    assert killed
    assert Counter(record["path"] for record in found) == Counter(map(str, paths))
    assert {record["verdict"] for record in found} <= {"genuine", "uncertain"}


def test_a_worker_that_finds_another_model_ends_the_scan(local_ray, samples, monkeypatch):
    monkeypatch.setattr(cluster, "identity", lambda _: "of another")
    with pytest.raises(ModelError, match="driver's model"):
        list(scan_cluster(list(samples.iterdir()), "local", model=None, options=ScanOptions(threads=1)))


def workers():
    """Process ids of the workers that this process brought about."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile
            continue

    def ours(pid):
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    return [pid for pid in found if ours(pid)]
