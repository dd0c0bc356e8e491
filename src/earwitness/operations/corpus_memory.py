"""What `corpus prepare` notes while it works: facts of recordings for the next run, and what was left out."""

import csv
import json
from pathlib import Path
from typing import Self

Stamp = tuple[str, int, int]  # path, bytes, time of change in ns


class Memory:
    """Facts of recordings by path, size and time of change, in a file of JSON lines.

    Each line is on disk before the next recording is asked for; one cut short by a crash is passed over.
    """

    def __init__(self, path: Path) -> None:
        self.known: dict[str, tuple[int, int, list]] = {}
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    self._read(line)
        self.file = path.open("a", encoding="utf-8", buffering=1)
        self.file.write("\n")  # ends a line that was cut short

    def _read(self, line: str) -> None:
        try:
            path, size, changed, facts = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            return
        if isinstance(path, str) and isinstance(facts, list):
            self.known[path] = (size, changed, facts)

    def recall(self, stamp: Stamp) -> list | None:
        """Facts of a file in this state, or None."""
        found = self.known.get(stamp[0])
        return found[2] if found and found[:2] == stamp[1:] else None

    def keep(self, stamp: Stamp, facts: list) -> None:
        """Note facts, unless they are known."""
        entry = (*stamp[1:], facts)
        if self.known.get(stamp[0]) != entry:
            self.known[stamp[0]] = entry
            self.file.write(json.dumps([*stamp, facts]) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


class LeftOut:
    """A list of what was left out and why; no file where nothing was."""

    def __init__(self, path: Path) -> None:
        self.path, self.part, self.count = path, path.with_name(f".{path.name}.part"), 0
        self.file = self.part.open("w", newline="", encoding="utf-8", errors="backslashreplace")
        self.writer = csv.writer(self.file)
        self.writer.writerow(["ID", "Path", "Reason"])

    def add(self, name: str, path: Path, reason: str) -> None:
        """One more."""
        self.count += 1
        self.writer.writerow([name, path, reason])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.file.close()
        if kind is None and self.count:
            self.part.replace(self.path)
            return
        self.part.unlink()
        if kind is None:
            self.path.unlink(missing_ok=True)
