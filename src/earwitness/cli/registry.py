"""`earwitness registry`, `earwitness promote` and `earwitness rollback`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.common import AS_JSON, plain_errors

if TYPE_CHECKING:
    from earwitness.operations.gates import Gate
    from earwitness.operations.registry import Registry, Version

registry_app = typer.Typer(
    help="Versions of detectors: where each comes from, and which one is in use.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
REGISTRY = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="PLACE",
        help="A folder, or the address of an MLflow server "
        "[default: $EARWITNESS_REGISTRY, or 'registry' with the user's data].",
    ),
]
VERSION = Annotated[
    str, typer.Argument(metavar="NAME@V", help="A version: NAME@3, NAME@champion or NAME@challenger.")
]
NAME = Annotated[str, typer.Argument(metavar="NAME", help="What the detector is called in the registry.")]
BY = Annotated[str, typer.Option(metavar="WHO", help="Who says so.")]
ADD_HELP = """\b
The card and the files that it names are copied, and pinned by their digests. The version added last is the
challenger; `earwitness promote` makes it the champion.

\b
Exit codes:
  0  added
  2  wrong usage, or a bundle that is incomplete or altered

\b
Examples:
  earwitness registry add runs/march/bundle --name newsroom --parent 3
  earwitness registry add embedded --name newsroom --about training_data=corpus.csv
"""


@registry_app.command("add", epilog=ADD_HELP)
def registry_add(
    bundle: Annotated[
        str,
        typer.Argument(metavar="BUNDLE", help="A bundle's folder, or a name of `earwitness models list`."),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What the detector is called in the registry.")],
    parent: Annotated[
        int | None, typer.Option(metavar="V", min=1, help="The version that it was made from.")
    ] = None,
    about: Annotated[
        list[str] | None, typer.Option(metavar="FACT=TEXT", help="What else to keep; may be repeated.")
    ] = None,
    registry: REGISTRY = None,
    as_json: AS_JSON = False,
) -> None:
    """Add a bundle as the next version of a detector."""
    with plain_errors():
        from earwitness.decision.bundle import find_bundle
        from earwitness.errors import InputError
        from earwitness.operations.registry import add, open_registry

        facts = {key: value for key, _, value in (one.partition("=") for one in about or [])}
        if not all(key and value for key, value in facts.items()):
            raise InputError("usage", "--about: expected FACT=TEXT, as in training_data=corpus.csv")
        made = add(open_registry(registry, make=True), name, find_bundle(bundle), parent, facts)
        typer.echo(json.dumps(as_record(made, [])) if as_json else f"added {made}, model {made.digest[:12]}")


LIST_HELP = """\b
Examples:
  earwitness registry list
  earwitness registry list newsroom --json
"""


@registry_app.command("list", epilog=LIST_HELP)
def registry_list(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this detector.")] = None,
    registry: REGISTRY = None,
    as_json: AS_JSON = False,
) -> None:
    """The versions of one detector, or of all."""
    with plain_errors():
        from earwitness.operations.registry import names, open_registry, versions

        found = open_registry(registry)
        rows = []
        for one in [name] if name else names(found):
            used = roles(found, one)
            rows += [as_record(version, used.get(version.number, [])) for version in versions(found, one)]
        if as_json:
            typer.echo(json.dumps(rows))
            return
        table(
            ("version", "", "added", "model", "embedding", "from"),
            [
                (
                    f"{row['name']}@{row['version']}",
                    ", ".join(row["aliases"]),
                    row["created"][:16],
                    row["model"][:12],
                    row["embedding"][:12],
                    f"@{row['parent']}" if row["parent"] else "–",
                )
                for row in rows
            ],
        )


SHOW_HELP = """\b
Examples:
  earwitness registry show newsroom@champion
  earwitness registry show newsroom@3 --json
