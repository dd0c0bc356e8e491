"""What can go wrong, in one line each: expected, found, where, what to do."""

from collections.abc import Iterator
from contextlib import contextmanager


class EarwitnessError(Exception):
    """Base of every error that earwitness raises on purpose."""


class InputError(EarwitnessError):
    """Audio or a list that cannot be used. `code` is stable and fit for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ModelError(EarwitnessError):
    """A model bundle that is incomplete, altered or of another kind."""


class MissingExtra(EarwitnessError):
    """An optional package is absent; the message names the extra to install."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is needed here and is not installed: pip install 'earwitness[{extra}]'")


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports and work that need an extra.

    Raises:
        MissingExtra: a package of it is absent.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or "a package").split(".")[0], extra) from None
