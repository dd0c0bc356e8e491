"""`earwitness discover`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.common import AS_JSON, complain, plain_errors

if TYPE_CHECKING:
    from earwitness.operations.proposals import Proposal

discover_app = typer.Typer(
    help="New generators: recordings that nothing known explains, and that sound like each other.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
STATE = Annotated[Path, typer.Option("--state", metavar="FILE", help="Where proposals are kept (JSON).")]
ID = Annotated[str, typer.Argument(metavar="ID", help="Of a proposal, as `look` shows it.")]
LOOK_HELP = """\b
Tables have the columns id and score, and where there are any label, generator, source, path; the embeddings
are in NAME.npy beside NAME.csv. Best give all that is not labelled yet, not only what came since.

\b
A proposal is new where it has at least eight recordings and some of them were not there before. Listen to
its examples: it may also be a new speaker or channel.

\b
Exit codes:
  0  looked, whatever was found
  2  wrong usage, or tables that cannot be used

\b
Examples:
  earwitness discover look incoming.csv --known dev.csv --state proposals.json
  earwitness discover look incoming.csv --known dev.csv --known labelled.csv --state proposals.json --json
"""


@discover_app.command("look", epilog=LOOK_HELP)
def discover_look(
    incoming: Annotated[Path, typer.Argument(metavar="INCOMING.csv", help="What came in.")],
    known: Annotated[
        list[Path], typer.Option("--known", metavar="FILE", help="Labelled samples; may be given again.")
    ],
    state: STATE,
    as_json: AS_JSON = False,
) -> None:
    """Look for new generators in what came in."""
    with plain_errors("the proposals are as they were"):
        from datetime import UTC, datetime

        from earwitness.operations.discovery import Known, update_proposals
        from earwitness.operations.proposals import read_proposals, write_proposals
        from earwitness.operations.samples import joined, read_samples

        previous = read_proposals(state)
        explains = Known(joined([read_samples(path) for path in known]))
        when = datetime.now(UTC).isoformat(timespec="seconds")
        found = update_proposals(previous, explains, read_samples(incoming), when)
        write_proposals(state, found)
        tell(found, as_json)


SHOW_HELP = """\b
Examples:
  earwitness discover show --state proposals.json
  earwitness discover show g-3f2a9c01d4 --state proposals.json
"""


@discover_app.command("show", epilog=SHOW_HELP)
def discover_show(
    state: STATE,
    proposal: Annotated[str | None, typer.Argument(metavar="[ID]", help="Of a proposal; else all.")] = None,
    as_json: AS_JSON = False,
) -> None:
    """Show one proposal with its recordings, or the table of all."""
    with plain_errors():
        from earwitness.operations.proposals import find_proposal, read_proposals

        found = read_proposals(state)
        if proposal is None:
            tell(found, as_json)
        elif as_json:
            print_json(find_proposal(found, proposal))
        else:
            describe(find_proposal(found, proposal))


LABEL_HELP = """\b
All its recordings are added to the knowledge base, as `knowledge add` does it: known content is not added
again, and what is doubtful waits for `knowledge review`. A proposal that has grown can be labelled again.

\b
Exit codes:
  0  every recording was added, or was there
  1  some could not be read, hold no speech, or have no path
  2  wrong usage, or a base of another model; the proposal is not labelled

\b
Examples:
  earwitness discover label g-3f2a9c01d4 --name newvoice-2 --label fake --state proposals.json
  earwitness discover label g-3f2a9c01d4 --name "Jane Doe" --label genuine --state proposals.json
"""


@discover_app.command("label", epilog=LABEL_HELP)
def discover_label(
    proposal: ID,
    name: Annotated[str, typer.Option(metavar="NAME", help="The generator; of genuine ones, the speaker.")],
    label: Annotated[str, typer.Option(metavar="LABEL", help="fake or genuine.")],
    state: STATE,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="FILE", help="The knowledge base [default: as of `knowledge`]."),
    ] = None,
    by: Annotated[str, typer.Option(metavar="NAME", help="Who says so.")] = "",
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A bundle's folder, or a name of `earwitness models list`."),
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Add the recordings of a proposal to the knowledge base, under a name."""
    with plain_errors("what was added is kept; the same command goes on"):
        from earwitness.operations.knowledge import Facts, default_base, parse_label, run_add
        from earwitness.operations.proposals import find_proposal, read_proposals

        found, fake = read_proposals(state), not parse_label(label)
        chosen = find_proposal(found, proposal)
        failed = False
        for source, paths in by_source(chosen).items():
            facts = Facts(not fake, name if fake else "-", "-" if fake else name, source, added_by=by)
            failed |= run_add(paths, base or default_base(), facts, model, as_json) != 0
        settle(state, found, chosen, status="labelled", name=name)
        missing = len(chosen.members) - sum(map(len, by_source(chosen).values()))
        if missing:
            complain(f"{missing} of {len(chosen.members)} recordings name no file that is there")
        raise typer.Exit(1 if failed or missing else 0)


DISMISS_HELP = """\b
It is not proposed again, however much it grows.

\b
Examples:
  earwitness discover dismiss g-3f2a9c01d4 --why "our new presenter" --state proposals.json
"""


