"""Who may do what, how often and from where; and that no answer tells of the insides."""

import threading

import pytest
from service_parts import record

from earwitness.errors import InputError
from earwitness.service import analyses, insight
from earwitness.service.guard import HEADERS, Rates
from earwitness.service.keys import add_key, remove_key
from earwitness.service.options import ServeOptions
from earwitness.service.store import open_store

SOUND = {"content": b"sound"}


def problem(answer, status, code):
    """Checks the form of an answer that says what is wrong."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert set(said) == {"type", "title", "status", "detail", "code"}
    assert (said["status"], said["code"]) == (status, code)
    assert said["title"] != "Error"
    return said["detail"]


@pytest.fixture
def tokens(tmp_path):
    """A key of each role, in the store that `serve` opens."""
    store = open_store(tmp_path / "store")
    made = {role: add_key(store.engine, f"the {role}", role) for role in ("scan", "label", "admin")}
    store.engine.dispose()
    return made


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def test_without_keys_only_this_machine_is_served(serve):
    assert serve().get("/v1/about").json()["role"] == "admin"
    with pytest.raises(InputError) as error:
        serve(host="0.0.0.0")
    assert error.value.code == "usage"


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *((host, True) for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org")),
    ],
)
def test_loopback(host, alone):
    assert ServeOptions(host).loopback == alone


def test_with_keys_each_role_may_do_its_part(serve, tokens):
    client = serve(host="0.0.0.0")
    problem(client.post("/v1/analyses", **SOUND), 401, "unauthorised")
    assert client.post("/v1/analyses", **SOUND).headers["www-authenticate"] == "Bearer"
    problem(client.get("/v1/analyses", headers=bearer("ew_wrong")), 401, "unauthorised")
    problem(client.get("/v1/analyses", headers={"authorization": "Basic YTpi"}), 401, "unauthorised")
    id = client.post("/v1/analyses", headers=bearer(tokens["scan"]), **SOUND).json()["id"]
    said = {"label": "fake"}
    detail = problem(
        client.post(f"/v1/analyses/{id}/label", json=said, headers=bearer(tokens["scan"])), 403, "forbidden"
    )
    assert "label" in detail
    problem(client.delete(f"/v1/analyses/{id}", headers=bearer(tokens["scan"])), 403, "forbidden")
    labelled = client.post(f"/v1/analyses/{id}/label", json=said, headers=bearer(tokens["label"]))
    assert labelled.json()["label"]["by"] == "the label"
    assert client.delete(f"/v1/analyses/{id}", headers=bearer(tokens["admin"])).status_code == 204
    remove_key(client.service.store.engine, "the admin")
    problem(client.get("/v1/analyses", headers=bearer(tokens["admin"])), 401, "unauthorised")


def test_every_route_asks_for_a_key(serve, tokens):
    client, id = serve(host="0.0.0.0"), "0" * 26
    open_to_all = {"/v1/openapi.json", "/v1/about", "/healthz", "/readyz"}
    described = client.get("/v1/openapi.json").json()["paths"]
    paths = [(path, method) for path, ways in described.items() for method in ways]
    assert len(paths) >= 17
    for path, method in [*paths, ("/metrics", "get")]:
        if path not in open_to_all:
            url = path.replace("{id}", id).replace("{entry}", "0" * 16).replace("{form}", "html")
            problem(client.request(method, url), 401, "unauthorised")
    about = client.get("/v1/about").json()
    assert (about["auth"], about["role"], set(about)) == (True, None, {"version", "auth", "role"})
    assert client.get("/v1/about", headers=bearer(tokens["label"])).json()["role"] == "label"


def test_an_upload_without_a_key_is_not_even_read(serve, tokens):
    client, read = serve(host="0.0.0.0"), []

    def body():
        read.append(1)
        yield b"x" * 100

    problem(client.post("/v1/analyses", content=body()), 401, "unauthorised")
    assert list(client.service.store.folder.iterdir()) == []


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "", "169.254.1.1", "[::2]"],
)
def test_without_keys_other_names_of_this_machine_are_refused(client, host):
    problem(client.get("/v1/about", headers={"host": host}), 403, "wrong-host")
    problem(client.get("/healthz", headers={"host": host}), 403, "wrong-host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "LOCALHOST:1", "[::1]", "[::1]:8080"])
def test_names_of_this_machine_are_answered(client, host):
    assert client.get("/v1/about", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1:9999", "file://"],
)
def test_pages_of_other_sites_may_not_send_anything(client, origin):
    headers = {"origin": origin}
    problem(client.post("/v1/analyses", headers=headers, **SOUND), 403, "wrong-origin")
    problem(client.delete(f"/v1/analyses/{'0' * 26}", headers=headers), 403, "wrong-origin")
    assert "access-control-allow-origin" not in client.get("/v1/about", headers=headers).headers
    with client.websocket_connect("/v1/stream", headers={**headers, "host": "127.0.0.1"}) as socket:
        assert socket.receive_json()["code"] == "wrong-origin"


def test_our_own_page_may_send(client):
    assert client.post("/v1/analyses", headers={"origin": "http://127.0.0.1"}, **SOUND).status_code == 200


def test_every_answer_has_the_headers(client, monkeypatch):
    def fails(*_):
        raise RuntimeError("/home/joe/secret")

    monkeypatch.setattr(analyses, "search", fails)
    answers = [
        client.get(path)
        for path in ("/", "/v1/about", "/healthz", "/nothing", "/v1/analyses", "/v1/openapi.json")
    ]
    answers += [client.put("/v1/about"), client.get("/v1/about", headers={"host": "evil.example"})]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, answer.url
    policy = HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe-eval" not in policy


def test_what_nobody_foresaw_is_a_problem_without_details(client, monkeypatch, caplog):
    def fails(*_):
        raise RuntimeError("/home/joe/secret")

    monkeypatch.setattr(analyses, "search", fails)
    answer = client.get("/v1/analyses")
    problem(answer, 500, "internal")
    for word in ("joe", "secret", "RuntimeError", "Traceback"):
        assert word not in answer.text
    assert "/home/joe/secret" in caplog.text  # but the log has it


def test_errors_of_the_package_name_no_folder(client, monkeypatch):
    def fails(*_):
        raise InputError(
            "bad-knowledge", "/home/joe/secret/known.db: is damaged; see postgresql://u:pw@db1/known"
        )

    monkeypatch.setattr(insight, "entries_of", fails)
    assert problem(client.get("/v1/knowledge"), 422, "bad-knowledge") == "known.db: is damaged; see known"
    id = client.post("/v1/analyses", **SOUND).json()["id"]
    detail = problem(client.get(f"/v1/analyses/{id}/report.html"), 422, "not-audio")
    assert detail == "cannot be drawn from x"


def test_what_is_not_there_is_a_problem(client):
    problem(client.get("/nothing"), 404, "not-found")
    problem(client.get("/v1/nothing"), 404, "not-found")
    problem(client.put("/v1/about"), 405, "method-not-allowed")
    problem(client.get(f"/v1/analyses/{'0' * 26}"), 404, "no-such-analysis")
    problem(client.get(f"/v1/batches/{'0' * 26}"), 404, "no-such-batch")
    problem(client.get("/v1/knowledge"), 404, "no-knowledge")
    problem(client.get("/v1/drift"), 404, "no-drift")


@pytest.mark.parametrize(
    "id",
    ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "A" * 26, "0" * 25, "%00" * 26, "0" * 26 + "%0a", "é" * 26],
)
@pytest.mark.parametrize("path", ["/v1/analyses/{}", "/v1/analyses/{}/audio.wav", "/v1/batches/{}"])
def test_odd_ids_find_nothing(client, path, id):
    answer = client.get(path.format(id))
    assert answer.status_code in (404, 405, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/%00", "/" + "a" * 5000, "/..%2f..%2fpyproject.toml", "/%2e%2e/app.py", "/%ff"]
)
def test_odd_paths_of_the_page_find_nothing(client, path):
    problem(client.get(path), 404, "not-found")


def test_a_caller_has_a_rate(serve):
    client = serve(rate=0.5, burst=3)
    answers = [client.get("/v1/models") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    problem(answers[-1], 429, "rate-limited")
    assert int(answers[-1].headers["retry-after"]) in (1, 2, 3)


def test_a_bucket_fills_again():
    now = [0.0]
    rates = Rates(2.0, 4, lambda: now[0])
    assert [rates.wait_s("ada") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert rates.wait_s("bob") == 0
    now[0] = 0.25
    assert rates.wait_s("ada") == pytest.approx(0.25)
    now[0] = 0.5
    assert rates.wait_s("ada") == 0
    now[0] = 1000.0
    assert [bool(rates.wait_s("ada")) for _ in range(5)] == [False] * 4 + [True]


def test_requests_at_once_get_no_more_than_the_burst():
    rates, given = Rates(1e-9, 50), []
    threads = [
        threading.Thread(target=lambda: given.extend(rates.wait_s("ada") == 0 for _ in range(50)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(given) == 50


def test_large_bodies_are_refused_where_small_ones_are_meant(client):
    id = client.post("/v1/analyses", **SOUND).json()["id"]
    large = b'{"label": "fake", "note": "' + b"x" * (1 << 17) + b'"}'
    headers = {"content-type": "application/json"}
    problem(client.post(f"/v1/analyses/{id}/label", content=large, headers=headers), 413, "too-big")
    pieces = (large[i : i + 1000] for i in range(0, len(large), 1000))
    problem(client.post(f"/v1/analyses/{id}/label", content=pieces, headers=headers), 413, "too-big")


def test_metrics_tell_of_routes_not_of_ids(client):
    id = client.post("/v1/analyses", **SOUND).json()["id"]
    client.get(f"/v1/analyses/{id}")
    client.get("/secret-path")
    page = client.get("/metrics").text
    assert 'earwitness_requests_total{method="GET",route="/v1/analyses/{id}",status="200"} 1.0' in page
    assert 'earwitness_verdicts_total{verdict="fake"} 1.0' in page
    assert 'earwitness_analyses{state="done"} 1.0' in page
    assert "earwitness_worker_deaths 0.0" in page
    assert id not in page
    assert "secret-path" not in page


def test_readiness(client):
    assert (client.get("/healthz").text, client.get("/readyz").status_code) == ("ok\n", 200)
    client.crew.threads = [threading.Thread()]
    assert client.get("/readyz").status_code == 503


def test_records_of_a_crew_are_seen(client):
    client.crew.says = lambda job: record(job.name, "genuine")
    assert client.post("/v1/analyses", **SOUND).json()["record"]["verdict"] == "genuine"
