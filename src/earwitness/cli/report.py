"""`earwitness report`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import plain_errors

REPORT_HELP = """\b
The report says what file it is, what was found, how sure that is, and what it does not mean. It holds no
date: the same file, model and settings give the same report, byte for byte. Its digest shows later, with
--check, that nothing was altered; note it elsewhere. docs/reports.md says more.

\b
Exit codes:
  0  written, or as it was made
  1  the file could not be heard (the report says why), or --check found a report altered
  2  wrong usage
130  interrupted

\b
Examples:
  earwitness report call.m4a
  earwitness report call.m4a --out call.pdf --out call.json
  earwitness report call.m4a --prior 0.05 --knowledge known.db --attribute own --watermark timbre
  earwitness scan inbox/ --json --timeline > verdicts.jsonl
  earwitness report inbox/call.m4a --verdict verdicts.jsonl --out call.html
  earwitness report --check call.html
"""


def report(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The recording.")] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="REPORT",
            help="A name ending in .html, .pdf or .json; can be given several times "
            "[default: FILE-report.html in this folder].",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over reports that are there.")] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A bundle's folder, or a name of `earwitness models list`."),
    ] = None,
    prior: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Share of recordings you expect to be fake, between 0 and 1 [default: 0.5]."
        ),
    ] = None,
    knowledge: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare with the recordings of this knowledge base too."),
    ] = None,
    tracer: Annotated[
        str | None,
        typer.Option(
            "--attribute", metavar="TRACER", help="Also say who made it if it is fake; as in `scan`."
        ),
    ] = None,
    watermark: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Also look for this watermark; see `watermark list`."),
    ] = None,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="Also score what holds no speech or is damaged.")
    ] = False,
    verdict: Annotated[
        Path | None,
        typer.Option(
            metavar="RECORDS",
            help="Take the record of this file from the JSON of `scan` instead of scanning again.",
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="REPORT", help="Say whether this report (.html or .json) is as it was made."),
    ] = None,
) -> None:
    """A paper on one recording: what was found, how sure, and what it does not mean."""
    with plain_errors("nothing was written"):
        from earwitness.errors import InputError
        from earwitness.operations.hearing import ScanOptions
        from earwitness.operations.report import Wanted, run_check, run_report

        scanning = [prior is not None, knowledge, tracer, watermark, no_gate]
        making = [file, out, force, model, verdict, *scanning]
        if (check is None) == (file is None) or (check and any(making)):
            raise InputError("usage", "name one recording, or a report with --check and nothing else")
        if check:
            raise typer.Exit(run_check(check))
        if verdict and any(scanning):
            sentence = (
                "--verdict: the record says what was asked; leave out --prior, --knowledge, --attribute, "
            )
            raise InputError("usage", sentence + "--watermark and --no-gate")
        share = ScanOptions.prior if prior is None else prior
        if not 0 < share < 1:
            raise InputError("usage", f"--prior must be between 0 and 1, both excluded; got {share}")
        options = ScanOptions(
            share, not no_gate, timeline=True, knowledge=knowledge, tracer=tracer, watermark=watermark
        )
        wanted = Wanted(file or Path(), tuple(out or ()), force, model, verdict, options)
        raise typer.Exit(run_report(wanted))
