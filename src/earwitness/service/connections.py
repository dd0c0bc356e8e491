"""Connections: how many there may be, and how long one may take to say what it wants."""

import contextlib
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADERS_S = 15.0  # for the head of a request, and between two requests
MOST_HEAD = 1 << 16  # bytes in a row that are neither a whole head nor part of a body
OPEN_FILES = 8_192
Base: Any = AutoHTTPProtocol


class Impatient(Base):
    """Uvicorn's protocol, which by itself waits for the head of a request for ever, however long it gets.

    Each line of a head costs many times its length in memory, and so do lines after the last piece of a body.
    """

    head_s = HEADERS_S
    fruitless, fruitful = 0, False  # bytes since something was whole; whether the latest made it so

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(self.head_s, self.look, None)

    def data_received(self, data: bytes) -> None:
        self.fruitful = False
        super().data_received(data)
        self.fruitless = 0 if self.fruitful else self.fruitless + len(data)
        if self.fruitless > MOST_HEAD:
            self.transport.close()

    def on_headers_complete(self) -> None:
        self.fruitful = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.fruitful = True
        super().on_body(body)

    def look(self, before: Any) -> None:
        """Hang up where no request began since the last look and none is being answered."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # over, or a WebSocket by now
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.cycle is before:
            self.transport.close()
        else:
            self.loop.call_later(self.head_s, self.look, self.cycle if idle else before)


def allow_open_files() -> None:
    """As many open files as the system lets us have: each upload takes two."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
