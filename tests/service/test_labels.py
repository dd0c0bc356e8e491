"""Labels: into the knowledge base, into the table that selection reads, and what drift makes of it all."""

import hashlib
import io
import json

import numpy as np
import pytest
from service_parts import MODEL, record
from test_guard import problem
from typer.testing import CliRunner

from earwitness.cli import app
from earwitness.errors import InputError
from earwitness.evidence.places import make_base, open_base
from earwitness.operations.drift import make_reference
from earwitness.operations.drift_file import write_reference
from earwitness.operations.drift_options import DriftOptions
from earwitness.operations.samples import Samples, read_samples
from earwitness.types import ModelId

SIZE = 8
RNG = np.random.default_rng(7)


def heard(row=None):
    """Embeddings as a worker packs them; `row` is their mean."""
    rows = RNG.normal(size=(1, SIZE)) if row is None else np.array([row])
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    file = io.BytesIO()
    np.savez(file, embeddings=rows, starts_s=np.zeros(1), profile=np.zeros(0, np.float32))
    return file.getvalue()


def send(client, content, row=None, **more):
    digest = hashlib.sha256(content).hexdigest()
    client.crew.heard = heard(row)
    client.crew.says = lambda job: record(job.name, sha256=digest, **more)
    return client.post("/v1/analyses?name=call.wav", content=content).json()


def label(client, analysis, label, **more):
    return client.post(f"/v1/analyses/{analysis['id']}/label", json={"label": label, **more}).json()[
        "knowledge"
    ]


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "known.db")


def test_a_label_goes_into_the_base(serve, place):
    client = serve(knowledge=place)
    assert client.get("/v1/knowledge").json()["entries"] == 0  # it is made with its first entry
    assert client.get("/v1/knowledge/entries").json() == {"entries": [], "next": None}
    sent = send(client, b"one")
    assert label(client, sent, "fake", generator="VoxBox 2") == {"added": True, "why": ""}
    with open_base(place) as base:
        (entry,) = base.entries()
    assert (entry.id, entry.bona_fide, entry.generator) == (sent["sha256"][:16], False, "VoxBox 2")
    assert entry.added_by == "local"
    known = client.get("/v1/knowledge").json()
    assert (known["entries"], known["genuine"], known["fake"], known["generators"]) == (
        1,
        0,
        1,
        {"VoxBox 2": 1},
    )
    (row,) = client.get("/v1/knowledge/entries?q=voxbox").json()["entries"]
    assert (row["id"], row["label"], row["playable"]) == (entry.id, "fake", True)
    assert client.get(f"/v1/knowledge/entries/{row['id']}/audio.wav").status_code == 200
    assert client.get("/v1/knowledge/entries?q=other").json()["entries"] == []
    client.delete(f"/v1/analyses/{sent['id']}")
    problem(client.get(f"/v1/knowledge/entries/{'0' * 16}/audio.wav"), 404, "no-such-entry")


def test_twice_is_once_and_the_other_label_corrects(serve, place):
    client = serve(knowledge=place)
    sent = send(client, b"one")
    assert label(client, sent, "fake")["added"]
    again = label(client, sent, "fake")
    assert (again["added"], bool(again["why"])) == (False, True)
    assert label(client, sent, "genuine") == {"added": True, "why": ""}
    with open_base(place) as base:
        (entry,) = base.entries()
    assert (entry.bona_fide, entry.reviewed) == (True, True)
    assert client.get(f"/v1/analyses/{sent['id']}").json()["label"]["label"] == "genuine"


def test_entries_are_paged(serve, place):
    client = serve(knowledge=place)
    for number in range(5):
        row = np.eye(SIZE)[number]
        assert label(client, send(client, b"%d" % number, row), "fake")["added"]
    first = client.get("/v1/knowledge/entries?limit=3").json()
    rest = client.get(f"/v1/knowledge/entries?limit=3&before={first['next']}").json()
    ids = [row["id"] for row in first["entries"] + rest["entries"]]
    assert (len(set(ids)), rest["next"]) == (5, None)


def test_a_base_of_another_model_is_let_be_and_the_label_kept(serve, place, tmp_path):
    make_base(place, ModelId("other", "1", "ef" * 32), SIZE).close()
    client = serve(knowledge=place)
    sent = send(client, b"one")
    said = label(client, sent, "fake")
    assert said["added"] is False
    assert "other" in said["why"]
    assert str(tmp_path) not in said["why"]
    assert client.get(f"/v1/analyses/{sent['id']}").json()["label"]["label"] == "fake"


