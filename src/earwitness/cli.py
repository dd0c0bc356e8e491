"""The command line: parse, call one function, print. Heavy imports happen inside the commands."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="earwitness",
    help="Is the voice on this recording human?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

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
  earwitness scan inbox/ --json > verdicts.jsonl
  earwitness scan archive/ --csv verdicts.csv --resume scan.journal
  find . -name '*.mp3' -print0 | earwitness scan -
  earwitness scan upload.wav --fail-on fake,uncertain,no-speech
  ffmpeg -i rtsp://... -t 60 -f wav - | earwitness scan /dev/stdin
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


def parse_engine(text: str) -> Any:
    """The engine of that name.

    Raises:
        ValueError: there is none.
    """
    if text not in ("auto", "onnx", "torch"):
        raise ValueError(f"--engine: no engine is called {text!r}; one of auto, onnx, torch")
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
        bool, typer.Option("--timeline", help="Show where in the file it sounds fake.")
    ] = False,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, max=256, help="Files at a time; 0 is one for each processor.")
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
            help="onnx, torch, or auto: torch where there is a GPU, else onnx where there is a graph.",
        ),
    ] = "auto",
    no_gate: Annotated[
        bool, typer.Option("--no-gate", help="Also score what holds no speech or is damaged.")
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
) -> None:
    """Score recordings: fake, genuine, uncertain, or no-speech.

    p(fake) is the probability that the voice is synthetic, given the recording and --prior.
    Between the thresholds on the model's card the verdict is 'uncertain'.
    """
    from earwitness.errors import EarwitnessError
    from earwitness.operations.run import run_scan
    from earwitness.operations.scan import ScanOptions

    try:
        options = ScanOptions(prior, not no_gate, timeline, threads, parse_engine(engine))
        code = run_scan(paths, options, model, as_json, csv, fail_on, resume)
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


models_app = typer.Typer(
    help="The models on this machine: import, pull, list, show, export.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(models_app, name="models")

IMPORT_HELP = """\b
Read are
  AntiDeepfake detectors          .ckpt, .safetensors
  fairseq and unilm encoders      .pt (wav2vec 2.0, XLS-R, MMS, HuBERT, WavLM, UniSpeech-SAT, data2vec)
  folders of transformers         config.json with model.safetensors or pytorch_model.bin
  AASIST, AASIST-L                .pth
Nothing in a file is executed; sizes are read off its tensors.

\b
Examples:
  earwitness models import mms_300m.ckpt --name mms-300m-antideepfake
  earwitness models import AASIST.pth --name aasist
  earwitness models import ./wavlm-large --name wavlm-large
  earwitness models import pruned.ckpt --name pruned --heads 16
  earwitness scan --model mms-300m-antideepfake samples/
"""
AS_JSON = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]
HEADS = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Attention heads, where the width does not tell.")
]


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
    except (OSError, MemoryError, RecursionError) as error:  # where a full disk or a trap is met
        complain(f"{type(error).__name__}: {error}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(f"earwitness: interrupted; {stopped}", err=True)
        raise typer.Exit(130) from None


@models_app.command("import", epilog=IMPORT_HELP)
def models_import(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A checkpoint, or a folder of transformers.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="What to call it here.")],
    heads: HEADS = None,
    as_json: AS_JSON = False,
) -> None:
    """Make a model bundle of a released checkpoint."""
    with plain_errors():
        from earwitness.operations.models import run_import

        run_import(source, name, heads, as_json)


PULL_HELP = """\b
Nothing is installed unpinned: the SHA-256 comes from a table, or from you. What a stopped run had
fetched is kept; the same command goes on from there. $HF_ENDPOINT names another hub, $HF_TOKEN logs in.

\b
Examples:
  earwitness models pull mms-300m-anti-deepfake
  earwitness models pull xls-r-2b-anti-deepfake --sha256 HEX
  earwitness models pull owner/repo:model.json --revision COMMIT --sha256 HEX
"""


@models_app.command("pull", epilog=PULL_HELP)
def models_pull(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A known name, or OWNER/REPO[:FILE] on the hub."),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to call it here [default: the repository's].")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="The commit, 40 hexadecimal digits.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="What the file must be.")] = None,
    heads: HEADS = None,
    as_json: AS_JSON = False,
) -> None:
    """Fetch a released model and import it; or a bundle, as it is."""
    with plain_errors("the same command goes on from there"):
        from earwitness.operations.pull import run_pull

        run_pull(source, name, revision, sha256, heads, as_json)


@models_app.command("list")
def models_list(as_json: AS_JSON = False) -> None:
    """List the models on this machine."""
    with plain_errors():
        from earwitness.operations.models import run_list

        run_list(as_json)


@models_app.command("show")
def models_show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, or a bundle's folder.")],
    as_json: AS_JSON = False,
) -> None:
    """Show a model's card."""
    with plain_errors():
        from earwitness.operations.models import run_show

        run_show(model, as_json)


@models_app.command("export")
def models_export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, or a bundle's folder.")],
    as_json: AS_JSON = False,
) -> None:
    """Add an ONNX graph to a model, so that scanning with it needs no torch.

    Batch and length stay free. The graph is kept only if it agrees with torch to 0.001 on random
    audio, alone and in a batch. Scanning takes the graph wherever there is no GPU.
    """
    with plain_errors():
        from earwitness.operations.models import run_export

        run_export(model, as_json)


if __name__ == "__main__":
    app()
