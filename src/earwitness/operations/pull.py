"""Fetch a model from a hub: pinned by SHA-256 (and commit), resumable, installed as a bundle.

A download is kept under the digest that it must have, so what is resumed can only be the same file.
"""

import importlib.util
import re
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from earwitness.decision.bundle import (
    CARD,
    WEIGHTS,
    file_digest,
    models_home,
    new_place,
    read_card,
    unfinished,
    write_card,
)
from earwitness.errors import MissingExtra, ModelError
from earwitness.operations.hub import (
    COMMIT,
    CONFIG,
    DIGEST,
    HubFile,
    Unreachable,
    ask,
    check_answer,
    download,
    endpoint,
    host,
)
from earwitness.operations.models import report

MOST_FILES = 32  # of a bundle
SOURCE = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.+/-]+))?", re.ASCII)

# AntiDeepfake (Ge et al., ASRU 2025), CC BY-NC-SA 4.0; "-nda": trained without RawBoost. SHA-256 and
# sizes as users of the files reported them; None: not known here, the user must say it. Only the
# weights are fetched: sizes are read off them, and the config.json of hubert-xlarge is wrong.
NII = "nii-yamagishilab/"
ROWS = (
    HubFile(
        NII + "wav2vec-small-anti-deepfake",
        sha256="828ee456122f86d5d631cb7895a10e5c62c78a4fcb8a8b1c42cb5838a9abcfe0",
        size=380_210_632,
    ),
    HubFile(
        NII + "wav2vec-large-anti-deepfake",
        sha256="b27943fefaff677bc95890051cf27b14fd72ab66e55eca6d3395cdb5788c2bb5",
        size=1_269_622_944,
    ),
    HubFile(
        NII + "mms-300m-anti-deepfake",
        sha256="9bd5d9785bf72f91dfca8508651354946c4b307921cb358505e1b94035102224",
        size=1_269_622_944,
    ),
    HubFile(NII + "mms-1b-anti-deepfake"),
    HubFile(NII + "xls-r-1b-anti-deepfake"),
    HubFile(NII + "xls-r-2b-anti-deepfake"),
    HubFile(NII + "hubert-xlarge-anti-deepfake"),
    HubFile(NII + "wav2vec-small-anti-deepfake-nda"),
    HubFile(NII + "wav2vec-large-anti-deepfake-nda"),
    HubFile(NII + "mms-300m-anti-deepfake-nda"),
    HubFile(NII + "mms-1b-anti-deepfake-nda"),
    HubFile(NII + "xls-r-1b-anti-deepfake-nda"),
    HubFile(NII + "xls-r-2b-anti-deepfake-nda"),
    HubFile(NII + "hubert-xlarge-anti-deepfake-nda"),
)
KNOWN = {row.repository.split("/")[1]: row for row in ROWS}


def run_pull(
    source: str, name: str | None, revision: str | None, sha256: str | None, heads: int | None, as_json: bool
) -> None:
    """`earwitness models pull`."""
    started = time.monotonic()
    card = pull(source, name, revision, sha256, heads)
    report(card, f"pulled in {time.monotonic() - started:.1f} s", as_json)


def pull(
    source: str,
    name: str | None = None,
    revision: str | None = None,
    sha256: str | None = None,
    heads: int | None = None,
) -> dict[str, Any]:
    """Fetch a model, check it, install it as a bundle; returns its card.

    What a run that was stopped had fetched is kept, and the same call goes on from there.

    Args:
        source: a name of `KNOWN`, or `owner/repo[:file]`; the file of a bundle is its `model.json`.
        name: what to call it here; that of the repository by default.
        revision: a whole commit; must be given for repositories that `KNOWN` does not list.
        sha256: of the file; must be given where `KNOWN` does not.
        heads: attention heads, where the width does not tell.

    Raises:
        ModelError: not reachable, not allowed, not what it should be, too big, or the name is taken.
        MissingExtra: torch, transformers or safetensors is not installed (no bundle needs them).
    """
    found = parse_source(source)
    name = name or found.repository.split("/")[1]
    new_place(name)
    is_bundle = PurePosixPath(found.file).name == CARD
    for package in () if is_bundle else ("torch", "transformers", "safetensors"):
        if importlib.util.find_spec(package) is None:  # said now, not after eight gigabytes
            raise MissingExtra(package, "train")
    other_way = (
        "fetch the bundle elsewhere and give its folder to --model"
        if is_bundle
        else f"fetch {found.file} elsewhere and use `earwitness models import FILE --name {name}`"
    )
    downloads = models_home() / ".downloads"
    folder = downloads / "none"
    try:
        wanted = pinned(found, revision, sha256)
        folder = downloads / str(wanted.sha256)
        card = pull_bundle(wanted, folder, name) if is_bundle else pull_weights(wanted, folder, name, heads)
        shutil.rmtree(folder, ignore_errors=True)
    except Unreachable as error:
        raise ModelError(f"{error}: connect and run this again, or {other_way}") from None
    except OSError as error:
        raise ModelError(f"{error.filename or downloads}: {error.strerror or error}") from None
    finally:
        for place in (folder, downloads):
            with suppress(OSError):  # it stays if something is kept in it
                place.rmdir()
    return card


