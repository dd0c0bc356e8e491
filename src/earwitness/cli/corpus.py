"""`earwitness corpus`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors

corpus_app = typer.Typer(
    help="Corpora of genuine and generated speech: prepare, check, describe, list.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
PROTOCOLS = Annotated[
    list[Path], typer.Argument(metavar="PROTOCOL...", help="CSVs of `earwitness corpus prepare`.")
]
LIST_HELP = """\b
Examples:
  earwitness corpus list
  earwitness corpus list --json | jq -r 'select(.licence == "CC-BY-4.0") | .name'
"""


@corpus_app.command("list", epilog=LIST_HELP)
def corpus_list(as_json: AS_JSON = False) -> None:
    """List the corpora whose files are understood, with licence and source."""
    with plain_errors():
        from earwitness.operations.corpus import run_list

        run_list(as_json)


PREPARE_HELP = """\b
NAME.csv is the protocol: a row a recording, in the order of the corpus. Beside it
  NAME.json          where the corpus is ($ROOT), licence, counts, digest
  NAME.left-out.csv  what the labels name and nobody can use, with the reason (exit code 1)
Recordings are looked into, and decoded only where their length is a guess otherwise. A run that was
stopped goes on where it was, and one on files that did not change takes seconds.

\b
--segment cuts each recording into FLAC files in NAME.segments/ at its own rate; the short last piece
stays. Pieces share source and group, so that no split parts them.

\b
Examples:
  earwitness corpus prepare asvspoof2019-la /data/LA --out protocols/asvspoof2019-la.csv
  earwitness corpus prepare deepfake-eval-2024 /data/DFEval2024 --segment 10
  earwitness corpus prepare folder ./mine          (mine/real/..., mine/fake/...)
  earwitness corpus prepare csv ./mine/labels.csv
"""


@corpus_app.command("prepare", epilog=PREPARE_HELP)
def corpus_prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A corpus of `earwitness corpus list`.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="The folder it was unpacked in.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Where the protocol goes [default: NAME.csv].")
    ] = None,
    segment: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Cut recordings into pieces of this length.")
    ] = None,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, max=256, help="Files at a time; 0 is one for each processor.")
    ] = 0,
    as_json: AS_JSON = False,
) -> None:
    """Write the protocol of a corpus: what its labels and the headers of its recordings say."""
    with plain_errors("the same command goes on from there"):
        from earwitness.operations.corpus import run_prepare

        code = run_prepare(name, root, out, segment, threads, as_json)
    raise typer.Exit(code)


CHECK_HELP = """\b
Looked for are missing and unreadable files, headers that contradict the protocol, duplicates by bytes
and by sound, and leaks: one recording, speaker, source, group or text on two sides of a split (column
Proportion; Fold where that says nothing), fakes made from test speakers or test recordings. The same
text, and the same name of a speaker in two data sets, are warnings only. Sound is compared by the MD5 in
FLAC headers, with --decode by all samples.

\b
Exit codes:
  0  no errors
  1  errors were found
  2  wrong usage, or a protocol that cannot be read

\b
Examples:
  earwitness corpus check demos.csv
  earwitness corpus check train.csv valid.csv test.csv --decode
  earwitness corpus check theirs.csv --root /data --json | jq '.findings[].kind'
"""


@corpus_app.command("check", epilog=CHECK_HELP)
def corpus_check(
    protocols: PROTOCOLS,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What $ROOT stands for, if not as prepared.")
    ] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every file to its end.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Find what is missing, damaged, double, or leaks from one split into another."""
    with plain_errors():
        from earwitness.operations.corpus_check import run_check

        code = run_check(protocols, root, decode, as_json)
    raise typer.Exit(code)


STATS_HELP = """\b
The shortcut probe asks whether level, silence, bandwidth, noise floor, clipping, length and format alone
tell genuine from fake: if so, a detector may learn them instead of the voice. It is trained and tested on
random splits, and on splits that keep groups (Group; else speaker, source) together.

\b
Examples:
  earwitness corpus stats demos.csv
  earwitness corpus stats train.csv test.csv --by generator --by language --probe 0
  earwitness corpus stats demos.csv --json --plot demos.png
"""


@corpus_app.command("stats", epilog=STATS_HELP)
def corpus_stats(
    protocols: PROTOCOLS,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Only this table: dataset, split, generator, family, language, rate, encoding or codec; "
            "may be given again.",
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it: a .png, .svg or .pdf.")] = None,
    probe: Annotated[
        int, typer.Option(metavar="N", min=0, help="Files of each class for the shortcut probe; 0: none.")
    ] = 1000,
    as_json: AS_JSON = False,
) -> None:
    """Hours, classes, generators, languages, rates; and what a detector could cheat by."""
    with plain_errors():
        from earwitness.operations.corpus_stats import run_stats

        run_stats(protocols, by or [], plot, probe, as_json)


SPLICE_HELP = """\b
OUT gets
  audio/             16 kHz mono FLAC
  protocol.csv       a row a file; fake stands for fake in part (and protocol.json)
  reference.rttm     which parts of each file are bonafide and which spoof
  manifest.jsonl     what each was made of: base, injector, spans in samples
  left-out.csv       what was not used, with the reason

\b
The defaults are those of Mix-Frame Post-Training: one segment of 10 to 30 % of the base, hard cuts, levels
as they are. Base and injector are of opposite class, of one split and one fold (of one group, where the
protocol has neither). --aligned takes each segment from the same place of another version of the same
utterance (column Source), so that the words go on through the cut; pairs that do not run in time are
refused and listed. Recordings that are fake in part already (Family edit) are left out.

\b
Exit codes:
  0  as many files as asked for
  1  fewer; left-out.csv says why
  2  wrong usage, or a protocol that cannot be read

\b
Examples:
  earwitness corpus splice demos.csv partial --count 500 --whole 0.2
  earwitness corpus splice demos.csv aligned --count 300 --aligned --fade-s 0.01
  earwitness corpus splice train.csv harder --count 9999 --segments 1 3 --match-level --codec 0.5 --base both
"""


