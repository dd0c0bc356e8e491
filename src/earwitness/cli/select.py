"""`earwitness select`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earwitness.cli.common import AS_JSON, complain, plain_errors

if TYPE_CHECKING:
    from earwitness.operations.samples import Samples
    from earwitness.operations.selection import SelectionOptions

TOP = 5  # sources that are shown
SELECT_HELP = """\b
POOL.csv has the columns id and score, POOL.npy beside it a row of embeddings for each. A task is a table for
a spreadsheet (.csv) or for Label Studio (.json, with its labelling interface as .xml). Fill in real, fake or
unusable, and read the answers back with --answers: the table, or Label Studio's export as JSON, JSON-MIN or
CSV. Label Studio finds the files where LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED is true, and
LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is / or, for paths that are relative, the folder they start from.

\b
Strategies:
  energy             least confident first, by the energy of the logits
  positive-energy    most confident first; a control that should do badly
  margin             scores nearest to 0 first
  entropy            most uncertain P(fake) first
  adversarial        nearest to labelled items that were moved towards the other class
  passive            at random; what the others must beat
  removal            drops the most confident items, as many as the budget, then takes at random
  coverage           least like anything labelled first, by cosine similarity
  core-set           each time the farthest from everything labelled or chosen
  kmeans++           at random, the farther from everything labelled or chosen the likelier
Of one score without logits, energy, margin and entropy choose the same items.

\b
Exit codes:
  0  done
  1  some answers contradict each other, or are of nothing in the pool (each is named)
  2  wrong usage, or a file that cannot be read

\b
Examples:
  earwitness select pool.csv --out task.csv --items 100
  earwitness select pool.csv --out task.json --minutes 60 --labelled dev.csv --strategy coverage
  earwitness select pool.csv --out task.csv --items 200 --diversity core-set --per-source 0.1 --balance
  earwitness select pool.csv --answers task.csv --out labelled.csv
"""


def select(
    pool: Annotated[Path, typer.Argument(metavar="POOL.csv", help="Scored items, with POOL.npy beside it.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The task, .csv or .json; or the labelled items.")
    ],
    items: Annotated[int, typer.Option(metavar="N", help="Budget in items.")] = 0,
    minutes: Annotated[float, typer.Option(metavar="M", help="Or in minutes, by duration_s.")] = 0.0,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="One of those below.")] = "energy",
    labelled: Annotated[
        list[Path] | None,
        typer.Option(metavar="DEV.csv", help="What is labelled already; can be given several times."),
    ] = None,
    per_source: Annotated[
        float, typer.Option(metavar="SHARE", help="Most of the budget that one source may take; 0: no cap.")
    ] = 0.0,
    balance: Annotated[
        bool, typer.Option("--balance", help="Half of what is called fake, half of what is called genuine.")
    ] = False,
    diversity: Annotated[
        str, typer.Option(metavar="NAME", help="core-set or kmeans++ within five times the budget, or none.")
    ] = "none",
    seed: Annotated[int, typer.Option(metavar="N", help="Of what is drawn at random.")] = 0,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A task filled in, or Label Studio's export of it.")
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Choose what is worth a label, or read the labels back."""
    with plain_errors():
        from earwitness.operations.samples import read_samples
        from earwitness.operations.selection import SelectionOptions

        found = read_samples(pool)
        if answers:
            raise typer.Exit(take_answers(found, answers, out, as_json))
        options = SelectionOptions(strategy, items, minutes, per_source, balance, diversity, seed)
        make_task(found, labelled or [], options, out, as_json)
        if not as_json:
            filled = quoted(out) if out.suffix.lower() == ".csv" else "EXPORT.json"
            typer.echo(f"the task: {quoted(out)}")
            typer.echo(f"then:     earwitness select {quoted(pool)} --answers {filled} --out LABELLED.csv")