def parse_source(source: str) -> HubFile:
    """The file that is meant, with what is known of it.

    Raises:
        ModelError: neither a known name nor of the form OWNER/REPO[:FILE].
    """
    if source in KNOWN:
        return KNOWN[source]
    match = SOURCE.fullmatch(source)
    if not match or any(part in ("", ".", "..") for part in re.split("[/:]", source)):
        near = get_close_matches(source, KNOWN, 1, 0.5)
        meant = f"did you mean {near[0]}?" if near else f"such as {next(iter(KNOWN))}"
        raise ModelError(f"{source!r}: neither OWNER/REPO[:FILE] nor a model that is known here, {meant}")
    found = HubFile(match[1], match[2] or WEIGHTS)
    same = (row for row in KNOWN.values() if (row.repository, row.file) == (found.repository, found.file))
    return next(same, found)


def pinned(found: HubFile, revision: str | None, sha256: str | None) -> HubFile:
    """The file with its pins: those of the table and those of the user.

    Raises:
        ModelError: one is missing (the message says what the hub announces), malformed, or not
            that of the table.
    """
    revision, sha256 = revision and revision.lower(), sha256 and sha256.lower()
    if revision and not COMMIT.fullmatch(revision):
        raise ModelError(
            f"--revision {revision!r}: not a whole commit, 40 hexadecimal digits; a branch can change"
        )
    if sha256 and not DIGEST.fullmatch(sha256):
        raise ModelError(f"--sha256 {sha256!r}: not a SHA-256, 64 hexadecimal digits")
    if found.sha256 and sha256 and found.sha256 != sha256:
        raise ModelError(f"{found}: its SHA-256 is known to be {found.sha256}, not {sha256}")
    wanted = replace(
        found,
        revision=revision or found.revision,
        sha256=sha256 or found.sha256,
        copies=1 if PurePosixPath(found.file).name == CARD else 2,
    )
    lacking = [] if wanted.sha256 else ["--sha256"]
    lacking += [] if wanted.revision or found in KNOWN.values() else ["--revision"]
    if not lacking:
        return wanted
    response, announced = ask("HEAD", wanted)
    response.close()
    check_answer(wanted, response.status, announced)
    size = f"{announced.size:,} bytes" if announced.size is not None else "no size"
    raise ModelError(
        f"{wanted}: needs {' and '.join(lacking)}, for nothing is installed unpinned; {host(endpoint())} "
        f"announces SHA-256 {announced.sha256 or '(none)'}, {size}, revision {announced.commit or '(none)'}: "
        "compare them with a source that you trust, then pass them"
    )


def pull_weights(wanted: HubFile, folder: Path, name: str, heads: int | None) -> dict[str, Any]:
    """Weights, made into a bundle; with the config.json beside them if it is a folder of transformers.

    Raises:
        ModelError: see `pull`.
    """
    from earwitness.decision.importer import HUB_FILES, import_model

    commit = download(wanted, folder)
    path = PurePosixPath(wanted.file)
    source = folder / path.name
    note: dict[str, Any] = {"file": wanted.file, "repository": wanted.repository, "revision": commit}
    config = replace(wanted, file=str(path.with_name(CONFIG)), sha256=None, size=None)
    if wanted.repository not in {row.repository for row in KNOWN.values()} and path.name in HUB_FILES:
        response, _ = ask("HEAD", config)
        response.close()
        if response.status != 404:
            download(config, folder)
            note["config_sha256"] = file_digest(folder / CONFIG)
            source = folder
    card = import_model(source, name, heads)
    card["source"] |= note
    write_card(models_home() / name, card)
    return card


def pull_bundle(wanted: HubFile, folder: Path, name: str) -> dict[str, Any]:
    """A bundle as it is: its card by the pins, every other file by the digests in the card.

    Raises:
        ModelError: see `pull`; or the card does not give the digests of its files.
    """
    download(wanted, folder)
    card = read_card(folder)
    files = card["files"]
    sound = all(DIGEST.fullmatch(str(digest)) and file.lower() != CARD for file, digest in files.items())
    if not 0 < len(files) <= MOST_FILES or not sound:
        raise ModelError(f"{wanted}: must name 1 to {MOST_FILES} files, each with its SHA-256")
    for file, digest in files.items():
        path = PurePosixPath(wanted.file).with_name(file)
        download(replace(wanted, file=str(path), sha256=digest, size=None), folder)
    with unfinished(new_place(name)) as part:
        for file in (*files, CARD):
            (folder / file).replace(part / file)
    return card | {"name": name}
