"""A journal of a scan: what was answered, so that an interrupted scan can go on.

JSON lines: a head that names the model and the options that shape answers, then one record a
file, written and flushed before the record is shown. A line cut short by a crash is dropped.
"""

import json
from pathlib import Path
from typing import Any, Self

from earwitness.errors import InputError

Key = tuple[str, str | None]


def key_of(record: dict[str, Any]) -> Key:
    """What tells two files apart: the path as text and, where that is not exact, its bytes."""
    return record["path"], record.get("path_bytes")


class Journal:
    """Open (or make) a journal, read what it holds, append to it.

    Raises:
        InputError: `bad-journal`: not a journal, made with another model or other options, or
            in use by another scan.
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path = path
        try:
            self.file = path.open("a+b")
        except OSError as error:
            raise InputError("bad-journal", f"{path}: cannot be opened: {error.strerror}") from None
        self._lock()
        self.file.seek(0)
        data = self.file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.records: dict[Key, dict[str, Any]] = {}
        if whole:
            self._read(whole, head)
        elif not b'{"journal": 1'.startswith(data[:13]):
            raise InputError("bad-journal", f"{path}: not a journal of a scan; name another file")
        if len(whole) < len(data):
            self.file.truncate(len(whole))
        if not whole:
            self._write({"journal": 1, **head})

    def append(self, record: dict[str, Any]) -> None:
        """Write one record; once this returns, killing the process cannot lose it."""
        self.records[key_of(record)] = record
        self._write(record)

    def _read(self, data: bytes, head: dict[str, Any]) -> None:
        try:
            lines = [json.loads(line) for line in data.splitlines()]
            found = {key: lines[0].get(key) for key in head}
            is_journal = lines[0].get("journal") == 1
            self.records = {key_of(line): line for line in lines[1:]}
        except (ValueError, KeyError, AttributeError, TypeError):
            is_journal, found = False, {}
        if not is_journal:
            raise InputError("bad-journal", f"{self.path}: not a journal of a scan; name another file")
        other = [key for key in head if found[key] != head[key]]
        if other:
            was = ", ".join(f"{key} {found[key]} (now {head[key]})" for key in other)
            raise InputError(
                "bad-journal", f"{self.path}: begun with {was}; use the same, or start a new journal"
            )

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line).encode() + b"\n")
        self.file.flush()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # no such locks on Windows
            return
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError("bad-journal", f"{self.path}: in use by another scan") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
