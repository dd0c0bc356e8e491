"""Connections: how many there may be, and how long one may take to say what it wants."""

import contextlib
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADERS_S = 15.0  # for the head of a request, and between two requests
OPEN_FILES = 8_192
Base: Any = AutoHTTPProtocol


class Impatient(Base):
    """Uvicorn's protocol, which by itself waits for the head of a request for ever."""

    head_s = HEADERS_S

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(self.head_s, self.look, None)

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
