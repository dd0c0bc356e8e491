"""Plots: what they show is what was computed, they hold for odd input, and are the same every time."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scipy import stats

from earwitness.errors import InputError
from earwitness.metrics.plots import draw_plots, legible, probit, save_plots

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(0)
GOOD = (RNG.normal(2, 1.5, 300), RNG.normal(-2, 1.5, 500))
BAD = (RNG.normal(0.5, 1, 300), RNG.normal(-0.5, 1, 500))


def texts(svg):
    return [
        " ".join("".join(node.itertext()).split())
        for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_every_plot_is_svg_with_its_axes_and_units():
    plots = draw_plots({"ours": GOOD, "theirs": BAD}, {"EER threshold": 0.1})
    assert list(plots) == ["det", "roc", "reliability", "scores"]
    for name, expected in {
        "det": "false alarms: spoofs accepted (%)",
        "roc": "bona fide accepted (%)",
        "reliability": "P(fake) by the scores, at even odds (%)",
        "scores": "score (nats where calibrated): higher is more bona fide",
    }.items():
        shown = texts(plots[name])
        assert expected in shown, name
        assert any("theirs" in text for text in shown)
    assert "EER threshold 0.10" in texts(plots["scores"])


def test_plots_are_the_same_every_time_and_load_nothing():
    first, second = (draw_plots({"ours": GOOD}) for _ in range(2))
    assert first == second
    for svg in first.values():
        assert b"<script" not in svg
        assert b"<image" not in svg
        assert b"url(http" not in svg


@pytest.mark.parametrize(
    "sides",
    [
        (np.zeros(3), np.zeros(4)),
        (np.array([1.0]), np.array([0.0])),
        (np.array([0.0]), np.array([1.0])),
        (np.array([1e9, 2e9]), np.array([-1e300, 5.0])),
    ],
    ids=["constant", "parted", "reversed", "vast"],
)
def test_odd_scores_are_drawn(sides):
    assert all(plot.startswith(b"\x89PNG") for plot in draw_plots({"odd": sides}, kind="png").values())


def test_empty_sides_are_refused():
    with pytest.raises(InputError, match="bona fide"):
        draw_plots({"empty": (np.zeros(0), np.zeros(3))})


@pytest.mark.parametrize("name", ["$x_1$ & <b>", "_hidden", "a\x1b[31m\nb", "x" * 300, ""])
def test_names_are_shown_as_they_are_and_cannot_harm(name):
    shown = texts(draw_plots({name: GOOD})["roc"])
    assert any(text.startswith(legible(name).replace("\\$", "$")[:19]) for text in shown)
    assert all(len(text) < 120 for text in shown)


def test_normal_deviates_are_those_of_scipy_half_a_trial_from_the_ends():
    rates = np.array([0, 0.01, 0.5, 0.99, 1])
    expected = stats.norm.ppf([1 / 400, 0.01, 0.5, 0.99, 1 - 1 / 400])
    assert probit(rates, 200) == pytest.approx(expected)


def test_files_are_written_into_a_folder_that_is_made(tmp_path):
    written = save_plots(tmp_path / "new" / "plots", {"ours": GOOD}, {})
    assert sorted(path.name for path in written) == sorted(
        f"{name}.{kind}" for name in ("det", "roc", "reliability", "scores") for kind in ("svg", "png")
    )
    assert all(path.stat().st_size > 1000 for path in written)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_plots(tmp_path / "file", {"ours": GOOD}, {})