@corpus_app.command("splice", epilog=SPLICE_HELP)
def corpus_splice(
    protocols: Annotated[
        list[Path],
        typer.Argument(
            metavar="PROTOCOL...",
            help="CSVs of `earwitness corpus prepare`: of both classes, or two lists.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, or an empty one.")],
    count: Annotated[int, typer.Option(metavar="N", help="Files to make.")],
    seed: Annotated[int, typer.Option(metavar="S", help="The same seed makes the same files.")] = 0,
    base: Annotated[
        str, typer.Option(metavar="CLASS", help="What is spliced into: real, fake or both.")
    ] = "real",
    aligned: Annotated[
        bool, typer.Option("--aligned", help="Segments from the same place of the same utterance.")
    ] = False,
    whole: Annotated[
        float, typer.Option(metavar="SHARE", help="Of the files: whole genuine ones, and as many fake ones.")
    ] = 0.0,
    share: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Of the base that is replaced, in all.")
    ] = (0.1, 0.3),
    segments: Annotated[
        tuple[int, int], typer.Option(metavar="LOW HIGH", help="How many segments share that.")
    ] = (1, 1),
    fade_s: Annotated[float, typer.Option(metavar="SECONDS", help="Cross-fade at each cut.")] = 0.0,
    match_level: Annotated[
        bool, typer.Option("--match-level", help="Give segments the level of what they replace.")
    ] = False,
    codec: Annotated[
        float, typer.Option(metavar="P", help="Probability of a lossy codec after splicing.")
    ] = 0.0,
    as_json: AS_JSON = False,
) -> None:
    """Make recordings that are fake in part, with the truth about which part."""
    with plain_errors(f"{out} is not complete; remove it"):
        from earwitness.audio.augment.mixing import Splicing
        from earwitness.operations.corpus_pairing import Request
        from earwitness.operations.corpus_splice import run_splice

        splicing = Splicing(share, segments, fade_s, match_level, codec)
        code = run_splice(protocols, out, Request(count, seed, base, aligned, whole, splicing), as_json)
    raise typer.Exit(code)


SYNTHESISE_HELP = """\b
OUT gets
  audio/             16 kHz mono FLAC
  protocol.csv       a row a file: each fake, and the genuine twin of every source (and protocol.json)
  manifest.jsonl     what each was made of: method, its settings, source, seed
  left-out.csv       what was not made, with the reason

\b
Methods:
  world, world-shift       WORLD as it is; with pitch and formants moved
  griffin-lim, phase       phases found for magnitudes (through mel bands or not); phases replaced
  lpc, sinusoidal          a filter with pulses, noise or part of the residual; harmonics and noise
  upsample                 images, checkerboards and tones of upsampling layers
  smooth, quantise         over-smoothed mel spectra; codebooks of a few bits
  enhance                  noise added and taken out
  stretch, pitch-shift     speed changed and changed back; pitch moved
  neural                   the vocoder of --vocoder FILE

Each file draws its own settings, so a method stands for many generators. Sources are the genuine rows, groups
by the square root of their size, crops of at most 15 s. Twin and fakes have one level, length, band, pause
and format. Rows keep group, fold, split, speaker and language; twin and fakes share Source. A run that was
stopped goes on with the same command; a larger --count adds to the folder.

\b
--vocoder takes an ONNX graph (.onnx), or TorchScript (.ts, .pt), from mel spectra to a waveform, with
FILE.json beside it: {"sample_rate": 16000, "n_fft": 1024, "hop": 160, "window": 640, "mels": 80, "fmin": 0,
"fmax": 8000} and, where they differ, "floor": 1e-5, "log": "ln", "scale": "slaney", "norm": "slaney",
"power": 1, "centre": true, "pad": "constant", "name". TorchScript is a program: name only files you trust.

\b
Exit codes:
  0  as many fakes as asked for
  1  fewer; left-out.csv says why
  2  wrong usage, or a protocol that cannot be read

\b
Examples:
  earwitness corpus synthesise demos.csv synth --count 5000
  earwitness corpus synthesise train.csv worlds --count 800 --method world --method world-shift --jobs 4
  earwitness corpus synthesise train.csv hifigan --count 500 --method neural --vocoder hifigan.onnx
"""


@corpus_app.command("synthesise", epilog=SYNTHESISE_HELP)
def corpus_synthesise(
    protocols: PROTOCOLS,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, or one to go on with.")],
    count: Annotated[int, typer.Option(metavar="N", help="Fakes to make, shared by the methods.")],
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this; may be given again [default: all without a file]."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="The same seed makes the same files.")] = 0,
    vocoder: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A vocoder, for the method neural.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=0, max=256, help="Processes; 0 is one for each processor.")
    ] = 0,
    as_json: AS_JSON = False,
) -> None:
    """Make fake speech of genuine speech: pairs in which only the artefacts of a generator differ."""
    with plain_errors("the same command goes on from there"):
        from earwitness.operations.corpus_copies import Request
        from earwitness.operations.corpus_synthesise import run_synthesise

        request = Request(count, tuple(method or ()), seed, vocoder)
        code = run_synthesise(protocols, out, request, jobs, as_json)
    raise typer.Exit(code)
