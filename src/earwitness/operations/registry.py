"""The registry: versions of detectors, where each comes from, and which one is in use.

It is MLflow's model registry. By default it is a folder: `mlflow.db` (SQLite) and the bundles as artifacts
of runs; anything with `://` is the address of an MLflow server, which works the same. A version is a bundle
whose every file is pinned by a digest in the version's tags; "champion" and "challenger" are MLflow's
aliases, of which a name has one each by the primary key of the table they stand in.

Several processes at once: whoever changes a folder holds a lock on the file `lock` in it. On a server every
step is a transaction of its own, and of two that move an alias the last one wins.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from earwitness.decision.bundle import CARD, NAME, check_file, file_digest, models_home, read_card, unfinished
from earwitness.decision.detector import model_digest
from earwitness.errors import InputError, ModelError, needs_extra

EXPERIMENT = "earwitness registry"
STORE, ARTIFACTS, BUNDLE = "mlflow.db", "artifacts", "bundle"
CHAMPION, CHALLENGER = "champion", "challenger"
FACT = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what a fact may be called
MOST_FACT = 4_000  # characters
QUIET = {  # of MLflow: seven attempts take minutes to say "no server", and stdout is for our own records
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
REFERENCE = re.compile(r"([^@]+)@(champion|challenger|[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Registry:
    """An open registry."""

    where: str
    root: Path | None  # of the embedded store; None: a server
    client: Any  # mlflow.tracking.MlflowClient

    def ask(self, method: str, *args: Any, **more: Any) -> Any:
        """Call a method of MLflow's client.

        Raises:
            InputError: it failed; the code is MLflow's, as in `resource-does-not-exist`.
        """
        from mlflow.exceptions import MlflowException

        try:
            return getattr(self.client, method)(*args, **more)
        except MlflowException as error:
            code = str(error.error_code).lower().replace("_", "-")
            first = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise InputError(code, f"{self.where}: the registry refused: {first[:300]}") from None


@contextmanager
def locked(root: Path | None) -> Iterator[None]:
    """Nobody else changes an embedded store meanwhile; a killed process lets go. Not to be nested."""
    if root is None:
        yield
        return
    with (root / "lock").open("w") as file:
        try:
            import fcntl
        except ImportError:  # no such locks on Windows; SQLite's transactions remain
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Version:
    """A version of a detector."""

    name: str
    number: int
    run: str  # MLflow's run that holds the files
    tags: dict[str, str]

    @property
    def digest(self) -> str:
        """Of the model, as its detector is named by."""
        return self.tags["model"]

    @property
    def embedding(self) -> str:
        """Digest of the model whose embeddings these are."""
        return self.tags["embedding"]

    @property
    def parent(self) -> int | None:
        """The version that it was made from."""
        return int(self.tags["parent"]) if "parent" in self.tags else None

    @property
    def files(self) -> dict[str, str]:
        """Digest of each file of the bundle, the card included."""
        return self.starting("file.")

    @property
    def about(self) -> dict[str, str]:
        """What was said of it when it was added."""
        return self.starting("about.")

    def starting(self, prefix: str) -> dict[str, str]:
        """Tags of that prefix, without it."""
        return {
            key.removeprefix(prefix): self.tags[key] for key in sorted(self.tags) if key.startswith(prefix)
        }

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


def default_registry() -> str:
    """`$EARWITNESS_REGISTRY`, or `registry` beside the folder of models."""
    return os.environ.get("EARWITNESS_REGISTRY") or str(models_home().parent / "registry")


def open_registry(where: str | os.PathLike | None = None, make: bool = False) -> Registry:
    """Open a folder or a server; `make`: a folder that is none yet becomes one.

    Raises:
        InputError: `no-registry`: nothing is there; `bad-registry`: what is there cannot be used.
        MissingExtra: mlflow is not installed.
    """
    where = str(where or default_registry())
    root = None if "://" in where else Path(where).resolve()
    if root and not make and not (root / STORE).is_file():
        raise InputError("no-registry", f"{where}: no registry is there; `earwitness registry add` makes one")
    for setting, value in QUIET.items():
        os.environ.setdefault(setting, value)
    with needs_extra("tracking"):
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
        from sqlalchemy.exc import SQLAlchemyError
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    store = where
    if root:
        root.mkdir(parents=True, exist_ok=True)
        store = f"sqlite:///{root / STORE}"
    try:
        with locked(root):
            client = MlflowClient(tracking_uri=store, registry_uri=store)  # makes the tables of a new store
            client.get_experiment_by_name(EXPERIMENT)
    except (MlflowException, SQLAlchemyError) as error:
        first = str(error).splitlines()[0][:300]
        raise InputError("bad-registry", f"{where}: cannot be used as a registry: {first}") from None
    return Registry(where, root, client)


def add(
    registry: Registry,
    name: str,
    bundle: Path,
    parent: int | None = None,
    about: dict[str, str] | None = None,
) -> Version:
    """Copy a bundle's card and files into the registry as the next version of `name`, and its challenger.

    The version is made last: an attempt that is killed leaves files that no version names.

    Args:
        parent: the version that it was made from.
        about: other facts, such as `training_data`, `training_digest`, `table`.

    Raises:
        InputError: `usage`: a name or fact that cannot be kept; `no-version`: no such parent.
        ModelError: the bundle is incomplete or altered, or no detector yet.
    """
    check_name(name)
    for key, value in (about or {}).items():
        if not FACT.fullmatch(key) or len(value) > MOST_FACT:
            raise InputError(
                "usage", f"the fact {key!r:.80} cannot be kept: letters, 4,000 characters at most"
            )
    if parent is not None:
        version_of(registry, name, parent)
    card = read_card(bundle)
    if card.get("unfinished"):
        raise ModelError(f"{card['name']} is no detector yet: {card['unfinished']}")
    for file in card["files"]:
        check_file(bundle, card, file)
    with locked(registry.root):
        run = new_run(registry, name)
        pins = copy_in(registry, run, bundle, sorted(card["files"]))
        tags = {f"file.{file}": digest for file, digest in pins.items()}
        tags |= {f"about.{key}": value for key, value in (about or {}).items()}
        tags |= {
            "model": model_digest(card),
            "embedding": embedding_of(card),
            "card_version": card["version"],
            "created": now(),
        }
        tags |= {} if parent is None else {"parent": str(parent)}
        make_unless_there(registry, "create_registered_model", name)
        source = f"{registry.ask('get_run', run).info.artifact_uri}/{BUNDLE}"
        made = registry.ask("create_model_version", name, source, run_id=run, tags=tags)
        registry.ask("set_registered_model_alias", name, CHALLENGER, str(made.version))
    return Version(name, int(made.version), run, tags)


def embedding_of(card: dict[str, Any]) -> str:
    """Digest of the model whose embeddings a bundle gives: its own where the card names no other."""
    return str(card.get("embedding_of") or model_digest(card))


def check_name(name: str) -> None:
    """Refuse (InputError `usage`) what cannot be the name of a detector."""
    if not NAME.fullmatch(name):
        raise InputError("usage", f"{name!r:.80} cannot be a detector's name: letters, digits, '.', '_', '-'")


def make_unless_there(registry: Registry, method: str, *args: Any, **more: Any) -> None:
    """Make something in the store that may be there already, perhaps by another process just now."""
    try:
        registry.ask(method, *args, **more)
    except InputError as error:
        if error.code != "resource-already-exists":
            raise


def new_run(registry: Registry, name: str) -> str:
    """A run of MLflow for the files of a version."""
    # a folder that was moved gets a new experiment, since an experiment knows its place
    experiment = f"{EXPERIMENT} {registry.root}" if registry.root else EXPERIMENT
    place = (registry.root / ARTIFACTS).as_uri() if registry.root else None
    if registry.ask("get_experiment_by_name", experiment) is None:
        make_unless_there(registry, "create_experiment", experiment, artifact_location=place)
    kept = registry.ask("get_experiment_by_name", experiment).experiment_id
    run = registry.ask("create_run", kept, run_name=name).info.run_id
    registry.ask("set_terminated", run)
    return run


def copy_in(registry: Registry, run: str, bundle: Path, files: list[str]) -> dict[str, str]:
    """Copy a bundle among the artifacts of a run; digests of what was copied.

    Raises:
        ModelError: a copy is not what its card says.
    """
    if registry.root is None:
        pins = {file: file_digest(bundle / file) for file in [CARD, *files]}
        for file in pins:
            registry.ask("log_artifact", run, str(bundle / file), BUNDLE)
        return pins
    place = in_place(registry.root, run) / BUNDLE
    place.mkdir(parents=True)
    for file in [CARD, *files]:
        shutil.copyfile(bundle / file, place / file)
    card = read_card(place)
    for file in files:
        check_file(place, card, file)
    return {file: file_digest(place / file) for file in [CARD, *files]}


def in_place(root: Path, run: str) -> Path:
    """Where the embedded store keeps the artifacts of a run, wherever the store was moved to."""
    return root / ARTIFACTS / run / "artifacts"


def put_text(registry: Registry, version: Version, file: str, text: str) -> None:
    """Write a small file beside the bundle of a version, whole or not at all; `file` as in `a/b.json`."""
    if registry.root is None:
        registry.ask("log_text", version.run, text, file)
        return
    path = in_place(registry.root, version.run) / file
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def names(registry: Registry) -> list[str]:
    """Every name that has a version or had one."""
    found = registry.ask("search_registered_models", max_results=1_000)
    return sorted(model.name for model in found)


def versions(registry: Registry, name: str) -> list[Version]:
    """Versions of a name, oldest first; none where nobody knows the name."""
    check_name(name)
    found = registry.ask("search_model_versions", f"name='{name}'")
    made = [Version(one.name, int(one.version), one.run_id, dict(one.tags)) for one in found]
    return sorted((one for one in made if "model" in one.tags), key=lambda one: one.number)


def version_of(registry: Registry, name: str, number: int) -> Version:
    """A version by its number.

    Raises:
        InputError: `no-version`.
    """
    found = {one.number: one for one in versions(registry, name)}
    if number not in found:
        there = ", ".join(map(str, found)) or "none"
        raise InputError(
            "no-version", f"{registry.where}: {name} has no version {number}; there are: {there}"
        )
    return found[number]


def aliased(registry: Registry, name: str, alias: str) -> Version | None:
    """The version that an alias stands for."""
    check_name(name)
    try:
        aliases = registry.ask("get_registered_model", name).aliases
    except InputError as error:
        if error.code != "resource-does-not-exist":
            raise
        return None
    return version_of(registry, name, int(aliases[alias])) if alias in aliases else None


def champion(registry: Registry, name: str) -> Version | None:
    """The version in use."""
    return aliased(registry, name, CHAMPION)


def challenger(registry: Registry, name: str) -> Version | None:
    """The version added last, unless it is in use."""
    found, used = aliased(registry, name, CHALLENGER), champion(registry, name)
    return None if found is None or (used and used.number == found.number) else found


def version_named(registry: Registry, text: str) -> Version:
    """The version of `NAME@3`, `NAME@champion` or `NAME@challenger`.

    Raises:
        InputError: `usage`: not such a text; `no-version`: nothing is called so.
    """
    parts = REFERENCE.fullmatch(text)
    if not parts:
        raise InputError("usage", f"{text!r:.80}: expected NAME@VERSION, NAME@champion or NAME@challenger")
    name, which = parts[1], parts[2]
    if which.isdecimal():
        return version_of(registry, name, int(which))
    found = champion(registry, name) if which == CHAMPION else challenger(registry, name)
    if found is None:
        raise InputError("no-version", f"{registry.where}: {name} has no {which}")
    return found


def fetch(registry: Registry, version: Version) -> Path:
    """The folder of a version's bundle, every digest checked; from a server it is downloaded once.

    Raises:
        ModelError: a file is missing or altered.
        InputError: the server refused.
    """
    if registry.root:
        folder = in_place(registry.root, version.run) / BUNDLE
    else:
        folder = models_home().parent / "registry-cache" / version.files[CARD][:32]
        if not folder.exists():
            download(registry, version, folder)
    if not (folder / CARD).is_file() or file_digest(folder / CARD) != version.files[CARD]:
        raise ModelError(f"{folder / CARD}: missing or altered since {version} was added; restore a back-up")
    card = read_card(folder)
    for file in card["files"]:
        check_file(folder, card, file)
    return folder


def download(registry: Registry, version: Version, folder: Path) -> None:
    """Fetch the files of a version from a server into a new folder."""
    try:
        with unfinished(folder) as part:
            for file in version.files:
                found = registry.ask("download_artifacts", version.run, f"{BUNDLE}/{file}", str(part))
                Path(found).replace(part / file)
            shutil.rmtree(part / BUNDLE, ignore_errors=True)  # some stores keep the folder, some do not
    except ModelError:
        if not folder.exists():  # else another process was faster
            raise


def resolve(text: str, where: str | os.PathLike | None = None) -> Path:
    """The folder of the bundle that `NAME@champion` or `NAME@3` stands for, verified.

    Raises:
        InputError, ModelError: as `open_registry`, `version_named` and `fetch`.
    """
    registry = open_registry(where)
    return fetch(registry, version_named(registry, text))


def now() -> str:
    """ISO 8601, UTC, fine enough to tell two decisions apart."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
