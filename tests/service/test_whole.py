"""The whole service with its own workers and the model that ships with the package."""

import pytest
from test_guard import problem

from earwitness import scan
from earwitness.audio.io import load


def test_recordings_are_answered_as_on_the_command_line(serve, samples):
    client = serve(crew=None, workers=1)
    names = ["generated-vocos-bark.flac", "genuine-vctk.mp3"]
    files = [("files", (name, (samples / name).read_bytes())) for name in names]
    batch = client.post(
        "/v1/batches?prior=0.3", files=[*files, ("files", ("hostile.flac", b"fLaC" * 99))]
    ).json()
    noise = client.post("/v1/analyses?wait_s=60", content=(samples / "pink-noise.flac").read_bytes()).json()
    assert noise["record"]["verdict"] == "no-speech"
    found = [client.get(f"/v1/analyses/{id}").json() for id in batch["analyses"]]
    for name, one in zip(names, found, strict=False):
        expected = scan(samples / name, prior=0.3)
        assert one["state"] == "done"
        assert one["record"]["verdict"] == expected.verdict
        assert one["record"]["p_fake"] == pytest.approx(expected.p_fake, abs=1e-3)
        assert one["record"]["path"] == name
    assert found[2]["record"]["error"]["code"] in ("damaged", "not-audio")
    answer = client.get(f"/v1/analyses/{found[1]['id']}/audio.wav")
    assert load(answer.content) == pytest.approx(load(samples / names[1]), abs=1e-4)
    peaks = client.get(f"/v1/analyses/{found[1]['id']}/peaks").json()
    assert peaks["duration_s"] == pytest.approx(found[1]["record"]["duration_s"], abs=0.01)
    problem(client.get(f"/v1/analyses/{found[2]['id']}/audio.wav"), 422, found[2]["record"]["error"]["code"])
    assert client.service.crew.deaths == 0


def test_what_is_accepted_before_a_restart_is_answered_after_it(serve, samples):
    first = serve()
    first.crew.rests = True
    sound = (samples / "genuine-ljspeech.flac").read_bytes()
    id = first.post("/v1/analyses?wait_s=0", content=sound, headers={"idempotency-key": "k"}).json()["id"]
    second = serve(crew=None, workers=1)
    again = second.post("/v1/analyses?wait_s=60", content=sound, headers={"idempotency-key": "k"}).json()
    assert (again["id"], again["state"]) == (id, "done")
    assert again["record"]["verdict"] == scan(samples / "genuine-ljspeech.flac").verdict
