"""`earwitness knowledge`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors

knowledge_app = typer.Typer(
    help="Known recordings that others are compared with: a new generator is caught after a few samples.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
BASE = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="FILE",
        help="The knowledge base, or the postgresql:// address of one on a server "
        "[default: $EARWITNESS_KNOWLEDGE, or knowledge.db with the user's data].",
    ),
]
FILES = Annotated[list[str], typer.Argument(metavar="PATH", help="Audio files, or folders of them.")]
MODEL = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="A bundle's folder, or a name of `earwitness models list`."),
]
IDS = Annotated[list[str], typer.Argument(metavar="ID", help="Of entries, as `add` and `query` show them.")]
ADD_HELP = """\b
A recording whose content, or sound and length, is there already is not added again. One that lies far
inside the other class, or comes from a source that holds too much of the base, is quarantined: it does not
vote until `knowledge review` confirms its label.

\b
Exit codes:
  0  every file was added, or was there
  1  some files could not be read or hold no speech
  2  wrong usage, or a base of another model

\b
Examples:
  earwitness knowledge add zero-day/*.mp3 --label fake --generator newvoice-2
  earwitness knowledge add our-presenters/ --label genuine --source newsroom --licence internal
"""


def where(base: str | None) -> str | Path:
    """The base that is meant."""
    from earwitness.operations.knowledge import default_base

    return base or default_base()


@knowledge_app.command("add", epilog=ADD_HELP)
def knowledge_add(
    paths: FILES,
    label: Annotated[str, typer.Option(metavar="LABEL", help="fake or genuine.")],
    generator: Annotated[str, typer.Option(metavar="NAME", help="What made it, if fake.")] = "-",
    speaker: Annotated[str, typer.Option(metavar="NAME", help="Who speaks.")] = "-",
    source: Annotated[str, typer.Option(metavar="NAME", help="Where the files come from.")] = "-",
    licence: Annotated[str, typer.Option(metavar="TEXT", help="On what terms they are kept.")] = "-",
    language: Annotated[str, typer.Option(metavar="TAG", help="What is spoken: en, de, ...")] = "-",
    watermarked: Annotated[
        bool | None, typer.Option("--watermarked/--not-watermarked", help="Whether a watermark was found.")
    ] = None,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who adds them.")] = "",
    base: BASE = None,
    model: MODEL = None,
    as_json: AS_JSON = False,
) -> None:
    """Add labelled recordings."""
    with plain_errors("what was added is kept"):
        from earwitness.operations.knowledge import Facts, parse_label, run_add

        facts = Facts(parse_label(label), generator, speaker, source, licence, language, watermarked, by)
        raise typer.Exit(run_add(paths, where(base), facts, model, as_json))


QUERY_HELP = """\b
Examples:
  earwitness knowledge query call.m4a
  earwitness knowledge query inbox/ --json > neighbours.jsonl
"""


@knowledge_app.command("query", epilog=QUERY_HELP)
def knowledge_query(paths: FILES, base: BASE = None, model: MODEL = None, as_json: AS_JSON = False) -> None:
    """What known recordings sound like these, and what that says of them."""
    with plain_errors():
        from earwitness.operations.knowledge import run_query

        raise typer.Exit(run_query(paths, where(base), model, as_json))


REMOVE_HELP = """\b
Names, paths and embeddings are overwritten in the base and in its snapshots. Exports and back-ups of yours
are out of reach.

\b
Examples:
  earwitness knowledge remove 3f2a9c01d4e5b678
  earwitness knowledge remove --speaker "Jane Doe"
"""


@knowledge_app.command("remove", epilog=REMOVE_HELP)
def knowledge_remove(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Of entries.")] = None,
    speaker: Annotated[str | None, typer.Option(metavar="NAME", help="All of this speaker.")] = None,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="All from this source.")] = None,
    base: BASE = None,
) -> None:
    """Delete entries for good."""
    with plain_errors():
        from earwitness.operations.knowledge import run_remove

        count = run_remove(where(base), ids or [], speaker, source)
        typer.echo(f"removed {count} {'entry' if count == 1 else 'entries'}")


@knowledge_app.command("review")
def knowledge_review(
    ids: IDS,
    label: Annotated[str, typer.Option(metavar="LABEL", help="What it is: fake or genuine.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")] = "",
    base: BASE = None,
) -> None:
    """Confirm or change the label of entries; they vote from then on."""
    with plain_errors():
        from earwitness.operations.knowledge import opened, parse_label

        with opened(where(base)) as found:
            for entry in ids:
                found.review(entry, parse_label(label), by)
        typer.echo(f"reviewed {len(ids)}")


@knowledge_app.command("stats")
def knowledge_stats(
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw a map of the base.")] = None,
    base: BASE = None,
    as_json: AS_JSON = False,
) -> None:
    """What is in the base: counts, coverage, conflicts of labels, likely mislabels."""
    with plain_errors():
        from earwitness.operations.knowledge import opened
        from earwitness.operations.knowledge_map import write_map
        from earwitness.operations.knowledge_stats import show_statistics, statistics_of

        with opened(where(base)) as found:
            show_statistics(statistics_of(found), as_json)
            if html:
                write_map(found, html)


TEST_HELP = """\b
Each entry is judged by the others, as if it were heard for the first time. With --learn the way of
searching and the fusion with the detector that do best there are kept with the base.

\b
Examples:
  earwitness knowledge test
  earwitness knowledge test --learn
"""


@knowledge_app.command("test", epilog=TEST_HELP)
def knowledge_test(
    learn: Annotated[bool, typer.Option("--learn", help="Keep the settings that do best.")] = False,
    base: BASE = None,
    model: MODEL = None,
    as_json: AS_JSON = False,
) -> None:
    """How well the base tells its own entries apart."""
    with plain_errors():
        from earwitness.operations.knowledge_leave_out import run_test

        run_test(where(base), model, learn, as_json)


SNAPSHOT_HELP = """\b
Examples:
  earwitness knowledge snapshot --name before-import
  earwitness knowledge snapshot --list
  earwitness knowledge snapshot --rollback before-import
"""


@knowledge_app.command("snapshot", epilog=SNAPSHOT_HELP)
def knowledge_snapshot(
    name: Annotated[str | None, typer.Option(metavar="NAME", help="What to call it.")] = None,
    show: Annotated[bool, typer.Option("--list", help="List what there is.")] = False,
    rollback_to: Annotated[
        str | None, typer.Option("--rollback", metavar="NAME", help="Go back to this one.")
    ] = None,
    base: BASE = None,
) -> None:
    """Keep the base as it is now, or go back to what was kept."""
    with plain_errors():
        from earwitness.evidence.snapshots import rollback, snapshot, snapshots
        from earwitness.operations.knowledge import file_of

        path = file_of(where(base))
        if show:
            typer.echo("\n".join(found.stem for found in snapshots(path)) or "none")
        elif rollback_to:
            rollback(path, rollback_to)
            typer.echo(f"{path} is as it was at {rollback_to}")
        else:
            typer.echo(f"kept as {snapshot(path, name).stem}")


@knowledge_app.command("export")
def knowledge_export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A .zip to write.")], base: BASE = None
) -> None:
    """Write the whole base to a file that another machine can import."""
    with plain_errors():
        from earwitness.evidence.snapshots import export_to
        from earwitness.operations.knowledge import opened

        with opened(where(base)) as found:
            typer.echo(f"exported {export_to(found, target)} entries")


@knowledge_app.command("import")
def knowledge_import(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What `knowledge export` wrote.")],
    base: BASE = None,
) -> None:
    """Add what another base exported; entries that are here already stay as they are."""
    with plain_errors():
        from earwitness.operations.knowledge import run_import

        added, known = run_import(where(base), source)
        typer.echo(f"imported {added}, {known} were here already")


REBUILD_HELP = """\b
Every recording is heard again by the new model, from the path that its entry names. What cannot be read is
listed and stays in the old base. A stopped run goes on where it was.

\b
Examples:
  earwitness knowledge rebuild new.db --model embedded
"""


@knowledge_app.command("rebuild", epilog=REBUILD_HELP)
def knowledge_rebuild(
    target: Annotated[str, typer.Argument(metavar="FILE", help="The new base.")],
    base: BASE = None,
    model: MODEL = None,
    as_json: AS_JSON = False,
) -> None:
    """Make a base for another model out of this one."""
    with plain_errors("what was done is kept; the same command goes on"):
        from earwitness.operations.knowledge_rebuild import run_rebuild

        raise typer.Exit(run_rebuild(where(base), target, model, as_json))
