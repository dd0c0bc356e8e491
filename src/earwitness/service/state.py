"""What the parts of a running service share."""

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from starlette.requests import HTTPConnection

from earwitness.service.crew import Crew
from earwitness.service.options import ServeOptions
from earwitness.service.store import Store

if TYPE_CHECKING:
    from earwitness.service.gauges import Gauges
    from earwitness.service.guard import Rates


@dataclass
class Service:
    """A running service."""

    options: ServeOptions
    store: Store
    crew: Crew
    rates: "Rates"
    gauges: "Gauges"
    keys: bool  # whether requests need one
    secret: bytes  # signs callbacks
    models: dict[str, Path]  # by the names that clients may ask for
    card: dict[str, Any]  # of the model that answers where none is named
    watermarks: list[str]
    uploads: int = 0  # that are coming in
    streams: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    waiting: dict[str, list[asyncio.Event]] = field(default_factory=dict)  # for answers, by analysis
    drift: tuple[float, dict[str, Any]] | None = None  # when it was judged, and what was said
    judging: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, id: str, record: dict[str, Any]) -> None:
        """Wake whoever waits for an answer; called by the crew's threads."""
        self.gauges.answer(record)
        if self.loop is not None:
            with suppress(RuntimeError):  # it was closed
                self.loop.call_soon_threadsafe(self.wake, id)

    def wake(self, id: str) -> None:
        """The same, in the loop's thread."""
        for event in self.waiting.get(id, ()):
            event.set()


def service_of(connection: HTTPConnection) -> Service:
    """The service that a request came to."""
    return cast(Service, connection.app.state.service)
