"""Drift, discovery and selection on pictures: tables that no recording stands behind."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from earwitness.cli import app
from earwitness.operations.samples import Samples, write_samples


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Pictures of digits as tables: 0 to 4 are genuine; development has no 7."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    folder, data = tmp_path_factory.mktemp("digits"), load_digits()
    pictures, names = data.data.astype(np.float32) / 16, data.target
    genuine = names < 5
    order = np.random.default_rng(0).permutation(len(names))
    half, rest = order[:900], order[900:]
    scorer = LogisticRegression(max_iter=2_000).fit(pictures[half[:300]], genuine[half[:300]])

    def table(name, rows, change=lambda x: x):
        shown = change(pictures[rows])
        columns = {
            "label": ["real" if g else "fake" for g in genuine[rows]],
            "generator": [
                "-" if g else f"digit-{n}" for g, n in zip(genuine[rows], names[rows], strict=True)
            ],
            "path": [f"picture-{i}.png" for i in rows],
        }
        write_samples(
            folder / f"{name}.csv",
            Samples([f"p{i}" for i in rows], scorer.decision_function(shown).astype(float), shown, columns),
        )

    table("development", half[300:][names[half[300:]] != 7])
    known = rest[names[rest] != 7]
    table("same", known[:150])
    table("blurred", known[150:300], lambda x: (x + np.roll(x, 1, 1) + np.roll(x, 8, 1)) / 3)
    table("with-sevens", np.concatenate([known[300:420], np.flatnonzero(names == 7)[:40]]))
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_drift_of_pictures(digits):
    reference = digits / "reference.npz"
    options = ("--window", 50, "--rate", 0.05, "--json")
    made = run("drift", "reference", digits / "development.csv", "--out", reference, *options)
    assert made.exit_code == 0, made.output
    assert set(json.loads(made.stdout)["views"]) == {"all", "fake", "genuine"}
    page = digits / "drift.html"
    assert run("drift", "check", digits / "same.csv", "--reference", reference).exit_code == 0
    found = run("drift", "check", digits / "blurred.csv", "--reference", reference, "--html", page, "--json")
    assert found.exit_code == 3, found.output
    assert json.loads(found.stdout)["drift"]
    assert "<script" not in page.read_text()
    watched = [
        run("drift", "watch", digits / f"{name}.csv", "--reference", reference, "--state", digits / name)
        for name in ("same", "blurred")
    ]
    assert [one.exit_code for one in watched] == [0, 3], [one.output for one in watched]
    assert (digits / "blurred" / "report.html").exists()


def test_selection_and_answers_of_pictures(digits):
    task = digits / "task.csv"
    chosen = run(
        "select", digits / "same.csv", "--labelled", digits / "development.csv", "--items", 12, "--out", task
    )
    assert chosen.exit_code == 0, chosen.output
    with task.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == 12
    with (digits / "same.csv").open(newline="") as file:
        margins = sorted(abs(float(row["score"])) for row in csv.DictReader(file))
    assert max(abs(float(row["score"])) for row in rows) <= margins[11] + 1e-3


def test_a_digit_that_nobody_knows_is_proposed(digits):
    found = run(
        "discover",
        "look",
        digits / "with-sevens.csv",
        "--known",
        digits / "development.csv",
        "--state",
        digits / "proposals.json",
        "--json",
    )
    assert found.exit_code == 0, found.output
    state = json.loads((digits / "proposals.json").read_text())
    members = [{member["path"] for member in one["members"]} for one in state["proposals"]]
    from sklearn.datasets import load_digits

    sevens = {f"picture-{i}.png" for i in np.flatnonzero(load_digits().target == 7)}
    assert any(len(group & sevens) >= 0.8 * len(group) and len(group & sevens) >= 20 for group in members)
