"""The command line: parse, call one function, print. Heavy imports happen inside the commands."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from earwitness.cli.attribute import ATTRIBUTE_HELP, attribute, tracer_app
from earwitness.cli.bench import BENCH_HELP, bench
from earwitness.cli.common import complain
from earwitness.cli.corpus import corpus_app
from earwitness.cli.discover import discover_app
from earwitness.cli.drift import EMBED_HELP, drift_app, embed
from earwitness.cli.judge import (
    CALIBRATE_HELP,
    EVALUATE_HELP,
    EVALUATE_SPANS_HELP,
    calibrate,
    evaluate,
    evaluate_spans,
)
from earwitness.cli.knowledge import knowledge_app
from earwitness.cli.models import models_app
from earwitness.cli.plan import PLAN_HELP, plan
from earwitness.cli.registry import PROMOTE_HELP, ROLLBACK_HELP, promote, registry_app, rollback
from earwitness.cli.report import REPORT_HELP, report
from earwitness.cli.select import SELECT_HELP, select
from earwitness.cli.serve import SERVE_HELP, audit_app, keys_app, serve
from earwitness.cli.train import train_app
from earwitness.cli.update import UPDATE_HELP, update
from earwitness.cli.watermark import watermark_app

app = typer.Typer(
    name="earwitness",
    help="Is the voice on this recording human?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(models_app, name="models")
app.add_typer(corpus_app, name="corpus")
app.add_typer(train_app, name="train")
app.add_typer(knowledge_app, name="knowledge")
app.add_typer(drift_app, name="drift")
app.add_typer(discover_app, name="discover")
app.add_typer(registry_app, name="registry")
app.add_typer(tracer_app, name="tracer")
app.add_typer(watermark_app, name="watermark")
app.add_typer(keys_app, name="keys")
app.add_typer(audit_app, name="audit")

EXIT_HELP = """\b
Exit codes:
  0  every file was answered
  1  some files could not be read (each has its record)
  2  wrong usage
  3  --fail-on matched
130  interrupted

\b
Examples:
  earwitness scan samples/
  earwitness scan call.m4a --timeline
  earwitness scan interviews/ --rttm fake.rttm --labels labels/
  earwitness scan inbox/ --json > verdicts.jsonl
  earwitness scan archive/ --csv verdicts.csv --resume scan.journal
  find . -name '*.mp3' -print0 | earwitness scan -
  earwitness scan upload.wav --fail-on fake,uncertain,no-speech
  earwitness scan inbox/ --knowledge known.db
  earwitness scan inbox/ --attribute tracer.npz --watermark timbre
  ffmpeg -i rtsp://... -t 60 -f wav - | earwitness scan /dev/stdin
  find /shared/archive -name '*.opus' | earwitness scan - --ray auto --resume scan.journal
"""


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from earwitness import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Is the voice on this recording human?"""


def one_of(option: str, text: str, known: tuple[str, ...]) -> Any:
    """The word, which is one of these.

    Raises:
        ValueError: it is not.
    """
    if text not in known:
        raise ValueError(f"{option} {text}: one of {', '.join(known)}")
    return text


@app.command(epilog=EXIT_HELP)
def scan(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Files, folders (searched recursively), or '-' to read a list of paths from "
            "stdin, one a line or separated by NUL. /dev/stdin is one recording from a pipe.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, one record a file.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write a CSV.")] = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Show where in the file it sounds fake, and list the spans.")
    ] = False,
    rttm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write which parts sound fake as RTTM.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write the fake spans as label tracks for Audacity."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            "--threads",
            metavar="N",
            min=0,
            max=256,
            help="Files at a time; 0 is one for each processor.",
        ),
    ] = 0,
    prior: Annotated[
        float, typer.Option(metavar="P", help="Share of recordings you expect to be fake, between 0 and 1.")
    ] = 0.5,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A bundle's folder, or a name of `earwitness models list`."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="ENGINE",
            help="onnx, openvino, torch, or auto: torch on a GPU; else the fastest that `models tune` found "
            "to say the same here; else onnx.",
        ),
    ] = "auto",
    precision: Annotated[
        str, typer.Option(metavar="KIND", help="fp32, bf16 or int8, or auto: the fastest of the engine's.")
    ] = "auto",
    knowledge: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare with the recordings of this knowledge base too."),
    ] = None,
    tracer: Annotated[
        str | None,
        typer.Option(
            "--attribute",
            metavar="TRACER",
            help="Also say who made it if it is fake; a file of `tracer learn`, or own: the model's own.",
        ),
    ] = None,
    watermark: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Also look for this watermark; see `watermark list`."),
    ] = None,
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="Also score what holds no speech or is damaged.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Score copies of a recording again too.")
    ] = False,
    fail_on: Annotated[
        str,
        typer.Option(metavar="VERDICTS", help="Exit with 3 if any file gets one of these, e.g. fake,error."),
    ] = "",
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="JOURNAL",
            help="Note each answer in this file; started again with it, answered files are "
            "repeated from it and the scan goes on.",
        ),
    ] = None,
    ray: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Score on a Ray cluster: HOST:6379, auto, or local to start Ray here. --workers are those "
            "of the cluster; every machine must see files and model under the same paths.",
        ),
    ] = "",
) -> None:
    """Score recordings: fake, genuine, uncertain, or no-speech.

    p(fake) is the probability that the voice is synthetic, given the recording and --prior.
    Between the thresholds on the model's card the verdict is 'uncertain'.
    """
    from earwitness.errors import EarwitnessError
    from earwitness.operations.hearing import ScanOptions
    from earwitness.operations.run import Outputs, run_scan

    try:
        options = ScanOptions(
            prior,
            not no_gate,
            timeline,
            workers,
            one_of("--engine", engine, ("auto", "onnx", "openvino", "torch")),
            one_of("--precision", precision, ("auto", "fp32", "bf16", "int8")),
            not no_cache,
            knowledge=knowledge,
            tracer=tracer,
            watermark=watermark,
        )
        code = run_scan(paths, options, model, Outputs(as_json, csv, resume, rttm, labels), fail_on, ray)
    except (EarwitnessError, ValueError) as error:
        complain(error)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        hint = f"; go on with --resume {resume}" if resume else ""
        typer.echo(f"earwitness: interrupted{hint}", err=True)
        raise typer.Exit(130) from None
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except OSError as error:  # a full disk, a closed terminal: errors of recordings are records
        typer.echo(f"earwitness: the output cannot be written: {error.strerror or error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


app.command(epilog=EVALUATE_HELP)(evaluate)
app.command(epilog=EVALUATE_SPANS_HELP)(evaluate_spans)
app.command(epilog=CALIBRATE_HELP)(calibrate)
app.command(epilog=EMBED_HELP)(embed)
app.command(epilog=ATTRIBUTE_HELP)(attribute)
app.command(epilog=SELECT_HELP)(select)
app.command(epilog=UPDATE_HELP)(update)
app.command(epilog=PROMOTE_HELP)(promote)
app.command(epilog=ROLLBACK_HELP)(rollback)
app.command(epilog=REPORT_HELP)(report)
app.command(epilog=SERVE_HELP)(serve)
app.command(epilog=PLAN_HELP)(plan)
app.command(epilog=BENCH_HELP)(bench)
