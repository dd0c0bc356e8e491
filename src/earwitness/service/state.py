"""What the parts of a running service share."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from earwitness.service.crew import Crew
from earwitness.service.options import ServeOptions
from earwitness.service.store import Store, ended

if TYPE_CHECKING:
    from earwitness.service.gauges import Gauges
    from earwitness.service.guard import Rates

LOOK_S = 1.0  # between two looks at what other servers answered
log = logging.getLogger("earwitness.service")


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
        self.tell(id)

    def tell(self, id: str) -> None:
        """Wake whoever waits for an analysis; called from any thread."""
        if self.loop is not None:
            with suppress(RuntimeError):  # it was closed
                self.loop.call_soon_threadsafe(self.wake, id)

    def wake(self, id: str) -> None:
        """The same, in the loop's thread."""
        for event in self.waiting.get(id, ()):
            event.set()

    @contextmanager
    def expecting(self, id: str) -> Iterator[asyncio.Event]:
        """An event that is set when an analysis is answered or gone."""
        done = asyncio.Event()
        self.waiting.setdefault(id, []).append(done)
        try:
            yield done
        finally:
            self.waiting[id].remove(done)
            if not self.waiting[id]:
                del self.waiting[id]

    async def look_out(self) -> None:
        """Wake those whose answer another server on the same database wrote."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                for id in await asyncio.to_thread(ended, self.store, list(self.waiting)):
                    self.wake(id)
            except SQLAlchemyError:
                log.exception("the database cannot be asked; trying again")


def service_of(connection: HTTPConnection) -> Service:
    """The service that a request came to."""
    return cast(Service, connection.app.state.service)
