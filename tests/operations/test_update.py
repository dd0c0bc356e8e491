"""Rounds of `earwitness update` on recordings: taught, promoted, refused, stopped, gone on with."""

import csv
import json

import numpy as np
import pytest
from bundle_of_levels import make_bundle
from typer.testing import CliRunner

from earwitness.audio.protocol import Utterance, write_protocol
from earwitness.cli import app
from earwitness.errors import InputError
from earwitness.evidence.places import open_base
from earwitness.operations import update as updating
from earwitness.operations.loop_config import EXAMPLE, read_loop
from earwitness.operations.registry import champion, fetch, open_registry, versions
from earwitness.operations.scan import scan_many

pytest.importorskip("onnx")
pytest.importorskip("mlflow")
SETTINGS = """
name = "levels"
start = "start"
inbox = "inbox"
development = "development.csv"
guards = ["guard.csv"]
knowledge = "known.db"
items = 40
strategy = "passive"
"""


def record(folder, prefix, count, speech, seed):
    """Pieces of speech: the fake ones are louder, but for one in eight of either class."""
    import soundfile

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    items = []
    for i in range(count):
        start, genuine = int(rng.integers(0, len(speech) - 24_000)), i % 2 == 0
        quiet = genuine ^ (i % 16 in (4, 5))
        piece = speech[start : start + 24_000] / np.abs(speech[start : start + 24_000]).max()
        path = folder / f"{prefix}{i}.wav"
        soundfile.write(path, piece * rng.uniform(*((0.02, 0.1) if quiet else (0.6, 0.95))), 16_000)
        items.append(
            Utterance(id=f"{prefix}{i}", path=path, bona_fide=genuine, dataset=prefix, duration_s=1.5)
        )
    return items


@pytest.fixture(scope="module")
def world(tmp_path_factory, speech):
    """A loop before its first round, and the truth about what came in."""
    root = tmp_path_factory.mktemp("loop")
    make_bundle(root / "start")
    for name, seed in (("development", 1), ("guard", 2)):
        write_protocol(record(root / name, name, 48, speech, seed), root / f"{name}.csv", root)
    (root / "loop.toml").write_text(SETTINGS)
    return root


def run(root, *more):
    found = CliRunner().invoke(app, ["update", str(root / "loop.toml"), "--json", *more])
    return found.exit_code, [json.loads(line) for line in found.stdout.splitlines()], found


def answer(task, flipped=False):
    """Label what a task asks for, by the names of the files."""
    with task.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        genuine = int(row["path"].rsplit("/", 1)[1].strip("abcdefghijklmnopqrstuvwxyz.")) % 2 == 0
        row["label"] = "real" if genuine ^ flipped else "fake"
        row["generator"] = "" if row["label"] == "real" else "loud-1"
    with task.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_loop_teaches_promotes_and_refuses(world, speech, monkeypatch):
    registry = str(world / "registry")
    first = record(world / "inbox", "first", 40, speech, 3)
    code, steps, _ = run(world, "--dry-run")
    assert (code, steps[0]["to_do"]) == (0, list(updating.STEPS))
    assert not (world / "registry").exists()

    code, steps, said = run(world)
    assert code == updating.WAITING, said.output
    assert [step["step"] for step in steps] == ["embed", "drift", "discover", "select", "labels"]
    assert steps[0]["recordings"] == 40
    task = world / "update" / "rounds" / "0001" / "task.csv"
    assert run(world)[0] == updating.WAITING  # nothing was answered, and nothing is done twice
    answer(task)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(updating.STEPS, "gate", stopped)
        assert run(world)[0] == 130
    code, steps, said = run(world)
    assert code == 0, said.output
    by_step = {step["step"]: step for step in steps if "step" in step}
    assert set(by_step) == {"gate", "promote"}
    assert by_step["promote"]["promoted"], by_step["gate"]
    cost = steps[-1]
    assert (cost["labels"], cost["cpu_hours"] > 0, cost["audio_hours"] > 0) == (40, True, True)
    with open_base(str(world / "known.db")) as base:
        assert {entry.generator for entry in base.entries()} == {"-", "loud-1"}
        judging = [row["id"] for row in read(world / "update" / "labels.csv") if row["part"] == "judge"]
        assert not {entry.id for entry in base.entries()} & set(judging)
    store = open_registry(registry)
    used = champion(store, "levels")
    assert used is not None
    assert used.number == 2
    scores = {v.path: v.llr for v in scan_many([i.path for i in first], model=str(fetch(store, used)))}
    right = [(scores[str(item.path)] > 0) == item.bona_fide for item in first]
    assert 32 <= sum(right) <= 35  # six sound like the other class

    second = record(world / "inbox", "second", 40, speech, 4)
    assert run(world)[0] == updating.WAITING
    answer(world / "update" / "rounds" / "0002" / "task.csv", flipped=True)
    code, steps, said = run(world)
    assert code == 0, said.output
    gate = next(step for step in steps if step.get("step") == "gate")
    assert not gate["promote"]
    assert gate["refused_by"]
    assert champion(store, "levels") == used
    assert len(versions(store, "levels")) == 3
    assert len(second) == 40

    code, steps, _ = run(world)
    assert (code, steps[0]["recordings"]) == (0, 0)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_example_is_usable(tmp_path):
    path = tmp_path / "loop.toml"
    path.write_text(EXAMPLE)
    loop = read_loop(path)
    assert (loop.name, loop.inbox, loop.items) == ("newsroom", tmp_path / "inbox", 50)
    everything = "\n".join(line.removeprefix("# ") for line in EXAMPLE.splitlines()[1:])
    path.write_text(everything)
    assert read_loop(path) == read_loop(path)
    assert CliRunner().invoke(app, ["update", "--example"]).stdout == EXAMPLE


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('nmae = "x"', "no setting is called 'nmae'"),
        ("items = true", "items = True: not what is expected"),
        ("minutes = 5", "either items or minutes"),
        ('method = "magic"', "'magic': one of head"),
        ("guards = 3", "guards = 3"),
        ("= 3", "not usable as TOML"),
    ],
)
def test_settings_that_are_none_are_refused(tmp_path, line, said):
    key = line.split(" ")[0]
    kept = "\n".join(row for row in SETTINGS.splitlines() if not row.startswith(f"{key} "))
    (tmp_path / "loop.toml").write_text(f"{kept}\n{line}\n")
    with pytest.raises(InputError, match=said) as caught:
        read_loop(tmp_path / "loop.toml")
    assert caught.value.code == "bad-config"
