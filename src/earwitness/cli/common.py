"""What the commands share: one-line errors, and the option `--json`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

AS_JSON = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def complain(message: object) -> None:
    """One line on stderr; what could drive a terminal, or break the line, as escapes."""
    from earwitness.operations.show import visible

    typer.echo(visible(f"earwitness: {message}"), err=True)


@contextmanager
def plain_errors(stopped: str = "nothing was kept") -> Iterator[None]:
    """Errors that were foreseen, in one line with exit code 2; `stopped` says what an interrupt left."""
    from earwitness.errors import EarwitnessError

    try:
        yield
    except EarwitnessError as error:
        complain(error)
        raise typer.Exit(2) from None
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except (OSError, MemoryError, RecursionError) as error:  # where a full disk or a trap is met
        complain(f"{type(error).__name__}: {error}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(f"earwitness: interrupted; {stopped}", err=True)
        raise typer.Exit(130) from None
