"""The model in a report: its name, how it was trained, and how often it errs, by its card."""

from collections.abc import Mapping
from typing import Any

from earwitness.evidence.report import Block, Points, Section, Table, Text
from earwitness.evidence.report_text import percent, plain
from earwitness.metrics.evaluation import bands

TITLES = {
    "genuine_recordings_called_fake": "genuine recordings called fake",
    "fake_recordings_called_genuine": "fake recordings called genuine",
    "fake_recordings_called_fake": "fake recordings called fake",
    "genuine_recordings_called_genuine": "genuine recordings called genuine",
    "genuine_recordings_called_uncertain": "genuine recordings called uncertain",
    "fake_recordings_called_uncertain": "fake recordings called uncertain",
    "eer": "equal error rate",
    "cllr_bit": "Cllr, bit (0 is perfect, 1 says nothing)",
    "min_cllr_bit": "Cllr after the best calibration, bit",
    "cllr": "Cllr, bit (0 is perfect, 1 says nothing)",
    "min_cllr": "Cllr after the best calibration, bit",
    "miss": "genuine recordings refused at the threshold",
    "false_alarm": "fakes accepted at the threshold",
}
NO_SHARES = ("cllr", "dcf", "auc", "f1")  # parts of names whose values are no shares
MOST_ROWS, MOST_LIMITS = 12, 8


def model_section(record: Mapping[str, Any], card: Mapping[str, Any] | None) -> Section:
    """The model that answered."""
    model = record["model"]
    rows = [
        ("name, version", f"{plain(model['name'], 80)}, {plain(model['version'], 40)}"),
        ("digest (SHA-256)", plain(model["digest"], 80)),
    ]
    if card is None:
        said = "The model's card is not at hand: how it was trained and how often it errs is not known here."
        return Section("The model", (Table("The model", (), (False, False), tuple(rows)), Text(said, "warn")))
    if isinstance(card.get("what"), str):
        rows.append(("what it is", plain(card["what"])))
    if trained := training(card):
        rows.append(("trained on", trained))
    if isinstance(card.get("calibration"), dict) and card["calibration"].get("fitted_on"):
        rows.append(("calibrated on", plain(card["calibration"]["fitted_on"])))
    if isinstance(card.get("thresholds_rule"), str):
        rows.append(("thresholds", plain(card["thresholds_rule"])))
    limits = [plain(line) for line in card.get("limits") or [] if isinstance(line, str)][:MOST_LIMITS]
    blocks: list[Block] = [Table("The model", (), (False, False), tuple(rows)), *error_blocks(record, card)]
    if limits:
        blocks += [Text("Limits that its makers state:", "plain"), Points(tuple(limits))]
    return Section("The model", tuple(blocks))


def training(card: Mapping[str, Any]) -> str:
    """What a card says of the training, in one line."""
    told = card.get("training")
    if not isinstance(told, dict):
        return ""
    words = {
        "genuine": "genuine recordings",
        "fake": "fake ones",
        "generators": "generators",
        "hours": "hours",
    }
    parts = [f"{told[key]:,} {word}" for key, word in words.items() if is_number(told.get(key))]
    if not parts and isinstance(told.get("what"), str):
        parts = [plain(told["what"])]
    return ", ".join(parts)


def error_blocks(record: Mapping[str, Any], card: Mapping[str, Any]) -> tuple[Block, ...]:
    """How often it errs: on recordings like this one where the card tells, and on all."""
    metrics = card.get("metrics")
    if not isinstance(metrics, dict):
        return (Text("The card holds no rates of error: nobody can say how often this model errs.", "warn"),)
    blocks: list[Block] = []
    for what, row in similar(record, metrics):
        caption = f"How often it errs on {what}"
        if rows := figure_rows(row):
            blocks.append(Table(caption, HEADS, (False, True, True), rows))
    if rows := figure_rows(metrics):
        blocks.append(Table("How often it errs on all test recordings", HEADS, (False, True, True), rows))
    answers = metrics.get("answers")
    if isinstance(answers, dict) and is_number(answers.get("share")) and is_number(answers.get("wrong")):
        said = f"It gives an answer (fake or genuine) to {percent(answers['share'])} of recordings; "
        blocks.append(Text(said + f"{percent(answers['wrong'])} of these answers were wrong."))
    if isinstance(metrics.get("split"), str):
        blocks.append(Text(f"How measured: {plain(metrics['split'])}.", "note"))
    return tuple(blocks)


HEADS = ("what", "value", "interval")


def similar(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Rows of a card's `subgroups` (as of `earwitness evaluate`) that hold recordings like this one."""
    duration_s = record["duration_s"]
    length = bands([duration_s])[0] if duration_s is not None else "-"
    own = {"codec": str(record["codec"] or "-").casefold(), "length": length}
    found = []
    for row in metrics.get("subgroups") or []:
        if not isinstance(row, dict) or row.get("by") not in own:
            continue
        name = str(row.get("name"))
        if name.casefold() == own[row["by"]] and name != "-":
            found.append((plain(f"recordings of like {row['by']}, {name}", 80), row))
    return found


def figure_rows(figures: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """A row for each figure with its interval; those that are known here first."""
    order = [*(name for name in TITLES if name in figures), *sorted(set(figures) - set(TITLES))]
    rows = []
    for name in order:
        one = figures[name]
        if not isinstance(one, dict) or not is_number(one.get("value")):
            continue
        shares = not any(part in name for part in NO_SHARES)
        ends = [one.get("low"), one.get("high")]
        interval = " to ".join(number(end, shares) for end in ends) if all(map(is_number, ends)) else ""
        title = TITLES.get(name, plain(name.replace("_", " "), 60))
        rows.append((title, number(one["value"], shares), interval))
    return tuple(rows[:MOST_ROWS])


def number(value: Any, share: bool) -> str:
    """A figure of a card."""
    return f"{100 * value:.1f} %" if share else f"{value:.3f}"


def is_number(value: Any) -> bool:
    """Whether a value of a card is a number of a sensible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
