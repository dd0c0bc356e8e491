"""Flags of a command that come from a dataclass, which owns their defaults and help texts."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer


def with_flags(options: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: the command's parameter `options` becomes a flag for each field of a dataclass."""
    types = get_type_hints(options)
    flags = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[types[field.name], typer.Option(help=field.metadata["help"])],
        )
        for field in fields(options)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [parameter for name, parameter in signature.parameters.items() if name != "options"]

        def wrapped(**given: Any) -> None:
            chosen = options(**{flag.name: given.pop(flag.name) for flag in flags})
            command(options=chosen, **given)

        wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
        wrapped.__signature__ = signature.replace(parameters=[*own, *flags])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *flags]}
        return wrapped

    return decorate
