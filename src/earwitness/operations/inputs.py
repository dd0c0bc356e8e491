"""From what the user names (files, folders, a list on stdin) to files, each once."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from earwitness.audio.io import SUFFIXES


@dataclass
class Found:
    """Paths to scan, in order, and how many files of folders were passed over by name."""

    paths: list[Path] = field(default_factory=list)
    skipped: int = 0


def find_files(named: Iterable[Path]) -> Found:
    """Expand folders recursively, sorted by name; a file reached twice is listed once.

    A file that is named outright is kept whatever its name, also when it does not exist: it gets
    its record like any other. Loops of links are walked once.
    """
    found, seen = Found(), set()
    for path in named:
        files = walk(path, set(), found) if is_folder(path) else [path]
        for file in files:
            key = real_name(file)
            if key not in seen:
                seen.add(key)
                found.paths.append(file)
    return found


def walk(folder: Path, visited: set[tuple[int, int]], found: Found) -> Iterator[Path]:
    """Audio files (by name) under `folder`; one that cannot be listed is given as it is."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError:
        yield folder
        return
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    for entry in entries:
        path = folder / entry.name
        if is_folder(path):
            yield from walk(path, visited, found)
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            yield path
        else:
            found.skipped += 1


def is_folder(path: Path) -> bool:
    """Whether a path is a folder or a link to one; what cannot be asked is taken for a file."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def real_name(path: Path) -> str:
    """The path with its links resolved, as far as they can be."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return str(path)


def read_list(data: bytes) -> list[Path]:
    """Paths from a list: one a line, or separated by NUL (`find -print0`) where there is one."""
    separator = b"\0" if b"\0" in data else b"\n"
    names = (name.rstrip(b"\r") if separator == b"\n" else name for name in data.split(separator))
    return [Path(os.fsdecode(name)) for name in names if name.strip()]