def quoted(path: Path) -> str:
    """A path as a shell takes it."""
    import shlex

    from earwitness.operations.show import visible

    return visible(shlex.quote(str(path)))


def make_task(
    pool: "Samples", labelled: Sequence[Path], options: "SelectionOptions", out: Path, as_json: bool
) -> None:
    """Choose, write the task and show what was chosen."""
    import json

    from earwitness.operations.labelling import write_task
    from earwitness.operations.samples import joined, read_samples
    from earwitness.operations.selection import removed, select

    known = joined([read_samples(path) for path in labelled]) if labelled else None
    rows = select(pool, known, options)
    dropped = len(removed(pool, known, options)) if options.strategy == "removal" else 0
    write_task(pool, rows, out, options.strategy)
    about = {**summary(pool.take(rows)), "pool": len(pool), "strategy": options.strategy, "dropped": dropped}
    if as_json:
        typer.echo(json.dumps({**about, "task": str(out)}))
    else:
        show(about)


def summary(chosen: "Samples") -> dict[str, Any]:
    """What was chosen, fit for JSON."""
    import numpy as np

    fake = int((chosen.scores < 0).sum())
    sources = Counter(chosen.column("source")) if "source" in chosen.columns else Counter()
    return {
        "chosen": len(chosen),
        "minutes": round(float(np.nansum(chosen.numbers("duration_s"))) / 60, 2),
        "called_fake": fake,
        "called_genuine": len(chosen) - fake,
        "mean_score": round(float(chosen.scores.mean()), 4) if len(chosen) else None,
        "sources": dict(sources.most_common()),
    }


def show(about: dict[str, Any]) -> None:
    """The summary for people."""
    from earwitness.operations.corpus import show_table

    mean = "-" if about["mean_score"] is None else f"{about['mean_score']:.3f}"
    rows = [
        ("chosen", f"{about['chosen']:,} of {about['pool']:,}"),
        ("minutes", f"{about['minutes']:.1f}"),
        ("called fake", f"{about['called_fake']:,}"),
        ("called genuine", f"{about['called_genuine']:,}"),
        ("mean score", mean),
        *((f"from {name}", f"{count:,}") for name, count in list(about["sources"].items())[:TOP]),
    ]
    if len(about["sources"]) > TOP:
        rows.append((f"from {len(about['sources']) - TOP:,} other sources", ""))
    if about["dropped"]:
        rows.append(("dropped, the most confident", f"{about['dropped']:,}"))
    show_table((f"by {about['strategy']}", ""), rows, 1)


def take_answers(pool: "Samples", answers: Path, out: Path, as_json: bool) -> int:
    """Read answers, write the items that have one; 1 where some could not be used."""
    import json

    from earwitness.errors import InputError
    from earwitness.operations.labelling import label_samples, read_answers
    from earwitness.operations.samples import vectors_of, write_samples

    given, contrary = read_answers(answers)
    unknown = sorted(given.keys() - set(pool.ids))
    labelled = label_samples(pool, given)
    if not len(labelled):
        raise InputError("bad-answers", f"{answers}: has no answer to anything in the pool")
    if out.suffix.lower() != ".csv":
        raise InputError("usage", f"--out {out}: labelled items are a .csv, with a .npy beside it")
    for file in (out, vectors_of(out)):
        if file.exists():
            raise InputError("labels-exist", f"{file}: is there already; choose another name")
    write_samples(out, labelled)
    labels = labelled.labels
    counts = {
        name: int((labels == label).sum()) for name, label in (("real", 1), ("fake", 0), ("unusable", -1))
    }
    if as_json:
        about = {**counts, "contrary": contrary, "unknown": unknown, "labelled": str(out)}
        typer.echo(json.dumps(about))
    else:
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        typer.echo(f"{listed}: {quoted(out)}")
    for what, ids in (("contrary answers", contrary), ("not in the pool", unknown)):
        for key in ids:
            complain(f"left out, {what}: {key}")
    return 1 if contrary or unknown else 0