"""


@registry_app.command("show", epilog=SHOW_HELP)
def registry_show(version: VERSION, registry: REGISTRY = None, as_json: AS_JSON = False) -> None:
    """One version: its files, verified, what was said of it, and what became of it."""
    with plain_errors():
        from dataclasses import asdict

        from earwitness.operations.promotion import moves
        from earwitness.operations.registry import fetch, open_registry, version_named

        found = open_registry(registry)
        one = version_named(found, version)
        record = as_record(one, roles(found, one.name).get(one.number, []))
        record |= {"folder": str(fetch(found, one)), "files": one.files, "about": one.about}
        record["moves"] = [
            asdict(move) for move in moves(found, one.name) if one.number in (move.before, move.after)
        ]
        if as_json:
            typer.echo(json.dumps(record))
            return
        facts = [(key, str(record[key])) for key in ("folder", "created", "model", "embedding")]
        facts += [
            ("aliases", ", ".join(record["aliases"]) or "–"),
            ("made from", str(record["parent"] or "–")),
        ]
        facts += sorted(one.about.items())
        facts += [(f"file {name}", digest) for name, digest in one.files.items()]
        for move in record["moves"]:
            change = f"{move['before'] or 'none'} -> {move['after']}"
            who = f" by {move['by']}" if move["by"] else ""
            why = f": {move['why']}" if move["why"] else ""
            facts.append((move["kind"], f"{change}, {move['when']}{who}, decision {move['decision']}{why}"))
        table(("", f"{one}"), facts)


PENDING_HELP = """\b
Exit codes:
  0  nothing is to be done
  1  something is

\b
Examples:
  earwitness registry pending newsroom
  earwitness registry pending newsroom --json
"""


@registry_app.command("pending", epilog=PENDING_HELP)
def registry_pending(name: NAME, registry: REGISTRY = None, as_json: AS_JSON = False) -> None:
    """What holds embeddings of another model than the champion's, and the command that makes it again."""
    with plain_errors():
        from earwitness.operations.promotion import pending
        from earwitness.operations.registry import open_registry

        todo = pending(open_registry(registry), name)
        if as_json:
            typer.echo(json.dumps([{"place": place, "command": command} for place, command in todo]))
        else:
            show_todo(todo)
        raise typer.Exit(1 if todo else 0)


DEPEND_HELP = """\b
Examples:
  earwitness registry depend newsroom known.db
  earwitness registry depend newsroom known-2.db --instead known.db
"""


@registry_app.command("depend", epilog=DEPEND_HELP)
def registry_depend(
    name: NAME,
    place: Annotated[str, typer.Argument(metavar="PLACE", help="A knowledge base or a drift reference.")],
    instead: Annotated[
        str | None, typer.Option(metavar="PLACE", help="What it replaces, which is then forgotten.")
    ] = None,
    command: Annotated[
        str, typer.Option(metavar="TEXT", help="What makes it again, where that is not the usual command.")
    ] = "",
    registry: REGISTRY = None,
) -> None:
    """Note that a knowledge base or a drift reference was made with the champion's embeddings."""
    with plain_errors():
        from earwitness.operations.promotion import depend
        from earwitness.operations.registry import open_registry

        depend(open_registry(registry), name, place, instead, command)
        typer.echo(f"noted: {place} hangs on the embeddings of {name}@champion")


PROMOTE_HELP = """\b
FILE is a CSV with the columns id, label (real or fake), champion, candidate and, if items are alike by
speaker or page, group: the LLRs of both on the same items, higher for genuine. On guard sets (old data)
the candidate must not be worse; on new data it must be better; false alarms, calibration, speed and
embeddings have gates of their own. Where there is no champion yet, only the gates that need none are asked.
The decision, for or against, is kept with the version.

\b
Exit codes:
  0  promoted (with --dry-run: would be)
  2  wrong usage, or files that cannot be used
  4  refused by the gates; the champion stays

\b
Examples:
  earwitness promote newsroom@4 --guard old.csv --guard phones.csv --new march.csv --by "Jo"
  earwitness promote newsroom@challenger --guard old.csv --dry-run --json
"""
PAIR = "CHAMPION CANDIDATE"


