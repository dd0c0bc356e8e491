"""`earwitness serve`, and the keys and the audit log of a service."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.common import complain

SERVE_HELP = """\b
Examples:
  earwitness serve
  earwitness serve --knowledge known.db --keep 30d
  earwitness keys add newsroom --role label
  earwitness serve --host 0.0.0.0 --database postgresql://ear:secret@db/ear --keep nothing
  curl --data-binary @call.m4a 'http://127.0.0.1:8080/v1/analyses?name=call.m4a'

\b
The page is at http://127.0.0.1:8080/, the API at /v1 (described by /v1/openapi.json).
Without keys only this machine is served. Stop with Ctrl-C: what waits is answered after the next start.
"""
Folder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Of the store; by default beside the folder of models.")
]
Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="postgresql://USER:PASSWORD@HOST/NAME instead of a file in the folder.",
        envvar="EARWITNESS_DATABASE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
keys_app = typer.Typer(help="Keys of a service.", no_args_is_help=True, rich_markup_mode=None)
audit_app = typer.Typer(help="The audit log of a service.", no_args_is_help=True, rich_markup_mode=None)


def guarded(work: Any, database: str | None = None) -> Any:
    """Do some work of a service; errors in a line, and exit code 2."""
    from earwitness.errors import EarwitnessError, needs_extra

    try:
        with needs_extra("serve"):
            from sqlalchemy.exc import SQLAlchemyError

            from earwitness.service.tables import unusable

            try:
                return work()
            except SQLAlchemyError as error:
                raise unusable(error, database or "sqlite") from None
    except (EarwitnessError, ValueError) as error:
        complain(error)
        raise typer.Exit(2) from None


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; others need keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65_535)] = 8080,
    folder: Folder = None,
    database: Database = None,
    keep: Annotated[
        str,
        typer.Option(metavar="TIME", help="How long audio and answers are kept: nothing, 30d, forever."),
    ] = "forever",
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="That answers where none is asked for.")
    ] = None,
    knowledge: Annotated[
        str | None, typer.Option(metavar="FILE", help="A knowledge base to consult, and to teach by labels.")
    ] = None,
    tracer: Annotated[
        str | None, typer.Option("--attribute", metavar="TRACER", help="Say who made it, by this tracer.")
    ] = None,
    drift: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A drift reference to compare what comes in with.")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=0, max=256, help="0: one for each processor.")] = 0,
    max_mb: Annotated[int, typer.Option(metavar="N", min=1, help="Largest upload, in MiB.")] = 1024,
    max_hours: Annotated[float, typer.Option(metavar="N", min=0.01, max=24, help="Longest recording.")] = 6.0,
    rate: Annotated[float, typer.Option(metavar="N", min=0.1, help="Requests a second and caller.")] = 50.0,
    private_callbacks: Annotated[
        bool, typer.Option("--private-callbacks", help="Callbacks may go to addresses of this network.")
    ] = False,
) -> None:
    """Serve the page and the API on this machine."""

    def work() -> None:
        from earwitness.service.app import run_serve
        from earwitness.service.options import ServeOptions

        run_serve(
            ServeOptions(
                host,
                port,
                folder,
                database,
                keep,
                model,
                knowledge,
                tracer,
                drift,
                workers,
                max_bytes=max_mb << 20,
                max_duration_s=max_hours * 3600,
                rate=rate,
                private_callbacks=private_callbacks,
            )
        )

    guarded(work, database)


def engine_of(folder: Path | None, database: str | None) -> Any:
    """The database of a store."""
    from earwitness.service.options import ServeOptions
    from earwitness.service.store import open_store

    return open_store(ServeOptions(folder=folder).home, database).engine


@keys_app.command("add")
def add(
    name: str,
    role: Annotated[str, typer.Option(metavar="ROLE", help="scan, label or admin.")] = "scan",
    folder: Folder = None,
    database: Database = None,
) -> None:
    """Make a key and print it, this once. A running service without keys must be started anew."""

    def work() -> None:
        from earwitness.service.keys import add_key

        typer.echo(add_key(engine_of(folder, database), name, role))

    guarded(work, database)


@keys_app.command("list")
def list_(folder: Folder = None, database: Database = None, as_json: AsJson = False) -> None:
    """Names and roles of keys."""

    def work() -> None:
        from earwitness.service.keys import list_keys
        from earwitness.service.store import instant

        rows = [{**row, "created": instant(row["created"])} for row in list_keys(engine_of(folder, database))]
        if as_json:
            typer.echo(json.dumps(rows))
            return
        for row in rows:
            typer.echo(f"{row['role']:<6} {row['created']}  {row['name']}")
        if not rows:
            typer.echo("no keys: the service answers this machine only", err=True)

    guarded(work, database)


@keys_app.command("remove")
def remove(name: str, folder: Folder = None, database: Database = None) -> None:
    """Forget a key; it is refused from the next request on."""

    def work() -> None:
        from earwitness.service.keys import remove_key

        remove_key(engine_of(folder, database), name)

    guarded(work, database)


@audit_app.command("verify")
def verify(
    head: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="A hash noted earlier, which must still be in the chain."),
    ] = None,
    folder: Folder = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Whether every entry is as it was written; exit code 1 where one is not."""

    def work() -> Any:
        from earwitness.service.audit import verify

        return verify(engine_of(folder, database), head)

    found = guarded(work, database)
    if as_json:
        typer.echo(json.dumps({field.name: getattr(found, field.name) for field in fields(found)}))
    elif found.broken is None:
        typer.echo(f"{found.entries} entries, none altered; the chain ends with {found.head}")
    else:
        typer.echo(f"BROKEN: {found.why}", err=True)
    raise typer.Exit(0 if found.broken is None else 1)


@audit_app.command("show")
def show(folder: Folder = None, database: Database = None) -> None:
    """Print the log, a line of JSON an entry."""

    def work() -> None:
        from earwitness.service.audit import entries

        for entry in entries(engine_of(folder, database)):
            typer.echo(json.dumps({**entry, "detail": json.loads(entry["detail"])}, ensure_ascii=False))

    guarded(work, database)


@audit_app.command("samples")
def samples(out: Path, folder: Folder = None, database: Database = None) -> None:
    """Write what was heard and labelled as a table for `earwitness select`, `drift` and `tracer learn`."""

    def work() -> None:
        from earwitness.service.labels import to_table
        from earwitness.service.options import ServeOptions
        from earwitness.service.store import open_store

        count = to_table(open_store(ServeOptions(folder=folder).home, database), out)
        typer.echo(f"{out}: {count} recordings")

    guarded(work, database)
