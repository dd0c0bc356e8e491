"""A worker that does what the content of a file says. Speaks as `earwitness.service.worker` does."""

import json
import os
import sys
import time

settings = json.loads(sys.stdin.buffer.readline())


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def answer(job):
    """The answer to one file."""
    with open(job["path"]) as file:
        what = file.read()
    if what == "die":
        os._exit(1)
    if what == "hang":
        time.sleep(600)
    if what == "babble":
        sys.stdout.write("no JSON\n")
        sys.stdout.flush()
    if what == "half":
        sys.stdout.write('{"done": [')
        sys.stdout.flush()
        os._exit(0)
    if what == "slow":
        for share in (0.25, 0.5):
            time.sleep(0.3)
            say({"heard": share})
    if what == "long" and settings["short_s"]:
        return {"elsewhere": True}
    p_fake = float("nan") if what == "odd" else 0.9
    record = {"path": job["name"], "verdict": "fake", "p_fake": p_fake, "duration_s": 1.0, "by": os.getpid()}
    return {"record": record, "heard": None}


if os.environ.get("STUB") == "never":
    sys.exit(3)
say({"ready": True})
for line in sys.stdin.buffer:
    request = json.loads(line)
    if request["do"] != "scan":
        what = request["do"]
        say({"failed": {"code": what, "message": "cannot"}} if what == "fail" else {"done": {}})
        continue
    texts = [open(job["path"]).read() for job in request["jobs"]]
    if "internal" in texts:
        say({"failed": {"code": "internal", "message": "odd"}})
        continue
    say({"done": [answer(job) for job in request["jobs"]]})