@discover_app.command("dismiss", epilog=DISMISS_HELP)
def discover_dismiss(
    proposal: ID,
    why: Annotated[str, typer.Option(metavar="TEXT", help="What it is instead.")],
    state: STATE,
) -> None:
    """Say that a proposal is no new generator."""
    with plain_errors():
        from earwitness.operations.proposals import find_proposal, read_proposals

        found = read_proposals(state)
        chosen = find_proposal(found, proposal)
        settle(state, found, chosen, status="dismissed", why=why)
        typer.echo(f"dismissed {chosen.id}")


def settle(state: Path, proposals: Sequence["Proposal"], chosen: "Proposal", **changed: Any) -> None:
    """Keep what was said of a proposal."""
    from dataclasses import replace

    from earwitness.operations.proposals import LONGEST, write_proposals

    changed = {key: value[:LONGEST] for key, value in changed.items()}
    new = replace(chosen, announced=False, **changed)
    write_proposals(state, [new if one.id == chosen.id else one for one in proposals])


def by_source(proposal: "Proposal") -> dict[str, list[str]]:
    """Files of a proposal that are there, by source; no folders, whatever a table says.

    Raises:
        InputError: `usage`: there are none.
    """
    from earwitness.errors import InputError

    paths, found = proposal.paths(), {}
    for member in proposal.members:
        if os.path.isfile(paths.get(member.id, "")):
            found.setdefault(member.source or "-", []).append(paths[member.id])
    if not found:
        raise InputError(
            "usage",
            f"{proposal.id}: none of its {len(proposal.members)} recordings names a file that is there; "
            "the table needs a column path",
        )
    return found


def tell(proposals: Sequence["Proposal"], as_json: bool) -> None:
    """The table of proposals, those to listen to first, with their examples; or a JSON line each."""
    from earwitness.operations.corpus import show_table

    order = sorted(proposals, key=lambda one: (not one.announced, one.status, -len(one.members)))
    if as_json:
        for one in order:
            print_json(one)
        return
    announced = [one for one in order if one.announced]
    clusters = "cluster" if len(order) == 1 else "clusters"
    typer.echo(f"{len(order)} {clusters} that nothing known explains, {len(announced)} to listen to now\n")
    if order:
        show_table(
            ("id", "status", "nearest known", "recordings", "grew", "called genuine", "score"), rows(order), 4
        )
    for one in announced:
        typer.echo("")
        explain(one)


def rows(proposals: Sequence["Proposal"]) -> list[tuple[object, ...]]:
    """A row of the table for each proposal."""
    found = []
    for one in proposals:
        status = "listen" if one.announced else f"{one.status} {one.name}".strip()
        near = f"{one.near[0][0]} ({one.near[0][1]:.2f})" if one.near else "-"
        counts = len(one.members), f"+{one.grew}" if one.grew else "-"
        found.append((one.id, status, near, *counts, called_genuine(one), f"{one.median_score:+.2f}"))
    return found


def called_genuine(proposal: "Proposal") -> str:
    """The share at the first threshold, with its interval."""
    if not proposal.called_genuine:
        return "-"
    _, share, low, high = proposal.called_genuine[0]
    return f"{share:.0%} ({low:.0%} to {high:.0%})"


def explain(proposal: "Proposal") -> None:
    """What to listen to, and what else it may be."""
    from earwitness.operations.show import visible

    paths = proposal.paths()
    typer.echo(visible(f"{proposal.id}: listen to"))
    for key in proposal.examples:
        typer.echo(visible(f"  {paths.get(key, key)}"))
    if proposal.warning:
        typer.echo(visible(f"  {proposal.warning}"))


def describe(proposal: "Proposal") -> None:
    """All that is known of a proposal, for a person."""
    from earwitness.operations.corpus import show_table
    from earwitness.operations.show import visible

    said = " ".join(filter(None, (proposal.status, proposal.name, proposal.why)))
    lines = [
        f"{proposal.id}: {said}; first seen {proposal.first_seen}",
        f"recordings: {', '.join(f'{size} ({when})' for when, size in proposal.looks)}",
        f"similarity within: {proposal.within:.2f}; nearest known: "
        + (", ".join(f"{name} {value:.2f}" for name, value in proposal.near) or "none"),
    ]
    for threshold, share, low, high in proposal.called_genuine:
        lines.append(
            f"if all are fake, {share:.0%} are called genuine from {threshold:g} on ({low:.0%} to {high:.0%})"
        )
    lines.append(f"median score: {proposal.median_score:+.2f}")
    for line in lines:
        typer.echo(visible(line))
    explain(proposal)
    typer.echo("")
    members = sorted(proposal.members, key=lambda one: -one.score)
    show_table(
        ("recording", "path", "source", "score"),
        [(one.id, one.path, one.source, f"{one.score:+.2f}") for one in members],
        1,
    )


def print_json(proposal: "Proposal") -> None:
    """A proposal as a line of JSON, without its embedding."""
    import json

    from earwitness.operations.proposals import as_record

    typer.echo(json.dumps({key: value for key, value in as_record(proposal).items() if key != "centre"}))
