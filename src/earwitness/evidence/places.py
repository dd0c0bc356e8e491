"""Where a knowledge base is: in a file of this machine, or in a database of a server."""

from pathlib import Path
from typing import cast

from earwitness.evidence.knowledge import Knowledge
from earwitness.types import ModelId

SCHEMES = ("postgresql://", "postgres://")


def is_server(place: str | Path) -> bool:
    """Whether a base lies on a server; its name then is an address."""
    return str(place).startswith(SCHEMES)


def open_base(place: str | Path, model: ModelId | None = None) -> Knowledge:
    """A base that is there; one on a server has the same methods.

    Raises:
        InputError: there is none, it is damaged, or of another model.
        MissingExtra: the client of a server is not installed.
    """
    if not is_server(place):
        return Knowledge.open(place, model)
    from earwitness.evidence.knowledge_server import open_server

    return cast(Knowledge, open_server(str(place), model))


def make_base(place: str | Path, model: ModelId, size: int) -> Knowledge:
    """A base for embeddings of a model, of `size` numbers each: the one that is there, or a new one.

    Raises:
        InputError: what is there is of another model, or it cannot be made.
        MissingExtra: the client of a server is not installed.
    """
    if is_server(place):
        from earwitness.evidence.knowledge_server import open_server

        return cast(Knowledge, open_server(str(place), model, size))
    if Path(place).exists():
        return Knowledge.open(place, model)
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    return Knowledge.create(place, model, size)
