"""`earwitness evaluate`, `earwitness evaluate-spans` and `earwitness calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from earwitness.cli.common import AS_JSON, plain_errors

EVALUATE_HELP = """\b
Read are, told apart by what stands in them,
  scores  ASVspoof 5 and SASV (TSV), ASVspoof 2019 and 2021 (no header), AntiDeepfake (ID,Score,Label),
          any table with named columns, what `earwitness scan` writes (--json, --csv)
  keys    ASVspoof 5, 2021, 2019, protocols of `earwitness corpus prepare` and AntiDeepfake, any
          table with named columns; none is needed where the scores carry their labels
Higher scores mean bona fide. Scores and key must name the same trials.

\b
Exit codes:
  0  evaluated
  2  wrong usage, or files that cannot be used

\b
Examples:
  earwitness evaluate scores.tsv --key key.tsv
  earwitness evaluate scores.txt --key trial_metadata.txt --only split=eval --by generator,codec
  earwitness evaluate scan.jsonl --key protocol.csv --groups speaker --by generator,language,length
  earwitness evaluate ours.tsv --against theirs.tsv --key key.tsv --html report.html --plots plots/
  earwitness evaluate eval.tsv --key eval-key.tsv --threshold-from dev.tsv --dev-key dev-key.tsv
  earwitness evaluate sasv.tsv --key sasv-key.tsv --asv sasv.tsv --json
"""
SCORES = Annotated[Path, typer.Argument(metavar="SCORES", help="Scores of a detector.")]
KEY = Annotated[Path | None, typer.Option(metavar="FILE", help="Labels, and what else is known of trials.")]
ROOT = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Stands for $ROOT in the key [default: as it was prepared]."),
]
GROUPS = Annotated[
    str,
    typer.Option(metavar="COLUMN", help="Intervals by: utterance, speaker, generator, dataset, any column."),
]
PRIOR = Annotated[float | None, typer.Option(metavar="P", help="Share of fakes [default: 0.05, ASVspoof 5].")]
COSTS = Annotated[
    tuple[float, float] | None,
    typer.Option(metavar="MISS FA", help="Costs of a miss and of a false alarm [default: 1 10, ASVspoof 5]."),
]
ONLY = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN=TEXT,...", help="Keep these trials; may be repeated.")
]
MISSING = Annotated[
    bool, typer.Option("--allow-missing", help="Evaluate the trials that have both score and label.")
]
AGAINST = Annotated[
    Path | None, typer.Option(metavar="SCORES2", help="Compare with a second system, trial by trial.")
]
DEV_KEY = Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the development scores.")]
PLOTS = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write DET, ROC, reliability and score plots.")
]
ASV = Annotated[
    Path | None,
    typer.Option(metavar="SCORES", help="Speaker verification scores, for t-DCF and t-EER."),
]
BY = Annotated[
    str,
    typer.Option(metavar="COLUMNS", help="Tables by: generator, language, codec, dataset, length, ..."),
]

DRAWS = Annotated[
    int, typer.Option(metavar="N", min=0, max=100_000, help="Bootstrap draws; 0 for no intervals.")
]
SEED = Annotated[int, typer.Option(metavar="N", min=0, help="Of the draws.")]


def evaluate(
    scores: SCORES,
    key: KEY = None,
    against: AGAINST = None,
    groups: GROUPS = "utterance",
    by: BY = "",
    only: ONLY = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="T", help="Decide at this score [default: 0].")
    ] = None,
    threshold_from: Annotated[
        Path | None, typer.Option(metavar="SCORES", help="Decide at the EER threshold of development scores.")
    ] = None,
    dev_key: DEV_KEY = None,
    asv: ASV = None,
    prior: PRIOR = None,
    costs: COSTS = None,
    draws: DRAWS = 1_000,
    seed: SEED = 0,
    root: ROOT = None,
    allow_missing: MISSING = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one HTML page.")] = None,
    plots: PLOTS = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures as CSV.")] = None,
    as_json: AS_JSON = False,
) -> None:
    """Say how good the scores of a detector are: every metric, with intervals and warnings."""
    with plain_errors("nothing was written"):
        from earwitness.operations.evaluate import Request, costs_of, parse_only, run_evaluate

        request = Request(
            scores=scores,
            key=key,
            against=against,
            asv=asv,
            root=root,
            groups=groups,
            by=tuple(dict.fromkeys(name.strip() for name in by.split(",") if name.strip())),
            only=parse_only(only or []),
            threshold=threshold,
            threshold_from=threshold_from,
            dev_key=dev_key,
            costs=costs_of(prior, costs),
            draws=draws,
            seed=seed,
            allow_missing=allow_missing,
            html=html,
            plots=plots,
            csv=csv,
        )
        run_evaluate(request, as_json)


EVALUATE_SPANS_HELP = """\b
Read are the records of `earwitness scan --timeline --json`, and an RTTM with the parts of each recording:
  SPEAKER <recording> 1 <start> <duration> NA NA bonafide|spoof NA NA
