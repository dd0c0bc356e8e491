"""The API as its description says it is."""

import json
import threading
import time

import pytest
from service_parts import record
from sqlalchemy import select
from test_guard import problem

from earwitness.service.store import find
from earwitness.service.tables import deliveries

FIELDS = "id state name size sha256 created finished progress options batch audio label record".split()


def send(client, content=b"sound", **query):
    return client.post("/v1/analyses", params=query, content=content)


def test_a_short_recording_is_answered_at_once(client):
    answer = send(client, name="call.m4a", prior=0.25)
    assert answer.status_code == 200
    found = answer.json()
    assert set(found) == set(FIELDS)
    assert (found["state"], found["name"], found["size"], found["audio"]) == ("done", "call.m4a", 5, True)
    assert found["options"]["prior"] == 0.25
    assert found["record"] == record("call.m4a")
    assert answer.headers["location"] == f"/v1/analyses/{found['id']}"
    assert client.get(answer.headers["location"]).json() == found


def test_a_long_one_is_a_job_with_progress(client):
    client.crew.rests = True
    answer = send(client, wait_s=0)
    assert (answer.status_code, answer.json()["state"], answer.json()["record"]) == (202, "queued", None)
    place = answer.headers["location"]
    from earwitness.service.jobs import claim, finish, renew

    (job,) = claim(client.service.store, "short", 8)
    renew(client.service.store, [job], 0.4)
    assert (client.get(place).json()["state"], client.get(place).json()["progress"]) == ("running", 0.4)
    problem(client.get(place + "/report.html"), 409, "not-answered")
    problem(client.post(place + "/label", json={"label": "fake"}), 409, "not-answered")
    finish(client.service.store, job, record())
    assert client.get(place).json()["state"] == "done"


def test_who_waits_is_woken_by_the_answer(client):
    client.crew.rests = True

    def later():
        while not client.service.waiting:
            time.sleep(0.01)
        client.crew.rests = False
        while client.service.waiting:
            client.crew.notify()
            time.sleep(0.01)

    thread = threading.Thread(target=later)
    thread.start()
    assert send(client, wait_s=60).status_code == 200
    thread.join()
    assert client.service.waiting == {}


def test_who_waits_for_what_is_deleted_is_told(client):
    client.crew.rests = True

    def later():
        while not (waiting := list(client.service.waiting)):
            time.sleep(0.01)
        assert client.delete(f"/v1/analyses/{waiting[0]}").status_code == 204

    thread = threading.Thread(target=later)
    thread.start()
    problem(send(client, wait_s=60), 404, "no-such-analysis")
    thread.join()


def test_deletion_while_it_is_being_worked_on(client):
    def deleted_meanwhile(job):
        assert client.delete(f"/v1/analyses/{job.id}").status_code == 204
        return record()

    client.crew.says = deleted_meanwhile
    client.crew.rests = True
    id = send(client, wait_s=0).json()["id"]
    client.crew.rests = False
    client.crew.notify()
    problem(client.get(f"/v1/analyses/{id}"), 404, "no-such-analysis")
    problem(client.delete(f"/v1/analyses/{id}"), 404, "no-such-analysis")


def test_a_parked_analysis_is_an_answer(client):
    from earwitness.service.jobs import TRIES, claim, give_back

    client.crew.rests = True
    id = send(client, wait_s=0).json()["id"]
    for _ in range(TRIES):
        (job,) = claim(client.service.store, "short", 8)
        give_back(client.service.store, job, "short", died=True)
    found = client.get(f"/v1/analyses/{id}").json()
    assert (found["state"], found["record"]["verdict"]) == ("parked", "error")
    assert found["record"]["error"]["code"] == "parked"


def test_a_request_that_is_sent_again_is_answered_with_the_first(client):
    headers = {"idempotency-key": "k1"}
    first = client.post("/v1/analyses", content=b"sound", headers=headers).json()
    assert client.post("/v1/analyses", content=b"sound", headers=headers).json() == first
    problem(client.post("/v1/analyses", content=b"other", headers=headers), 422, "retry-mismatch")
    problem(client.post("/v1/analyses?prior=0.1", content=b"sound", headers=headers), 422, "retry-mismatch")
    assert len(client.get("/v1/analyses").json()["analyses"]) == 1
    problem(client.post("/v1/analyses", content=b"x", headers={"idempotency-key": "k" * 201}), 422, "usage")


