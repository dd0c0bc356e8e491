"""What tests of the service share: uploads into a store, and crews that need no model."""

import hashlib
import threading

from earwitness.errors import InputError
from earwitness.service.app import make_service
from earwitness.service.jobs import claim, finish, recover
from earwitness.service.store import Upload, accept, new_id

OPTIONS = {"model": None, "prior": 0.5, "knowledge": False, "attribution": False, "watermark": None}
MODEL = {"name": "tiny", "version": "1", "digest": "ab" * 32}


def put(store, content=b"sound", name="call.wav") -> Upload:
    """An upload in the folder, not accepted yet."""
    upload = Upload(new_id(), name, len(content), hashlib.sha256(content).hexdigest())
    store.audio(upload.id).write_bytes(content)
    return upload


def take(store, content=b"sound", name="call.wav", owner="ada", **more) -> str:
    """The id of an accepted upload."""
    return accept(store, put(store, content, name), OPTIONS, owner, **more)


def record(path="call.wav", verdict="fake", **more) -> dict:
    """A verdict record as far as the service looks at it."""
    sound = {"duration_s": 4.0, "sha256": "cd" * 32, "score": -2.0, "llr": -2.0, "p_fake": 0.88}
    return {
        "schema": 1,
        "path": path,
        "verdict": verdict,
        "rule": "",
        "model": MODEL,
        "warnings": [],
        "error": None,
        **sound,
        **more,
    }


class ScriptedCrew:
    """In a crew's place: answers when it is told of work, unless it rests."""

    deaths = 0

    def __init__(self, store, options, on_answer):
        self.store, self.options, self.on_answer = store, options, on_answer
        self.threads = [threading.main_thread()]
        self.rests = False
        self.says = lambda job: record(job.name)
        self.heard = None
        self.made = []

    def start(self, alone):
        recover(self.store, alone)

    def stop(self):
        pass

    def notify(self, lane="short"):
        while not self.rests and (jobs := claim(self.store, "short", 8)):
            for job in jobs:
                answer = self.says(job)
                if finish(self.store, job, answer, self.heard):
                    self.on_answer(job.id, answer)

    def make(self, request):
        from pathlib import Path

        self.made.append(request)
        if request["do"] == "report":
            raise InputError("not-audio", "cannot be drawn from /home/joe/store/audio/x")
        Path(request["out"]).write_bytes(b"0123456789")


def make(options, crew=ScriptedCrew):
    """A service with such a crew; with its own where there is none."""
    service = make_service(options)
    if crew is None:
        return service
    real = service.crew
    service.crew = crew(real.store, real.options, real.on_answer)
    return service
