"""What is made of recordings goes with them, also where they go while it is made."""

import pytest
from service_parts import ScriptedCrew
from test_guard import problem

from earwitness.service.jobs import claim, finish
from earwitness.service.store import remove


class Slow(ScriptedCrew):
    """While it makes a file, something else happens."""

    def make(self, request):
        super().make({**request, "do": "wav"})
        self.meanwhile()


def made(client):
    return list((client.service.store.folder.parent / "made").iterdir())


@pytest.mark.parametrize("what", ["audio.wav", "peaks", "report.html", "report.pdf", "report.json"])
def test_what_is_deleted_while_files_are_made_of_it_leaves_none(serve, what):
    client = serve(crew=Slow)
    id = client.post("/v1/analyses", content=b"sound").json()["id"]
    client.crew.meanwhile = lambda: None
    assert client.get(f"/v1/analyses/{id}/{what}").status_code == 200
    assert len(made(client)) == 1
    other = client.post("/v1/analyses", content=b"sound").json()["id"]
    client.crew.meanwhile = lambda: remove(client.service.store, other, "ada")
    problem(client.get(f"/v1/analyses/{other}/{what}"), 404, "no-such-analysis")
    assert [file.name.partition(".")[0] for file in made(client)] == [id]


def test_where_nothing_is_kept_no_audio_outlives_its_answer(serve):
    client = serve(crew=Slow, keep="nothing")
    client.crew.rests = True
    id = client.post("/v1/analyses?wait_s=0", content=b"sound").json()["id"]
    (job,) = claim(client.service.store, "short", 8)
    client.crew.meanwhile = lambda: finish(client.service.store, job, client.crew.says(job))
    problem(client.get(f"/v1/analyses/{id}/audio.wav"), 409, "not-kept")
    assert made(client) == []
    client.crew.meanwhile = lambda: None
    assert client.get(f"/v1/analyses/{id}/report.html").status_code == 200  # without pictures