What the RTTM does not name is bona fide. Recordings are matched by path, by file name, or by their ID in
the protocol. Steps of a timeline in which nobody speaks count as p(fake) 0, so edits of pauses are misses.

\b
Exit codes:
  0  evaluated
  2  wrong usage, or files that cannot be used

\b
Examples:
  earwitness scan --timeline --json spliced/audio/ > scan.jsonl
  earwitness evaluate-spans scan.jsonl --reference spliced/reference.rttm
  earwitness evaluate-spans scan.jsonl --reference r.rttm --protocol protocol.csv --groups group --json
"""


def evaluate_spans(
    records: Annotated[Path, typer.Argument(metavar="RECORDS", help="A scan with timelines, as JSON lines.")],
    reference: Annotated[Path, typer.Option(metavar="RTTM", help="Which parts are genuine and which not.")],
    protocol: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What else is known of the recordings, for --groups.")
    ] = None,
    groups: GROUPS = "utterance",
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", help="Call a segment fake from this p(fake) on [default: of the records]."),
    ] = None,
    draws: DRAWS = 1_000,
    seed: SEED = 0,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Evaluate recordings with both record and reference.")
    ] = False,
    as_json: AS_JSON = False,
) -> None:
    """Say how well fake parts are found: error rates of segments and seconds, overlap of spans, intervals."""
    with plain_errors("nothing was written"):
        from earwitness.operations.evaluate_spans import SpanRequest, run_evaluate_spans

        request = SpanRequest(records, reference, protocol, groups, threshold, draws, seed, allow_missing)
        run_evaluate_spans(request, as_json)


CALIBRATE_HELP = """\b
The scores are the model's raw ones, as `earwitness scan --json` writes them beside the LLR; take
recordings that the model was not trained on. What is fitted goes onto the model's card with the data
it comes from; what stood there before is kept.

\b
Exit codes:
  0  calibrated
  2  wrong usage, or a model or files that cannot be used

\b
Examples:
  earwitness scan --model mine corpus/ --json > raw.jsonl
  earwitness calibrate mine raw.jsonl --key corpus.csv --groups speaker --dry-run
  earwitness calibrate mine raw.jsonl --key corpus.csv --only split=valid
  earwitness calibrate ./bundle scores.tsv --key key.tsv --miss-rate 0.01 --false-alarm-rate 0.05
"""


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A bundle's folder, or a model's name.")],
    scores: SCORES,
    key: KEY = None,
    prior: Annotated[
        float, typer.Option(metavar="P", help="Share of fakes among what will be scanned.")
    ] = 0.5,
    miss_rate: Annotated[
        float, typer.Option(metavar="R", help="About this share of genuine recordings is called fake.")
    ] = 0.1,
    false_alarm_rate: Annotated[
        float, typer.Option(metavar="R", help="About this share of fakes is called genuine.")
    ] = 0.1,
    groups: GROUPS = "utterance",
    only: ONLY = None,
    root: ROOT = None,
    allow_missing: MISSING = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show, but write nothing.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Fit a model's log-likelihood ratios and thresholds to scored, labelled recordings."""
    with plain_errors("the model is as it was"):
        from earwitness.operations.calibrate import CalibrationOptions, run_calibrate
        from earwitness.operations.evaluate import parse_only

        options = CalibrationOptions(prior, miss_rate, false_alarm_rate, groups)
        chosen = dict(parse_only(only or []))
        run_calibrate(model, scores, key, root, chosen, options, allow_missing, dry_run, as_json)
