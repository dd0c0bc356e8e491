"""API keys. Only their SHA-256 is stored: among 256 random bits there is nothing to guess or to salt."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import IntegrityError

from earwitness.errors import InputError
from earwitness.service.audit import append
from earwitness.service.tables import keys

Role = Literal["scan", "label", "admin"]
ROLES: tuple[Role, ...] = ("scan", "label", "admin")  # each may do what those before it may
PREFIX = "ew_"
MAX_NAME = 100


@dataclass(frozen=True)
class Caller:
    """Who sent a request."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether the caller may do what asks for a role."""
        return ROLES.index(self.role) >= ROLES.index(role)


def add_key(engine: Engine, name: str, role: str) -> str:
    """Make a key; it is told this once and not stored.

    Raises:
        InputError: `usage`: no such role, or the name is taken or not fit.
    """
    if role not in ROLES:
        raise InputError("usage", f"no role is called {role!r}; one of {', '.join(ROLES)}")
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InputError("usage", f"a key's name has 1 to {MAX_NAME} printable characters")
    token = PREFIX + secrets.token_urlsafe(32)
    try:
        with engine.begin() as connection:
            values = {"name": name, "role": role, "hash": hashed(token), "created": time.time()}
            connection.execute(keys.insert().values(**values))
            append(connection, "operator", "key-added", name, role=role)
    except IntegrityError:
        raise InputError("usage", f"there is a key called {name!r} already; remove it first") from None
    return token


def remove_key(engine: Engine, name: str) -> None:
    """Forget a key, at once.

    Raises:
        InputError: `usage`: there is none of this name.
    """
    with engine.begin() as connection:
        if not connection.execute(delete(keys).where(keys.c.name == name)).rowcount:
            raise InputError("usage", f"no key is called {name!r}; see `earwitness keys list`")
        append(connection, "operator", "key-removed", name)


def list_keys(engine: Engine) -> list[dict[str, Any]]:
    """Names, roles and times; a key itself cannot be told again."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        rows = connection.execute(select(keys.c.name, keys.c.role, keys.c.created).order_by(keys.c.number))
        return [dict(row) for row in rows.mappings()]


def count_keys(engine: Engine) -> int:
    """How many keys there are."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return connection.scalar(select(func.count()).select_from(keys)) or 0


def find_caller(engine: Engine, token: str) -> Caller | None:
    """Whose key this is."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        row = connection.execute(select(keys.c.name, keys.c.role).where(keys.c.hash == hashed(token))).first()
    return Caller(row.name, row.role) if row else None


def hashed(token: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
