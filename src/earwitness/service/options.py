"""What a service is started with; every default stands here."""

import ipaddress
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from earwitness.decision.bundle import models_home
from earwitness.errors import InputError

NOTHING, FOREVER = "nothing", "forever"


@dataclass(frozen=True)
class ServeOptions:
    """How to serve. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    folder: Path | None = None  # of the store; by default beside the folder of models
    database: str | None = None  # a PostgreSQL address; by default a file in the folder
    keep: str = FOREVER  # how long audio and answers are kept: nothing, a number of days, forever
    model: str | None = None
    knowledge: str | None = None
    tracer: str | None = None
    drift: Path | None = None  # a drift reference
    workers: int = 0  # 0: one for each processor
    memory: int = 4 << 30  # of one worker
    max_bytes: int = 1 << 30  # of one upload
    max_duration_s: float = 6 * 3600.0
    max_waiting: int = 10_000  # analyses that wait for their turn
    max_uploads: int = 512  # at a time
    max_streams: int = 4  # at a time
    rate: float = 50.0  # requests a second and caller, over time
    burst: int = 600  # and at once
    private_callbacks: bool = False  # whether answers may be sent to addresses of this machine or network

    @property
    def home(self) -> Path:
        """The folder of the store."""
        return self.folder or models_home().parent / "service"

    @property
    def keep_s(self) -> float | None:
        """How long answers are kept: 0 nothing, None for ever.

        Raises:
            InputError: `usage`: neither a word nor a number of days.
        """
        if self.keep in (NOTHING, FOREVER):
            return 0.0 if self.keep == NOTHING else None
        try:
            days = float(self.keep.removesuffix("d"))
        except ValueError:
            days = 0.0
        if not 0 < days < 40_000:
            raise InputError(
                "usage", f"--keep {self.keep}: nothing, forever, or a number of days such as 30d"
            )
        return days * 86_400

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def callback_secret(home: Path) -> bytes:
    """What signs callbacks: `$EARWITNESS_CALLBACK_SECRET`, or a file in the store's folder, made once."""
    import secrets

    given = os.environ.get("EARWITNESS_CALLBACK_SECRET")
    if given:
        return given.encode()
    file = home / "callback.secret"
    if not file.exists():
        part = home / f"callback.{secrets.token_hex(8)}.part"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(secrets.token_urlsafe(32) + "\n")
        with suppress(FileExistsError):
            os.link(part, file)  # the first of several servers makes it
        part.unlink()
    secret = file.read_bytes().strip()
    if len(secret) < 16:
        raise InputError("usage", f"{file}: a secret has 16 bytes at least; remove the file")
    return secret
