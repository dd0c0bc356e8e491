"""Tasks for people who label, and their answers: CSV for a spreadsheet, JSON for Label Studio.

Label Studio's formats are those of its guide (labelstud.io/guide/tasks, /guide/task_format, /guide/export)
and of its converter. JSON-MIN and its CSV put their own number of a task into `id`, whatever the task's data
holds there: our id is `item`. Its CSV lets the task's data win over answers of the same name: none of our
data is called `label`, `generator` or `note`.
"""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from earwitness.errors import InputError
from earwitness.operations.samples import LABELS, Samples

UNUSABLE = "unusable"
NAMES = {1: "real", 0: "fake", -1: "-"}
ANSWERED = ("label", "generator", "note")
FACTS = ("path", "duration_s", "source")
COLUMNS = ("id", "path", "score", "duration_s", "source", *ANSWERED, "why")
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # a cell that a spreadsheet computes, or one quoted by `harmless`
URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
LARGEST = 1 << 30  # bytes of answers
ITEM_KEYS = ("item", "id")  # which column of a table says what an answer is about; ours has `id` alone
CONFIG = """\
<View>
  <Audio name="audio" value="$audio"/>
  <Choices name="label" toName="audio" choice="single" showInline="true" required="true">
    <Choice value="real"/>
    <Choice value="fake"/>
    <Choice value="unusable"/>
  </Choices>
  <TextArea name="generator" toName="audio" maxSubmissions="1" placeholder="What made it, if fake and known"/>
  <TextArea name="note" toName="audio" maxSubmissions="1" placeholder="Note"/>
</View>
"""


@dataclass(frozen=True)
class Answer:
    """What a person said of an item."""

    label: int  # 1 bona fide, 0 spoof, -1 heard and unusable
    generator: str = ""
    note: str = ""


def labelling_config() -> str:
    """Label Studio's labelling interface for tasks of `write_task`, XML.

    The score is not shown: who sees it labels after it.
    """
    return CONFIG


def write_task(pool: Samples, rows: Sequence[int], path: Path, why: str) -> None:
    """Write a task, whole or not at all.

    Args:
        pool: where the items come from.
        rows: which of them, in the order in which they are to be labelled.
        path: `.csv` for a spreadsheet, with `label`, `generator` and `note` to be filled in; `.json` for
            Label Studio, and beside it the labelling interface as `.xml`. Nothing is overwritten: a task
            that is there may hold answers.
        why: by what they were chosen.

    Raises:
        InputError: `usage`: another kind of file, or Label Studio without a column `path`; `task-exists`;
            `unwritable`.
    """
    items = pool.take(rows)
    if path.suffix.lower() == ".csv":
        files = {path: "\ufeff" + csv_text(items, why)}  # the mark makes a spreadsheet read it as UTF-8
    elif path.suffix.lower() == ".json":
        if "-" in items.column("path"):
            raise InputError(
                "usage", "Label Studio needs a path in the column path of each item; or write a .csv"
            )
        tasks = [{"data": data} for data in task_data(items, why)]
        files = {path: json.dumps(tasks, indent=1) + "\n", path.with_suffix(".xml"): labelling_config()}
    else:
        raise InputError("usage", f"{path}: a task is a .csv or, for Label Studio, a .json")
    for file in files:
        if file.exists():
            raise InputError(
                "task-exists", f"{file}: is there already and may hold answers; choose another name"
            )
    for file, text in files.items():
        write_whole(file, text)


def write_whole(path: Path, text: str) -> None:
    """Raises InputError `unwritable`; never leaves half a file."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text.encode())
        part.replace(path)
    except (OSError, ValueError) as error:
        raise InputError("unwritable", f"{path}: cannot be written: {error}") from None
    finally:
        with suppress(OSError):  # where its folder is none
            part.unlink(missing_ok=True)


def facts(items: Samples) -> Iterator[tuple[str, float, str, str, str]]:
    """Id, score, path, duration and source of each, empty where not known."""
    kept = [["" if cell == "-" else cell for cell in items.column(name)] for name in FACTS]
    yield from zip(items.ids, items.scores.tolist(), *kept, strict=True)


def csv_text(items: Samples, why: str) -> str:
    """The table of a task, its answers empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for key, score, path, seconds, source in facts(items):
        key, path, seconds, source, reason = map(harmless, (key, path, seconds, source, why))
        writer.writerow(
            [key, path, f"{score:.4f}", seconds, source, "", "", "", reason]
        )  # -1.5 is no formula
    return text.getvalue()


def task_data(items: Samples, why: str) -> Iterator[dict[str, Any]]:
    """What Label Studio is given of each item."""
    for key, score, path, seconds, source in facts(items):
        data = {"audio": address(path), "item": key, "score": round(score, 4)}
        yield {**data, "path": path, "duration_s": seconds, "source": source, "why": why}