def promote(
    version: VERSION,
    guard: Annotated[list[Path], typer.Option(metavar="FILE", help="Old data; may be repeated.")],
    new: Annotated[Path | None, typer.Option(metavar="FILE", help="The data it was made for.")] = None,
    speed: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar=PAIR, help="Seconds of audio that each judges in a second of CPU."),
    ] = None,
    embeddings: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar=PAIR, help="Embeddings (npy) of the same items, if they are to be the same."),
    ] = None,
    by: BY = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge only; nothing is written.")] = False,
    registry: REGISTRY = None,
    as_json: AS_JSON = False,
) -> None:
    """Make a version the champion, if the gates let it pass."""
    with plain_errors("there is one champion, the old or the new"):
        from earwitness.operations import promotion
        from earwitness.operations.registry import champion, open_registry, version_named

        found = open_registry(registry)
        one = version_named(found, version)
        used = champion(found, one.name)
        gates, tables = promotion.judge_version(found, one, used, guard, new, speed, embeddings)
        decision = promotion.decide(one, used, gates, tables, by)
        if not dry_run and decision.promote:
            promotion.promote(found, one, decision)
        elif not dry_run:
            promotion.record(found, one, decision)
        todo = promotion.pending(found, one.name)
        if as_json:
            record = {**json.loads(decision.text), "id": decision.id, "dry_run": dry_run}
            record["pending"] = [{"place": place, "command": command} for place, command in todo]
            typer.echo(json.dumps(record))
        else:
            show_gates(gates)
            if decision.champion is None:
                typer.echo("There is no champion yet: gates that compare with one were not asked.")
            done = "would be promoted" if dry_run else f"is the champion (decision {decision.id})"
            typer.echo(f"{one} {done if decision.promote else 'is refused; the champion stays as it is'}")
            if decision.promote and todo and not dry_run:
                show_todo(todo)
        raise typer.Exit(0 if decision.promote else 4)


ROLLBACK_HELP = """\b
The version that is rolled back can only become champion again by a new decision of `earwitness promote`.

\b
Exit codes:
  0  the earlier version is the champion
  2  there is none, or its files were altered

\b
Examples:
  earwitness rollback newsroom --why "false alarms on phone calls" --by "Jo"
"""


def rollback(
    name: NAME,
    why: Annotated[str, typer.Option(metavar="TEXT", help="What went wrong.")] = "",
    by: BY = "",
    registry: REGISTRY = None,
) -> None:
    """Make the champion before this one the champion again."""
    with plain_errors("there is one champion, the old or the new"):
        from earwitness.operations import promotion
        from earwitness.operations.registry import open_registry

        found = open_registry(registry)
        target = promotion.rollback(found, name, why, by)
        typer.echo(f"{target} is the champion again")
        show_todo(promotion.pending(found, name), quiet=True)


def roles(registry: "Registry", name: str) -> dict[int, list[str]]:
    """The aliases of each version."""
    from earwitness.operations.registry import challenger, champion

    found: dict[int, list[str]] = {}
    for role, one in (("champion", champion(registry, name)), ("challenger", challenger(registry, name))):
        if one:
            found.setdefault(one.number, []).append(role)
    return found


def as_record(version: "Version", aliases: list[str]) -> dict[str, Any]:
    """A version, fit for JSON."""
    return {
        "name": version.name,
        "version": version.number,
        "aliases": aliases,
        "created": version.tags["created"],
        "model": version.digest,
        "embedding": version.embedding,
        "parent": version.parent,
    }


def show_gates(gates: "list[Gate]") -> None:
    """The gates as a table."""
    rows = [(gate.name, "passed" if gate.passed else "REFUSED", gate.sentence) for gate in gates]
    table(("gate", "", "found"), rows)


def show_todo(todo: list[tuple[str, str]], quiet: bool = False) -> None:
    """What is to be made again."""
    from earwitness.operations.show import visible

    if not todo and not quiet:
        typer.echo("nothing is to be made again")
    for place, command in todo:
        typer.echo(
            f"{visible(place)} holds embeddings of another model; make it again:\n  {visible(command)}"
        )


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table for people."""
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from earwitness.operations.show import visible

    made = Table(box=None, pad_edge=False)
    for head in heads:
        made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*(Text(visible(text)) for text in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(made)
