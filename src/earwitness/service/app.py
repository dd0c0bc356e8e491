"""The service as an ASGI application, and `earwitness serve` around it."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from earwitness import __version__
from earwitness.decision.bundle import read_card
from earwitness.errors import InputError
from earwitness.operations.scan import available_processors, bundle_of
from earwitness.service import analyses, files, insight, stream
from earwitness.service.audit import head
from earwitness.service.callbacks import Messenger
from earwitness.service.connections import HEADERS_S, Impatient, allow_open_files
from earwitness.service.crew import Crew, CrewOptions
from earwitness.service.gauges import Gauges
from earwitness.service.guard import Guard, Rates
from earwitness.service.keys import count_keys
from earwitness.service.options import ServeOptions, callback_secret
from earwitness.service.problems import handle_problems
from earwitness.service.state import Service
from earwitness.service.store import open_store
from earwitness.service.worker import Settings

PAGE = Path(__file__).parent / "page"
log = logging.getLogger("earwitness.service")


def make_service(options: ServeOptions) -> Service:
    """Everything that a service needs, not started yet.

    Raises:
        InputError: `no-store`; `usage`: the service would be open to others without a key; `bad-reference`.
        ModelError: the model cannot be used.
    """
    from earwitness.evidence.watermark_bundle import list_schemes
    from earwitness.operations.attribute import tracer_file
    from earwitness.operations.drift_file import read_reference

    folder = bundle_of(options.model)
    card = read_card(folder)
    if options.drift is not None:
        read_reference(options.drift)
    tracer = str(tracer_file(options.tracer, folder)) if options.tracer else None
    store = open_store(options.home, options.database, options.keep_s)
    keys = count_keys(store.engine) > 0
    if not keys and not options.loopback:
        raise InputError(
            "usage",
            f"--host {options.host}: others could send recordings and read answers; make a key first with "
            "`earwitness keys add NAME --role admin`, or serve this machine only",
        )
    settings = Settings(options.memory, options.max_duration_s, options.model, options.knowledge, tracer)
    workers = options.workers or available_processors()
    service: Service

    def answered(id: str, record: dict[str, Any]) -> None:
        service.answered(id, record)

    service = Service(
        options=options,
        store=store,
        crew=Crew(store, CrewOptions(workers, settings), answered),
        rates=Rates(options.rate, options.burst),
        gauges=Gauges(store),
        keys=keys,
        secret=callback_secret(options.home),
        models=insight.known_models(),
        card=card,
        watermarks=[offer.name for offer in list_schemes() if offer.at_hand],
    )
    service.gauges.deaths.set_function(lambda: service.crew.deaths)
    return service


def make_app(service: Service) -> FastAPI:
    """The application; its workers run while it does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.loop = asyncio.get_running_loop()
        messenger = Messenger(service.store, service.secret, service.options.private_callbacks)
        service.crew.start(alone=service.options.database is None)
        messenger.start()
        others = asyncio.create_task(service.look_out()) if service.options.database else None
        yield
        if others:
            others.cancel()
        await asyncio.to_thread(messenger.stop)
        await asyncio.to_thread(service.crew.stop)
        log.info("the audit log ends with %s", head(service.store.engine))

    app = FastAPI(
        title="earwitness",
        version=__version__,
        description="Is the voice on this recording human? Scores are of this machine; no audio leaves it.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.service = service
    handle_problems(app)
    for part in (analyses.router, files.router, insight.router, stream.router, insight.plain):
        app.include_router(part)
    if PAGE.is_dir():
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    app.add_middleware(Guard, service=service)
    return app


def run_serve(options: ServeOptions) -> None:
    """Serve until interrupted.

    Raises:
        InputError, ModelError: as `make_service`; `busy` where another service uses the store.
    """
    import uvicorn

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    allow_open_files()
    service = make_service(options)
    with only_one(options):
        config = uvicorn.Config(
            make_app(service),
            host=options.host,
            port=options.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            ws_max_size=1 << 20,
            http=Impatient,
            timeout_keep_alive=int(HEADERS_S),
            timeout_graceful_shutdown=5,
        )
        log.info("earwitness %s at http://%s:%d/", __version__, options.host, options.port)
        uvicorn.Server(config).run()


@contextmanager
def only_one(options: ServeOptions) -> Iterator[None]:
    """Around a service whose store is a file: no second one works on it.

    Raises:
        InputError: `busy`.
    """
    if options.database is not None or sys.platform == "win32":
        yield
        return
    import fcntl

    with (options.home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = (
                f"{options.home}: another service works on this store; stop it, or name another --folder"
            )
            raise InputError("busy", message) from None
        yield