def test_what_holds_nothing_to_compare_is_said_so(serve, place):
    client = serve(knowledge=place)
    client.crew.says = lambda job: record(job.name, "no-speech", score=None, llr=None, p_fake=None)
    sent = client.post("/v1/analyses", content=b"noise").json()
    assert label(client, sent, "genuine")["added"] is False
    client = serve(knowledge=None)
    assert "no knowledge base" in label(client, send(client, b"x"), "fake")["why"]


def test_a_damaged_base_is_said_so_without_its_place(serve, place, tmp_path):
    with open(place, "wb") as file:
        file.write(b"no base" * 1000)
    client = serve(knowledge=place)
    said = label(client, send(client, b"one"), "fake")
    assert said["added"] is False
    assert str(tmp_path) not in said["why"]
    answer = client.get("/v1/knowledge")
    assert answer.status_code == 422
    assert str(tmp_path) not in answer.text


@pytest.mark.parametrize("kind", ["file", "server"])
def test_labels_make_a_table_for_selection(serve, tmp_path, kind, request):
    url = request.getfixturevalue("database") if kind == "server" else None
    client = serve(database=url)
    rows = np.eye(SIZE)
    sent = [send(client, b"%d" % number, rows[number], llr=float(number)) for number in range(4)]
    send(client, b"0", rows[0], llr=9.0)  # the same recording again: the newest counts
    label(client, sent[1], "fake", generator="x")
    label(client, sent[2], "genuine")
    out = tmp_path / "table.csv"
    folder = ["--folder", str(tmp_path / "store"), *(["--database", url] if url else [])]
    done = CliRunner().invoke(app, ["audit", "samples", str(out), *folder])
    assert done.exit_code == 0, done.output
    table = read_samples(out)
    assert table.ids == [one["sha256"][:16] for one in (sent[0], *sent[:0:-1])]
    assert table.scores.tolist() == [9.0, 3.0, 2.0, 1.0]
    assert table.labels.tolist() == [-1, -1, 1, 0]
    assert table.column("generator") == ["-", "-", "-", "x"]
    assert table.model == MODEL["digest"]
    assert table.embeddings == pytest.approx(rows[[0, 3, 2, 1]], abs=1e-6)


def reference(path, model=MODEL["digest"]):
    """A drift reference of embeddings around the first axis."""
    rng = np.random.default_rng(1)
    rows = np.eye(SIZE)[0] + 0.3 * rng.normal(size=(400, SIZE))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    columns = {"label": ["real", "fake"] * 200, "model": [model] * 400}
    samples = Samples([str(i) for i in range(400)], rng.normal(size=400), rows.astype(np.float32), columns)
    options = DriftOptions(window=24, rate=0.1, windows=40, components=4, run_length=10)
    write_reference(make_reference(samples, options), path)


def test_drift(serve, tmp_path):
    reference(tmp_path / "drift.npz")
    client = serve(drift=tmp_path / "drift.npz", burst=10_000)
    rng = np.random.default_rng(2)
    few = client.get("/v1/drift").json()
    assert (few["state"], few["recordings"], few["tests"], few["days"]) == ("too-few", 0, [], [])

    def said(shift, start):
        for number in range(24):
            row = np.eye(SIZE)[0] + 0.3 * rng.normal(size=SIZE) + shift
            send(client, b"%d" % (start + number), row, llr=float(rng.normal()))
        client.service.drift = None
        return client.get("/v1/drift").json()

    quiet = said(0.0, 0)
    assert quiet["state"] in ("quiet", "watch")
    assert [set(test) for test in quiet["tests"]] == [{"name", "p_value", "alarm"}]
    (day,) = quiet["days"]
    assert (day["recordings"], day["fake"], day["other"], day["mean_p_fake"]) == (24, 24, 0, 0.88)
    alarm = said(np.eye(SIZE)[3] * 5, 100)
    assert alarm["state"] == "alarm"
    assert alarm["recordings"] == 24
    assert json.loads(json.dumps(alarm)) == alarm
    assert said(0.0, 200)["state"] != "alarm"
    before = client.service.drift
    client.get("/v1/drift")
    assert client.service.drift is before  # it is not judged anew at every look


def test_references_that_are_none_are_said_so(serve, tmp_path):
    with pytest.raises(InputError) as error:  # at once, not when somebody asks
        serve(drift=tmp_path / "drift.npz")
    assert error.value.code == "bad-reference"
    reference(tmp_path / "drift.npz")
    client = serve(drift=tmp_path / "drift.npz")
    (tmp_path / "drift.npz").write_bytes(b"nothing")
    answer = client.get("/v1/drift")
    assert answer.status_code == 422
    assert str(tmp_path) not in answer.text