@pytest.mark.parametrize(
    "query",
    [
        *("prior=0", "prior=1", "prior=nan", "prior=x", "wait_s=-1", "wait_s=61", "wait_s=nan", "wait_s=inf"),
        *("odd=1", "knowledge=perhaps", "model=" + "x" * 101, "name=" + "x" * 10_000),
        "callback=" + "h" * 2001,
    ],
)
def test_what_cannot_be_asked_for_is_said_so(client, query):
    detail = problem(client.post(f"/v1/analyses?{query}", content=b"sound"), 422, "usage")
    assert detail.startswith(query.partition("=")[0])
    assert list(client.service.store.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("model=../../etc", "model"),
        ("model=none", "model"),
        ("watermark=none", "model"),
        ("knowledge=true", "no-knowledge"),
        ("attribution=true", "no-tracer"),
        ("callback=http://127.0.0.1/", "bad-callback"),
        ("callback=gopher://example.org/", "bad-callback"),
    ],
)
def test_what_this_service_has_not_is_said_so(client, query, code):
    problem(client.post(f"/v1/analyses?{query}", content=b"sound"), 422, code)


def test_too_much_that_waits_is_refused(serve):
    client = serve(max_waiting=2)
    client.crew.rests = True
    assert [send(client, wait_s=0).status_code for _ in range(3)] == [202, 202, 429]
    answer = send(client, wait_s=0)
    problem(answer, 429, "busy")
    assert answer.headers["retry-after"]


def test_too_many_uploads_at_a_time_are_refused(serve):
    client = serve(max_uploads=1)
    client.service.uploads = 1
    problem(send(client), 429, "busy")
    client.service.uploads = 0
    assert send(client).status_code == 200
    assert client.service.uploads == 0


def test_a_batch(client):
    client.crew.rests = True
    files = [("files", (f"{i}.wav", b"sound %d" % i)) for i in range(20)]
    answer = client.post("/v1/batches?callback=https://example.org/done", files=files)
    assert answer.status_code == 202
    batch = answer.json()
    assert len(batch["analyses"]) == 20
    assert client.get(answer.headers["location"]).json() == {**batch, "state": "running"}
    store = client.service.store
    with store.read() as connection:
        assert connection.scalars(select(deliveries.c.state)).all() == ["waiting"]
    client.crew.rests = False
    client.crew.notify()
    assert client.get(answer.headers["location"]).json()["state"] == "done"
    names = [client.get(f"/v1/analyses/{id}").json() for id in batch["analyses"]]
    assert [one["name"] for one in names] == [f"{i}.wav" for i in range(20)]
    assert {one["batch"] for one in names} == {batch["id"]}
    with store.read() as connection:
        assert connection.scalars(select(deliveries.c.state)).all() == ["due"]


def test_a_batch_that_is_sent_again_is_answered_with_the_first(client):
    def batch(content=b"sound", route="/v1/batches"):
        return client.post(route, files=[("files", ("a.wav", content))], headers={"idempotency-key": "k1"})

    first = batch()
    assert (first.status_code, batch().json()) == (202, {**first.json(), "state": "done"})
    assert batch().headers["location"] == first.headers["location"]
    problem(batch(b"other"), 422, "retry-mismatch")
    problem(batch(route="/v1/analyses"), 422, "retry-mismatch")
    assert len(client.get("/v1/analyses").json()["analyses"]) == 1
    assert len(list(client.service.store.folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"label": "fake"}', "application/x-www-form-urlencoded", "Content-Type: application/json"),
        (b'{"label": "fake"}', None, "Content-Type: application/json"),
        (b'{"label": ', "application/json", "no JSON"),
        (b"", "application/json", "Field required"),
        (b"[1]", "application/json", "dictionary"),
        (b'{"label": "odd"}', "application/json", "label: "),
    ],
)
def test_labels_that_are_none_are_said_so(client, body, kind, said):
    id = send(client).json()["id"]
    headers = {"content-type": kind} if kind else {}
    answer = client.post(f"/v1/analyses/{id}/label", content=body, headers=headers)
    assert said in problem(answer, 422, "usage")


def test_lists(client):
    ids = [send(client, name=f"{i}.wav").json()["id"] for i in range(5)]
    first = client.get("/v1/analyses?limit=2").json()
    assert [one["id"] for one in first["analyses"]] == ids[:2:-1]
    rest = client.get(f"/v1/analyses?limit=9&before={first['next']}").json()
    assert [one["id"] for one in rest["analyses"]] == ids[2::-1]
    assert rest["next"] is None
    (one,) = client.get("/v1/analyses", params={"q": "3.WAV", "verdict": "fake"}).json()["analyses"]
    assert one["id"] == ids[3]
    assert client.get("/v1/analyses?verdict=genuine").json()["analyses"] == []
    for query in ("limit=0", "limit=201", "verdict=x", "label=x", "q=" + "x" * 201):
        problem(client.get(f"/v1/analyses?{query}"), 422, "usage")
    assert client.get("/v1/analyses", params={"q": "\0", "before": "\0"}).status_code == 200


