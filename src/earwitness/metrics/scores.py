"""Score files and keys, read and written. A score is higher for bona fide speech.

Read are, told apart by what stands in them: ASVspoof 5 (`filename cm-score`; with `spk`,
`asv-score`, `sasv-score` for SASV), ASVspoof 2019 and 2021 (no header), AntiDeepfake
(`ID,Score,Label`, the score a list of two logits), any table with named columns, and what
`earwitness scan` writes (JSON lines, CSV). Keys are ASVspoof's of 2019, 2021 and 5, protocols in
AntiDeepfake's columns, any table with named columns, or the label column of the score file itself.
Sources: the evaluation packages of ASVspoof 2021 and ASVspoof 5; AntiDeepfake's `main.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earwitness.errors import InputError, needs_extra
from earwitness.metrics.records import RECORD, UNSCORED, read_records, starts_with_brace
from earwitness.metrics.tables import Sheet, explain, open_sheet

if TYPE_CHECKING:
    import polars as pl

ALIASES = {  # what a column is called elsewhere, the best name first
    name: tuple(others.split())
    for name, others in {
        "id": "filename trial_anon file_name file id utt_id utterance_id utterance utt trial_id trial path",
        "path": "path file_path filepath audio_path",
        "score": "llr cm_score score logit",
        "asv_score": "asv_score",
        "sasv_score": "sasv_score",
        "label": "cm_label label key class",
        "asv_label": "asv_label sasv_label",
        "claim": "spk tar_spk_anon",
        "generator": "generator attack attack_anon attack_label attack_id system",
        "speaker": "speaker speaker_id spk spk_id tar_spk_anon",
        "codec": "codec compression",
        "language": "language lang",
        "dataset": "dataset corpus",
        "duration": "duration duration_s",
        "split": "split proportion subset partition",
    }.items()
}
HEADERLESS = (
    "id score",  # ASVspoof 2019 and 2021
    "id generator label score",  # ASVspoof 2019, countermeasure
    "generator asv_label asv_score",  # ASVspoof 2019, speaker verification
    "id label",
    "speaker id environment generator label",  # ASVspoof 2019 protocols
    "speaker id codec transmission generator label trim split",  # trial_metadata.txt, 2021 LA
    "speaker id codec source generator label trim split family task team gender language",  # 2021 DF
    "speaker id room microphone distance attacker_room attacker_microphone attacker_distance "
    "attacker_to_talker label trim split",  # 2021 PA
    "speaker id gender codec codec_quality codec_seed attack_tag generator label other",  # ASVspoof 5
)
KNOWN = frozenset(name for names in ALIASES.values() for name in names)
LABELS = {
    **dict.fromkeys("bonafide bona-fide bona_fide genuine real human target nontarget 1 1.0".split(), 1),
    **dict.fromkeys("spoof spoofed fake deepfake 0 0.0".split(), 0),
}
ASV_LABELS = {"target": 1, "nontarget": 2, "spoof": 0}
ASV_LABELS |= {f"{code}{end}": code for code in (0, 1, 2) for end in ("", ".0")}
MAX_TEXT = 4096  # bytes of an id


@dataclass(frozen=True)
class Trials:
    """A score file, a key, or both in one.

    `frame` has some of: `id`, `path`, `claim` (the speaker claimed, in SASV), `score`, `asv_score`,
    `sasv_score` (float64; `score` is null where `unscored` says why), `label` (1 bona fide, 0 spoof),
    `asv_label` (1 target, 2 non-target, 0 spoof), `duration` (s) and what was asked for, as text.
    """

    file: Path
    frame: "pl.DataFrame"
    layout: str
    columns: tuple[str, ...]  # all that the file has, by its own names
    score_column: str | None = None

    def has(self, name: str) -> bool:
        """Whether `frame` has that column."""
        return name in self.frame.columns


def column_of(columns: Sequence[str], wanted: str) -> str | None:
    """The column that holds `wanted`, by its own name or one of its aliases."""
    names = ALIASES.get(wanted, (wanted.lower().replace("-", "_"),))
    return next((name for name in names if name in columns), None)


def read_scores(path: Path, want: Sequence[str] = (), raw: bool = False) -> Trials:
    """Read a score file.

    Args:
        path: the file, in any of the layouts above.
        want: more columns to keep, by alias or by their own names.
        raw: take the raw score of a scan, not the LLR.

    Raises:
        InputError: `not-found`; `bad-scores`, with the row: no layout known, a score that is no finite
            number, softmax probabilities, an id that is missing, too long or there twice.
    """
    trials = read_trials(path, want, raw)
    if any(map(trials.has, ("score", "asv_score", "sasv_score"))):
        return trials
    what = "no score"
    if trials.score_column:
        what = f"nothing in its column {trials.score_column}"
    elif raw and "llr" in trials.columns:
        what = "llr, which is calibrated already, and not the raw score that is needed here"
    elif "p_fake" in trials.columns:
        what = "p_fake, which ties; its llr or score is needed"
    raise InputError("bad-scores", f"{path}: holds {what}; found {', '.join(trials.columns)[:200]}")


def read_key(path: Path, want: Sequence[str] = ()) -> Trials:
    """Read a key.

    Raises:
        InputError: `not-found`; `bad-scores`, with the row: no layout known, a label that is none, an id
            that is missing, too long or there twice.
    """
    trials = read_trials(path, want)
    if not trials.has("label"):
        raise InputError("bad-scores", f"{path}: holds no labels; found {', '.join(trials.columns)[:200]}")
    return trials


def read_trials(path: Path, want: Sequence[str] = (), raw: bool = False) -> Trials:
    """Whatever of a score file or key is there; `read_scores` and `read_key` say what must be.

    Raises:
        InputError: as there.
    """
    with needs_extra("train"):
        import polars as pl
    path = Path(path)
    if starts_with_brace(path):
        column = "score" if raw else "llr"
        frame = read_records(path, column, want)
        check_unique(path, frame)
        return Trials(path, frame, "records of a scan", RECORD, column)
    sheet = open_sheet(path, KNOWN, HEADERLESS)
    columns = choose_columns(sheet, want, raw)
    try:
        frame = collect(sheet, columns)
    except (pl.exceptions.PolarsError, MemoryError) as error:
        raise explain(sheet, error) from None
    if not frame.height:
        raise InputError("bad-scores", f"{path}: a header and no rows")
    frame = frame.drop([name for name in ("score", *OPTIONAL) if is_blank(frame, name)])
    if "dataset" in want and "dataset" not in columns and "id" in columns:
        frame = frame.with_columns(dataset=pl.col("id").str.extract(PREFIX).fill_null("-"))
    layout = "named columns" if sheet.header else f"no header, {len(sheet.names)} columns"
    return Trials(path, frame, layout, sheet.names, columns.get("score"))


PREFIX = r"^([^-/]+)-"  # of an id: AntiDeepfake's name of the dataset
OPTIONAL = ("asv_score", "sasv_score", "asv_label")  # '-' throughout where they are absent


def is_blank(frame: "pl.DataFrame", name: str) -> bool:
    """Whether a column is there and holds nothing."""
    return name in frame.columns and frame[name].null_count() == frame.height


def choose_columns(sheet: Sheet, want: Sequence[str], raw: bool) -> dict[str, str]:
    """Which column of the file each column of ours is read from."""
    wanted = ("id", "path", "score", "label", *OPTIONAL, *want)
    columns = {name: found for name in wanted if (found := column_of(sheet.names, name))}
    if raw and columns.get("score") == "llr":
        others = [name for name in sheet.names if name != "llr"]
        columns["score"] = column_of(others, "score") or ""
    if any(name in columns for name in OPTIONAL) and (claim := column_of(sheet.names, "claim")):
        columns["claim"] = claim
    if "track_2_tag" in sheet.names:
        columns["track_2_tag"] = "track_2_tag"
    if "verdict" in sheet.names:
        columns["unscored"] = "verdict"
    return {name: column for name, column in columns.items() if column}


def collect(sheet: Sheet, columns: Mapping[str, str]) -> "pl.DataFrame":
    """Read the chosen columns, each as what it is, and check every row.

    Raises:
        InputError: `bad-scores`, with the row.
        polars.exceptions.PolarsError: the file is no table; `tables.explain` says where.
    """
    import polars as pl

    used = sorted(set(columns.values()))
    blank = pl.all_horizontal(pl.col(name).is_null() for name in used)
    rows = sheet.scan().select(used).with_row_index("row").filter(~blank)
    pair = "score" in columns and is_pair(sheet, columns["score"])
    made = {name: expression(name, pl.col(column), pair) for name, column in columns.items()}
    if "id" not in made:
        made["id"] = (pl.col("row") + 1).cast(pl.String)
    if "label" not in made and "asv_label" in made:
        made["label"] = (made["asv_label"] != 0).cast(pl.Int8)
    if "track_2_tag" in made:  # rows that the challenge does not score
        rows = rows.filter(pl.col("track_2_tag") != "dummy")
        del made["track_2_tag"]
    frame = rows.select(**made).collect(engine="streaming")
    for name, wrong in faults(frame).items():
        if frame.select(wrong.any()).item():
            first = rows.select("row", text=pl.col(columns[name]), **made).filter(wrong).head(1).collect()
            row, text = sheet.row_number(first["row"][0]), (first["text"][0] or "")[:60]
            raise InputError("bad-scores", f"{sheet.path}, row {row}: {FAULT[name].format(text)}")
    if pair and is_softmax(rows.select(pl.col(columns["score"])), columns["score"]):
        raise InputError(
            "bad-scores",
            f"{sheet.path}: the two values of each score sum to one: softmax probabilities tie and wreck "
            "every error rate; write the logits",
        )
    check_unique(sheet.path, frame)
    return frame


def is_pair(sheet: Sheet, column: str) -> bool:
    """Whether the score is a list of two logits, as AntiDeepfake writes it."""
    row = dict(zip(sheet.names, sheet.first, strict=False))
    return row.get(column, "").startswith("[")


def expression(name: str, column: "pl.Expr", pair: bool) -> "pl.Expr":
    """A column of text as what it means; null where it cannot be read."""
    import polars as pl

    column = column.str.strip_chars()
    if name == "score" and pair:
        fake, real = (half.cast(pl.Float64, strict=False) for half in halves(column))
        return (real - fake).fill_null(float("nan"))
    absent = column.is_null() | column.is_in(["", "-"])
    if name in ("score", "asv_score", "sasv_score"):
        return pl.when(~absent).then(column.cast(pl.Float64, strict=False).fill_null(float("nan")))
    if name == "duration":
        return column.cast(pl.Float64, strict=False)
    if name in ("label", "asv_label"):
        words = LABELS if name == "label" else ASV_LABELS
        codes = column.str.to_lowercase().replace_strict(words, default=-1, return_dtype=pl.Int8)
        return pl.when(~absent).then(codes)
    if name == "unscored":
        return pl.when(column.is_in(UNSCORED)).then(column)
    return column if name in ("id", "path") else column.fill_null("-")


def halves(column: "pl.Expr") -> tuple["pl.Expr", "pl.Expr"]:
    """The two texts of `[a, b]`."""
    pattern = r"^\[\s*([^\s,\[\]]+)[\s,]+([^\s,\[\]]+)\s*\]$"
    return column.str.extract(pattern, 1), column.str.extract(pattern, 2)


FAULT = {
    "id": "has no id, or one longer than 4,096 bytes",
    "score": "score {!r} is no finite number",
    "asv_score": "asv-score {!r} is no finite number",
    "sasv_score": "sasv-score {!r} is no finite number",
    "label": "label {!r} is neither bonafide nor spoof (nor real, genuine, fake, 1, 0)",
    "asv_label": "label {!r} is none of target, nontarget, spoof",
}


def faults(frame: "pl.DataFrame") -> dict[str, "pl.Expr"]:
    """For each column of a frame, what must not be."""
    import polars as pl

    wrong: dict[str, pl.Expr] = {}
    for name in FAULT:
        if name not in frame.columns or (name in ("score", *OPTIONAL) and is_blank(frame, name)):
            continue
        column = pl.col(name)
        wrong[name] = column.is_null()
        if name == "id":
            wrong[name] |= (column == "") | (column.str.len_bytes() > MAX_TEXT)
        elif name.endswith("label"):
            wrong[name] |= column < 0
        else:
            wrong[name] |= ~column.is_finite()
        if name == "score" and "unscored" in frame.columns:
            wrong[name] &= pl.col("unscored").is_null()
    return wrong


def is_softmax(rows: "pl.LazyFrame", column: str) -> bool:
    """Whether all pairs of values lie within 0 and 1 and sum to one."""
    import polars as pl

    first, second = (half.cast(pl.Float64) for half in halves(pl.col(column).str.strip_chars()))
    inside = first.is_between(0, 1) & second.is_between(0, 1) & ((first + second - 1).abs() < 1e-3)
    return bool(rows.select(inside.all()).collect(engine="streaming").item())


def check_unique(path: Path, frame: "pl.DataFrame") -> None:
    """Refuse an id (with its claimed speaker) that stands twice.

    Raises:
        InputError: `bad-scores`.
    """
    import polars as pl

    names = [name for name in ("claim", "id") if name in frame.columns]
    keys = frame.select(pl.concat_str(names, separator=" ").alias("id")) if names[1:] else frame.select("id")
    if keys["id"].n_unique() == frame.height:
        return
    repeated = keys.filter(pl.col("id").is_duplicated())["id"].unique(maintain_order=True)
    shown = ", ".join(repeated.head(3).to_list())
    raise InputError("bad-scores", f"{path}: {len(repeated):,} ids stand there more than once ({shown})")


def write_scores(
    path: Path,
    ids: Sequence[str],
    scores: np.ndarray,
    layout: str = "asvspoof5",
    bona_fide: np.ndarray | None = None,
) -> None:
    """Write scores (N,) of trials, whole or not at all, so that reading gives the same numbers.

    Args:
        path, ids, scores: where; one id a score; higher is more bona fide.
        layout: `asvspoof5` (TSV with header), `asvspoof2021` (no header), or `antideepfake` (CSV
            with two logits that differ by the score, and the label).
        bona_fide: (N,) booleans, for `antideepfake`.

    Raises:
        InputError: `bad-scores`: lengths differ, an id is unfit, a score is not finite, no labels;
            `unwritable`.
    """
    with needs_extra("train"):
        import polars as pl
    scores = np.asarray(scores, float)
    names = pl.Series("filename", ids, dtype=pl.String)
    if len(names) != len(scores) or not np.isfinite(scores).all():
        raise InputError("bad-scores", f"{path}: expected a finite score for each of {len(names)} ids")
    if layout == "antideepfake":
        if bona_fide is None:
            raise InputError("bad-scores", f"{path}: AntiDeepfake's layout holds labels; none were given")
        pairs = pl.Series([f"[{-score / 2!r}, {score / 2!r}]" for score in scores.tolist()])
        frame = pl.DataFrame({"ID": names, "Score": pairs, "Label": np.asarray(bona_fide, int)})
        save(path, frame, ",", True)
    else:
        separator = "\t" if layout == "asvspoof5" else " "
        save(path, pl.DataFrame({"filename": names, "cm-score": scores}), separator, layout == "asvspoof5")


def write_key(path: Path, ids: Sequence[str], bona_fide: np.ndarray) -> None:
    """Write labels (N,) of trials as a key of ASVspoof 5 (`filename cm-label`).

    Raises:
        InputError: `bad-scores`: lengths differ, or an id is unfit; `unwritable`.
    """
    with needs_extra("train"):
        import polars as pl
    words = pl.Series(np.where(np.asarray(bona_fide, bool), "bonafide", "spoof"), dtype=pl.String)
    names = pl.Series("filename", ids, dtype=pl.String)
    if len(names) != len(words):
        raise InputError("bad-scores", f"{path}: {len(names)} ids and {len(words)} labels")
    save(path, pl.DataFrame({"filename": names, "cm-label": words}), "\t", True)


def save(path: Path, frame: "pl.DataFrame", separator: str, header: bool) -> None:
    """Write a table beside its place and move it there.

    Raises:
        InputError: `bad-scores`: an id would break the table; `unwritable`.
    """
    unfit = (
        r"[\x00-\x1f]" if separator == "," else r"[\x00-\x1f]|^\s|\s$" + ("|[ ]" if separator == " " else "")
    )
    ids = frame.to_series(0)
    if ids.is_duplicated().any() or ids.str.contains(f"{unfit}|^$").any():
        raise InputError("bad-scores", f"{path}: an id is empty, there twice, or would break the table")
    part = path.with_name(f".{path.name}.part")
    try:
        quoting = "necessary" if separator == "," else "never"
        frame.write_csv(part, separator=separator, include_header=header, quote_style=quoting)
        part.replace(path)
    except OSError as error:
        raise InputError("unwritable", f"{path}: cannot be written: {error.strerror or error}") from None
