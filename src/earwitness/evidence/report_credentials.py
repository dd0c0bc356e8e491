"""Content credentials (C2PA) of a file: what is claimed of its making, by whom, and whether that holds.

The library parses what strangers wrote, so it runs in a process of its own, with bounded memory and time.
Nothing is fetched: neither manifests that lie elsewhere, nor certificates' status, nor lists of whom to
trust. So a signature that holds says that the file is as it was signed, not that the signer may be believed.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO, Any, Literal

State = Literal["found", "none", "unsupported", "absent", "failed"]
MAX_BYTES = 4 << 30  # of a file; its whole content is hashed
MAX_ANSWER = 1 << 18
MAX_MEMORY = 4 << 30
TIMEOUT_S = 120
MOST = 20  # actions, manifests
TEXT = 200  # characters
GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia")
GENERATED += ("compositeSynthetic", "dataDrivenMedia")
SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False},
    "core": {"allowed_network_hosts": []},
}


@dataclass(frozen=True)
class Action:
    """One step of a file's making, as claimed."""

    what: str
    when: str
    by: str  # software
    source: str  # digital source type, its last word


@dataclass(frozen=True)
class Credentials:
    """What content credentials say."""

    state: State
    note: str = ""  # why nothing is said
    holds: bool | None = None  # signature and hashes; None where nothing could be checked
    failures: tuple[str, ...] = ()  # codes of what does not hold
    generator: str = ""
    signer: str = ""
    time: str = ""
    actions: tuple[Action, ...] = ()
    manifests: int = 0
    claims_generated: bool = False  # that it, or a part of it, was made by an algorithm


def look(file: IO[bytes]) -> Credentials:
    """The credentials of an open file on disk, which is rewound; another process reads the same file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if find_spec("c2pa") is None:
        return Credentials("absent", "not looked for: c2pa-python is not installed")
    if size > MAX_BYTES:
        return Credentials("failed", f"not looked for: the file is over {MAX_BYTES >> 30} GiB")
    command = [sys.executable, "-P", "-m", "earwitness.evidence.report_credentials"]
    place = os.lseek(file.fileno(), 0, os.SEEK_CUR)  # shared with the other process, unknown to the buffer
    try:
        done = subprocess.run(command, stdin=file, capture_output=True, timeout=TIMEOUT_S, check=False)
        found = json.loads(done.stdout[:MAX_ANSWER]) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, RecursionError):
        found = None
    finally:
        os.lseek(file.fileno(), place, os.SEEK_SET)
    if not isinstance(found, dict):
        return Credentials("failed", "could not be read: the credentials brought their reader down")
    found["actions"] = tuple(Action(**one) for one in found.get("actions", ()))
    found["failures"] = tuple(found.get("failures", ()))
    return Credentials(**found)


def read(file: IO[bytes]) -> dict[str, Any]:
    """The fields of `Credentials` for an open file, by this process."""
    import c2pa

    with c2pa.Settings.from_dict(SETTINGS) as settings:
        context = c2pa.Context(settings)
    errors: Any = c2pa.C2paError  # its kinds are attributes that it gets later
    try:
        reader = c2pa.Reader(None, file, context=context)
    except errors.ManifestNotFound:
        return {"state": "none"}
    except errors.NotSupported:
        return {"state": "unsupported", "note": "this kind of file is not one whose credentials can be read"}
    except errors.RemoteManifest:
        return {"state": "failed", "note": "named, but kept elsewhere; nothing was fetched"}
    except errors as error:
        return {"state": "failed", "note": f"could not be read: {cut(error)}"}
    with reader:
        return summary(json.loads(reader.json()))


def summary(store: Any) -> dict[str, Any]:
    """The fields of `Credentials` for a manifest store; whatever is not as expected is left out."""
    manifests = known(known(store, dict).get("manifests"), dict)
    active = known(manifests.get(str(known(store, dict).get("active_manifest"))), dict)
    signed = known(active.get("signature_info"), dict)
    actions = [one for name in manifests for one in actions_of(manifests[name])]
    results = known(known(known(store, dict).get("validation_results"), dict).get("activeManifest"), dict)
    failures = {cut(known(one, dict).get("code")) for one in known(results.get("failure"), list)}
    generators = [known(one, dict) for one in known(active.get("claim_generator_info"), list)]
    named = [" ".join(cut(one[k]) for k in ("name", "version") if one.get(k)) for one in generators[:3]]
    names = [signed.get("common_name"), signed.get("issuer")]
    state = known(store, dict).get("validation_state")
    return {
        "state": "found",
        "holds": None if state is None else state in ("Valid", "Trusted"),
        "failures": sorted(failures)[:MOST],
        "generator": ", ".join(named) or cut(active.get("claim_generator")),
        "signer": ", ".join(dict.fromkeys(cut(name) for name in names if name)),
        "time": cut(signed.get("time")),
        "actions": actions_of(active)[:MOST],
        "manifests": len(manifests),
        "claims_generated": any(one["source"] in GENERATED for one in actions),
    }


def actions_of(manifest: Any) -> list[dict[str, str]]:
    """The actions that a manifest claims."""
    found = []
    for assertion in known(known(manifest, dict).get("assertions"), list):
        if not str(known(assertion, dict).get("label")).startswith("c2pa.actions"):
            continue
        for action in known(known(assertion.get("data"), dict).get("actions"), list):
            one = known(action, dict)
            agent = one.get("softwareAgent")
            by = " ".join(cut(agent[k]) for k in ("name", "version") if agent.get(k)) if isinstance(
                agent, dict
            ) else cut(agent)  # fmt: skip
            source = cut(one.get("digitalSourceType")).rsplit("/", 1)[-1]
            found.append({"what": cut(one.get("action")), "when": cut(one.get("when")), "by": by})
            found[-1]["source"] = source
    return found


def known(value: Any, kind: type) -> Any:
    """The value if it is of this kind; else an empty one."""
    return value if isinstance(value, kind) else kind()


def cut(value: object) -> str:
    """Text of bounded length; nothing for nothing."""
    text = "" if value is None else str(value)
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def bound() -> None:
    """Give this process little memory and time, where the system can."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (TIMEOUT_S, TIMEOUT_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    bound()
    with open(0, "rb", closefd=False) as standard_input:
        standard_input.seek(0)
        sys.stdout.write(json.dumps(read(standard_input)))