def test_audio_is_made_once_and_given_in_parts(client):
    id = send(client).json()["id"]
    answer = client.get(f"/v1/analyses/{id}/audio.wav")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/wav")
    part = client.get(f"/v1/analyses/{id}/audio.wav", headers={"range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    beyond = client.get(f"/v1/analyses/{id}/audio.wav", headers={"range": "bytes=99-"})
    assert beyond.status_code == 416
    assert len(client.crew.made) == 1
    assert client.get(f"/v1/analyses/{id}/peaks").headers["content-type"] == "application/json"


def test_audio_that_is_not_kept_is_said_so(serve):
    client = serve(keep="nothing")
    found = send(client).json()
    assert (found["audio"], found["state"]) == (False, "done")
    problem(client.get(f"/v1/analyses/{found['id']}/audio.wav"), 409, "not-kept")
    problem(client.get(f"/v1/analyses/{found['id']}/peaks"), 409, "not-kept")


def test_spans_as_rttm(client):
    spans = [{"start_s": 1.0, "end_s": 2.5, "p_fake": 0.9}]
    windows = [{"start_s": 0.0, "end_s": 4.0, "score": -2.0, "llr": -2.0}]
    client.crew.says = lambda job: record(job.name, spans=spans, windows=windows)
    id = send(client).json()["id"]
    answer = client.get(f"/v1/analyses/{id}/report.rttm")
    (fake,) = [line.split() for line in answer.text.splitlines() if "spoof" in line]
    assert (fake[1], float(fake[3]), float(fake[4])) == (id, 1.0, 1.5)
    assert answer.headers["content-disposition"] == f'attachment; filename="earwitness-{id}.rttm"'
    problem(client.get(f"/v1/analyses/{id}/report.exe"), 422, "usage")


def test_about_and_models(serve):
    about = serve(max_bytes=1000, keep="30d").get("/v1/about").json()
    assert about["limits"] == {"max_bytes": 1000, "max_duration_s": 21600.0}
    assert (about["keep"], about["auth"], about["knowledge"], about["drift"]) == ("30d", False, False, False)
    (model, *_) = serve().get("/v1/models").json()["models"]
    assert set(model) == {"name", "version", "digest", "default", "licence", "thresholds"}
    assert model["default"]
    assert model["name"] in about["models"]


def test_odd_names_are_made_harmless(client):
    for given, kept in [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\joe\\call.wav", "call.wav"),
        ("a\nb\x00c\x1b[31m.wav", "a\ufffdb\ufffdc\ufffd[31m.wav"),
        ("call\u202evaw.exe", "call\ufffdvaw.exe"),
        ("", "recording"),
        ("/", "recording"),
        ("   ", "recording"),
        ("<img src=x>.wav", "<img src=x>.wav"),
        ("'; DROP TABLE analyses", "'; DROP TABLE analyses"),
        ("é" * 500, "é" * 200),
    ]:
        found = send(client, name=given).json()
        assert found["name"] == kept
        assert client.get(f"/v1/analyses/{found['id']}").json()["record"]["path"] == kept
    assert all(len(file.name) == 26 for file in client.service.store.folder.iterdir())


def test_the_description_is_whole(client):
    description = client.get("/v1/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    assert json.loads(json.dumps(description)) == description
    for path, ways in description["paths"].items():
        for method, way in ways.items():
            assert way["summary"], path
            good = [status for status in way["responses"] if status.startswith("2")]
            assert good, (method, path)
            bad = [way["responses"][s] for s in way["responses"] if s.startswith("4")]
            assert all("application/problem+json" in one["content"] for one in bad if "content" in one), path
    post = description["paths"]["/v1/analyses"]["post"]
    example = post["responses"]["200"]["content"]["application/json"]["example"]
    found = send(client).json()
    schema = post["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) <= set(example) <= set(found)
    assert set(schema["properties"]) == set(found)


def test_a_label_is_noted_and_can_be_corrected(client):
    id = send(client).json()["id"]
    place = f"/v1/analyses/{id}/label"
    said = client.post(place, json={"label": "fake", "generator": "x", "note": "a\nb\0"}).json()
    assert said["knowledge"]["added"] is False
    assert (said["label"]["label"], said["label"]["generator"], said["label"]["by"]) == ("fake", "x", "local")
    assert find(client.service.store, id)["label"]["note"] == "a\nb\0"
    assert client.post(place, json={"label": "genuine"}).json()["label"]["label"] == "genuine"
    for odd in (
        {"label": "perhaps"},
        {},
        {"label": "fake", "x": 1},
        {"label": "fake", "generator": "a\0"},
        {"label": "fake", "note": "x" * 2001},
        [],
        None,
    ):
        problem(client.post(place, json=odd), 422, "usage")
    odd = client.post(
        place, content=b'{"label":"fake","note":"\\ud800"}', headers={"content-type": "application/json"}
    )
    assert odd.status_code in (200, 422)
    problem(client.post(place, content=b"{", headers={"content-type": "application/json"}), 422, "usage")
    assert client.get("/v1/analyses?label=genuine").json()["analyses"] != []
