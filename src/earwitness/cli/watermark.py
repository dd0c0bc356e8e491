"""`earwitness watermark`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors
from earwitness.cli.watermark_card import CARD_HELP, card

watermark_app = typer.Typer(
    help="Mark recordings, and say of recordings who marked them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
FILES = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Files, folders, or '-' to read a list of paths from stdin."),
]
INSIDE = "timbre"  # the one that ships
SCHEME = Annotated[
    str,
    typer.Option(metavar="NAME", help="One of `earwitness watermark list`, or the folder of a watermark."),
]
THREADS = Annotated[
    int, typer.Option(metavar="N", min=0, max=256, help="Of the networks; 0 is one for each processor.")
]
EMBED_HELP = """\b
Copies keep rate, channels, length and, of WAV and FLAC, bits; peaks do not grow. They are WAV, or FLAC where
the source is, or as the suffix of --out says. Tags are not copied.

\b
Exit codes:
  0  every copy was written
  1  some could not be (each has its record)
  2  wrong usage, or a watermark that cannot be used

\b
Examples:
  earwitness watermark embed reading.wav --as kokoro --out marked.wav
  earwitness watermark embed outbox/ --as kokoro --out marked/
  earwitness watermark embed reading.mp3 --scheme perth --out marked.flac
  earwitness watermark embed reading.wav --scheme audioseal --as 0110100110010110 --out marked.wav
"""


@watermark_app.command("embed", epilog=EMBED_HELP)
def watermark_embed(
    paths: FILES,
    out: Annotated[
        Path, typer.Option(metavar="PATH", help="A folder, or for one recording a .wav or .flac.")
    ],
    who: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Whom the mark names; bits, where it has no names."),
    ] = None,
    scheme: SCHEME = INSIDE,
    strength: Annotated[
        float, typer.Option(metavar="X", help="Factor on what is added, 0 to 10; 0 adds nothing.")
    ] = 1.0,
    force: Annotated[bool, typer.Option("--force", help="Write over copies that are there.")] = False,
    threads: THREADS = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, one record a file.")] = False,
) -> None:
    """Write marked copies of recordings."""
    with plain_errors("copies that were written stand"):
        from earwitness.operations.watermark import run_embed

        raise typer.Exit(run_embed(paths, scheme, who, strength, out, force, as_json, threads))


DETECT_HELP = """\b
A watermark says who marked a recording, not that it is fake: anybody can mark genuine speech. That none was
found says nothing. Chance is that of so high a score in a recording without a mark.

\b
Exit codes:
  0  every file was answered
  1  some files could not be read (each has its record)
  2  wrong usage, or a watermark that cannot be used

\b
Examples:
  earwitness watermark detect suspect.m4a
  earwitness watermark detect inbox/ --json > marks.jsonl
  earwitness watermark detect suspect.wav --scheme perth
"""


@watermark_app.command("detect", epilog=DETECT_HELP)
def watermark_detect(
    paths: FILES,
    scheme: SCHEME = INSIDE,
    threads: THREADS = 0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, one record a file.")] = False,
) -> None:
    """Say whether recordings are marked, where, and whom the marks name."""
    with plain_errors("what was said stands"):
        from earwitness.operations.watermark import run_detect

        raise typer.Exit(run_detect(paths, scheme, as_json, threads))


@watermark_app.command("list")
def watermark_list(as_json: AS_JSON = False) -> None:
    """Show which watermarks are at hand, and what the others need."""
    with plain_errors():
        from earwitness.operations.watermark import run_list

        run_list(as_json)


watermark_app.command("card", epilog=CARD_HELP)(card)
