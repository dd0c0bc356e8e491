"""A service for benchmarks: started in a process, spoken to over plain sockets, ended or killed."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_S = 60.0


def free_port() -> int:
    """A port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Server:
    """`earwitness serve` on a folder."""

    folder: Path
    arguments: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "earwitness.cli", "serve", "--port", str(self.port)]
        command += ["--folder", str(self.folder), *self.arguments]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(self.url("/readyz"), timeout=5):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise SystemExit(f"the service does not start; see {self.folder / 'log'}")

    def url(self, path: str) -> str:
        """An address of it."""
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> Any:
        """The JSON of a route."""
        with urllib.request.urlopen(self.url(path), timeout=60) as answer:
            return json.load(answer)

    def unanswered(self) -> int:
        """Analyses that wait or are being worked on."""
        with urllib.request.urlopen(self.url("/metrics"), timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        wanted = ('earwitness_analyses{state="queued"}', 'earwitness_analyses{state="running"}')
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))

    def workers(self) -> list[int]:
        """Processes that it started."""
        assert self.process is not None
        task = Path(f"/proc/{self.process.pid}/task")
        try:
            return [int(pid) for path in task.glob("*/children") for pid in path.read_text().split()]
        except OSError:
            return []

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As Ctrl-C would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def memory(self) -> int:
        """Resident bytes of the server alone."""
        assert self.process is not None
        return resident(self.process.pid)

    def files(self) -> int:
        """Open files of the server alone."""
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


async def post(port: int, path: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One POST on a connection of its own: status and body; status 0 where the connection broke."""
    head = {
        "host": f"127.0.0.1:{port}",
        "content-type": "application/octet-stream",
        "content-length": str(len(body)),
        "connection": "close",
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    writer = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        await writer.drain()
        answer = await reader.read()
    except OSError:
        return 0, b""
    finally:
        if writer is not None:
            writer.close()
    start, _, rest = answer.partition(b"\r\n\r\n")
    if not start.startswith(b"HTTP/1.1 "):
        return 0, b""
    return int(start.split()[1]), rest