def address(path: str) -> str:
    """Where Label Studio finds a file: a URL as it is, a path by its local file storage.

    That serves what lies under LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT: `/` for absolute paths, for others
    the folder that they are counted from.
    """
    return (
        path
        if URL.match(path)
        else "/data/local-files/?d=" + quote(path.lstrip("/"), errors="surrogateescape")
    )


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; `unharmed` gives it back."""
    return "'" + cell if FORMULA.match(cell) else cell


def unharmed(cell: str) -> str:
    """What `harmless` was given."""
    return cell[1:] if cell[:1] == "'" and FORMULA.match(cell) else cell


def read_answers(path: Path) -> tuple[dict[str, Answer], list[str]]:
    """Answers by id, and the ids to which several people gave contrary ones.

    Our CSV filled in (with commas, semicolons or tabs, as spreadsheets save it), or Label Studio's export as
    JSON, JSON-MIN, CSV or TSV. What has no label is left out, and so are contrary answers; of answers that
    differ in the generator alone the generator is left out.

    Raises:
        InputError: `bad-answers`: the file cannot be read, or a row's label is none.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError("bad-answers", f"{path}: is larger than {LARGEST >> 30} GiB")
        text = path.read_bytes().decode("utf-8-sig")
        rows = list(json_answers(text) if path.suffix.lower() == ".json" else csv_answers(text))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise InputError(
            "bad-answers", f"{path}: cannot be read as a task with answers, in UTF-8: {str(error)[:120]}"
        ) from None
    given: dict[str, list[Answer]] = defaultdict(list)
    for place, key, cells in rows:
        text = cells["label"].strip().lower()
        if text not in LABELS and text != UNUSABLE:
            raise InputError(
                "bad-answers",
                f"{path}: {place}: no label is called {cells['label'][:40]!r}; real, fake or {UNUSABLE}",
            )
        if text == UNUSABLE or LABELS[text] >= 0:
            given[key].append(Answer(LABELS.get(text, -1), cells["generator"].strip(), cells["note"].strip()))
    contrary = [key for key, said in given.items() if len({one.label for one in said}) > 1]
    return {key: agreed(said) for key, said in given.items() if key not in set(contrary)}, contrary


Row = tuple[str, str, Mapping[str, str]]  # where it stands, the item's id, the cells of ANSWERED


def csv_answers(text: str) -> Iterator[Row]:
    """Rows of our table, or of Label Studio's.

    Raises:
        ValueError: it is none.
    """
    head = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    names = [name.strip().lower() for name in next(reader, [])]
    key = next((name for name in ITEM_KEYS if name in names), "")
    if not key or "label" not in names:
        raise ValueError("the columns id (or item) and label are expected")
    for number, cells in enumerate(reader, 2):
        if len(cells) > len(names):
            raise ValueError(f"row {number} has {len(cells)} cells, the head {len(names)}")
        if key == "id":  # a task of ours
            cells = [unharmed(cell) for cell in cells]
        row = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))  # empty ends may be cut off
        if row["label"] and not row[key]:
            raise ValueError(f"row {number} has a label and no {key}")
        if not cancelled(row):
            yield f"row {number}", row[key], {name: row.get(name, "") for name in ANSWERED}


def cancelled(answer: Mapping[str, Any]) -> bool:
    """Whether the annotator skipped it."""
    return str(answer.get("was_cancelled", "")).lower() in ("true", "1")


def json_answers(text: str) -> Iterator[Row]:
    """Of Label Studio: JSON, where a task has annotations, or JSON-MIN, where each annotation is an item.

    Raises:
        ValueError: it is neither.
    """
    for number, task in enumerate(mappings(json.loads(text)), 1):
        data = task.get("data", task)
        if not isinstance(data, dict) or not isinstance(data.get("item"), str):
            raise ValueError(f"task {number} has no item, as tasks of `earwitness select` have")
        if "annotations" not in task:
            said = [task]
        else:
            said = [{**one, **results(one)} for one in mappings(task["annotations"])]
        for one in said:
            if not cancelled(one):
                yield f"task {number}", data["item"], {name: plain(one.get(name)) for name in ANSWERED}


def mappings(value: Any) -> list[dict[str, Any]]:
    """A list of objects.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError("a list of objects is expected for tasks, annotations and results")
    return value


def results(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Values of an annotation by the name of the control."""
    return {str(one.get("from_name")): one.get("value") for one in mappings(annotation.get("result"))}


def plain(value: Any) -> str:
    """A choice or a text of Label Studio: a string, a list of them, or an object that holds such."""
    if isinstance(value, Mapping):
        value = value.get("choices", value.get("text"))
    if isinstance(value, list):
        return " ".join(plain(one) for one in value)
    return value if isinstance(value, str) else ""


def agreed(said: Sequence[Answer]) -> Answer:
    """One answer of several with one label."""
    generators = {one.generator for one in said} - {""}
    notes = dict.fromkeys(one.note for one in said if one.note)
    return Answer(said[0].label, generators.pop() if len(generators) == 1 else "", "; ".join(notes))


def label_samples(pool: Samples, answers: Mapping[str, Answer]) -> Samples:
    """The answered items of a pool, with the columns `label`, `generator` and `note`, in the pool's order.

    What is unusable stays among them with the label '-': it was labelled, and is not chosen again.
    """
    found = pool.take([i for i, key in enumerate(pool.ids) if key in answers])
    said = [answers[key] for key in found.ids]
    columns = {
        "label": [NAMES[one.label] for one in said],
        "generator": [one.generator or "-" for one in said],
        "note": [one.note or (UNUSABLE if one.label < 0 else "-") for one in said],
    }
    return Samples(found.ids, found.scores, found.embeddings, {**found.columns, **columns})
