"""`earwitness models`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors

models_app = typer.Typer(
    help="The models on this machine: import, pull, list, show, tune, export.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
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
HEADS = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Attention heads, where the width does not tell.")
]


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


TUNE_HELP = """\b
What passes is what `--engine auto` takes from then on, here only: the result stands beside the models of
this machine and counts until its processor or an engine's version changes.

\b
Examples:
  earwitness models tune --protocol labelled.csv
  earwitness models tune mms-300m-antideepfake --protocol labelled.csv
  earwitness models tune mms-300m-antideepfake recordings/
"""


@models_app.command("tune", epilog=TUNE_HELP)
def models_tune(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name of `models list`, or a bundle's folder.")
    ] = "embedded",
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Real speech, without labels: files, or folders."),
    ] = None,
    protocol: Annotated[
        list[Path] | None,
        typer.Option(metavar="CSV", help="Recordings with labels (may be repeated); 8 bits pass only so."),
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Try the engines on real speech: how fast they are, and whether they say the same."""
    with plain_errors():
        from earwitness.operations.tune import run_tune

        run_tune(model, recordings or [], protocol or [], as_json)


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
