"""The files of a form, written where they are to lie as they come; nothing of them is held in memory."""

from collections.abc import Callable, Collection
from typing import Any, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from earwitness.service.problems import Problem

MOST_FILES = 1_000  # of a batch
MOST_FIELDS = 100  # without a file; they are left out
MOST_HEAD = 8_192  # bytes before the contents of a part


class Taker(Protocol):
    """Who takes a file in."""

    def write(self, piece: bytes) -> None:
        """The next piece."""
        ...

    def end(self) -> None:
        """It is whole."""
        ...


class Form:
    """A parser of `multipart/form-data`: `write` the body to it, then `end`.

    `start` is called with the name of each file and gives who takes it. Fields without a file are left out,
    unless they have `refused` names: their senders would think that they were heeded.
    """

    def __init__(
        self, content_type: str, start: Callable[[str], Taker], refused: Collection[str] = ()
    ) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary or len(boundary) > 200:
            raise broken("its Content-Type names no boundary")
        self.start, self.taker, self.refused = start, None, refused
        self.files = self.fields = 0
        self.ended = False
        self.forget()
        parts = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end")
        names = [f"on_{name}" for name in (*parts, "headers_finished", "end")]
        callbacks: Any = {name: getattr(self, name) for name in names}
        self.parser = MultipartParser(boundary, callbacks)

    def write(self, piece: bytes) -> None:
        """Go on.

        Raises:
            Problem: 422, it is no form, or holds too much.
        """
        try:
            self.parser.write(piece)
        except FormParserError:
            raise broken("it does not keep to multipart/form-data") from None

    def end(self) -> None:
        """Nothing more comes.

        Raises:
            Problem: 422, it was cut off, or has no file.
        """
        if not self.ended:
            raise broken("it is cut off")
        if not self.files:
            raise Problem(422, "usage", "the form has no file; put the audio into a field called `file`")

    def forget(self) -> None:
        """Begin anew with heads."""
        self.field, self.value, self.disposition, self.head = b"", b"", b"", 0

    def on_part_begin(self) -> None:
        self.forget()
        self.taker: Taker | None = None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.field += self.counted(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += self.counted(data[start:end])

    def counted(self, piece: bytes) -> bytes:
        """A piece of a head, of which there is not too much."""
        self.head += len(piece)
        if self.head > MOST_HEAD:
            raise broken("the head of a part is too long")
        return piece

    def on_header_end(self) -> None:
        if self.field.lower() == b"content-disposition":
            self.disposition = self.value
        self.field = self.value = b""

    def on_headers_finished(self) -> None:
        options = parse_options_header(self.disposition)[1]
        if b"filename" not in options:
            name = options.get(b"name", b"").decode("utf-8", "replace")
            if name in self.refused:
                said = f"say {name} in the address (?{name}=...), not in the form"
                raise Problem(422, "usage", said)
            self.fields += 1
            if self.fields > MOST_FIELDS:
                raise broken(f"more than {MOST_FIELDS} fields without a file")
            return
        self.files += 1
        if self.files > MOST_FILES:
            raise Problem(422, "usage", f"more than {MOST_FILES:,} files; send several batches")
        self.taker = self.start(options[b"filename"].decode("utf-8", "replace"))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self.taker is not None:
            self.taker.write(data[start:end])

    def on_part_end(self) -> None:
        if self.taker is not None:
            self.taker.end()
        self.taker = None

    def on_end(self) -> None:
        self.ended = True


def broken(why: str) -> Problem:
    """What is answered to a form that cannot be read."""
    return Problem(422, "usage", f"the form cannot be read: {why}")
