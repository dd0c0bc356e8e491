"""Reports against published values, scikit-learn and scipy, and what a report must not hide."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from earwitness.errors import InputError
from earwitness.metrics.cautions import cautions
from earwitness.metrics.detection import Costs
from earwitness.metrics.evaluation import ORDER, Asv, Setup, bands, compare_systems, evaluate, group_codes
from earwitness.metrics.matching import match
from earwitness.metrics.reliability import ece, reliability_points, wilson
from earwitness.metrics.scores import read_scores
from earwitness.metrics.subgroups import subgroup_table

pl = pytest.importorskip("polars")

POINTS = Setup(draws=0)


def q(n, mean, deviation):
    """Evenly spread quantiles of a normal distribution, (n,)."""
    return stats.norm.ppf((np.arange(1, n + 1) - 0.5) / n, mean, deviation)


def frame_of(bona_fide, spoof, **columns):
    labels = np.repeat([1, 0], [len(bona_fide), len(spoof)]).astype(np.int8)
    return pl.DataFrame({"score": np.concatenate([bona_fide, spoof]), "label": labels, **columns})


def normal(n=400, seed=0, shift=1.0):
    """A frame of two normal classes whose scores are true log-likelihood ratios for shift 1."""
    rng = np.random.default_rng(seed)
    return frame_of(rng.normal(shift, 2**0.5, n), rng.normal(-shift, 2**0.5, n))


def value(report, name):
    return report["metrics"][name]["value"]


def test_golden_vectors_of_the_asvspoof_5_package():
    """Section 8.9 of the method notes: values of the official code on the same numbers."""
    report = evaluate(frame_of(q(1000, 2, 1), q(3000, -1, 1.5)), POINTS)
    for name, expected in {
        "eer_asvspoof": 0.115,
        "min_dcf": 0.2767,
        "act_dcf": 0.4132666667,
        "cllr": 0.500992695592331,
        "min_tdcf": 0.39263163700623654,
    }.items():
        assert value(report, name) == pytest.approx(expected, abs=1e-9), name
    assert report["thresholds"]["eer_asvspoof"] == pytest.approx(0.7992509704884343)
    assert report["thresholds"]["bayes"] == pytest.approx(-0.641854, abs=1e-6)


def test_golden_vectors_of_sasv_scores_and_tandem():
    target, other, spoof = q(1000, 3, 1), q(1000, -2, 1), q(1000, 0, 1.2)
    codes = np.repeat([1, 2, 0], 1000).astype(np.int8)
    frame = frame_of(np.concatenate([target, other]), spoof, asv_label=codes)
    frame = frame.with_columns(sasv_score="score", asv_score="score")
    report = evaluate(frame, POINTS, Asv(target, other, spoof))
    assert value(report, "a_dcf") == pytest.approx(0.18635630252100843, abs=1e-9)
    expected = stats.norm.sf([2.5, 2.5, 0.5 / 1.2])  # their EER threshold lies halfway, at 0.5
    found = [report["asv"][name] for name in ("p_fa", "p_miss", "p_fa_spoof")]
    assert found == pytest.approx(expected, abs=0.006)
    asv = Asv(q(400, 3, 1), q(400, -2, 1), q(400, 1, 1.2))
    cm = frame_of(np.tile(q(400, 2, 1), 2), q(400, -1, 1.5))
    assert value(evaluate(cm, POINTS, asv), "t_eer") == pytest.approx(0.11045, abs=1e-5)


@pytest.mark.parametrize("paired", [True, False])
def test_sasv_and_tandem_figures_have_intervals(paired):
    three = q(40, 2, 1.5), q(30, -1, 1.5), q(50, 0, 1.5)
    codes = np.repeat([1, 2, 0], [40, 30, 50]).astype(np.int8)
    frame = frame_of(np.concatenate(three[:2]), three[2], asv_label=codes)
    frame = frame.with_columns(sasv_score="score", asv_score=-pl.col("score").abs())
    asv = Asv(*(frame.filter(asv_label=code)["asv_score"].to_numpy() + 2 for code in (1, 2, 0)), paired)
    report = evaluate(frame, Setup(draws=400), asv)
    for name in ("a_dcf", "t_eer"):
        figure = report["metrics"][name]
        assert figure["low"] < figure["value"] < figure["high"], name


@pytest.mark.shared
def test_the_development_trials_of_asvspoof_5(shared):
    """Values of the official package, as reference/README.md lists them."""
    trials = match(read_scores(shared / "reference" / "asvspoof5_dev_scores.csv"), None)
    report = evaluate(trials.frame, POINTS)
    assert (report["bona_fide"], report["spoof"]) == (7_252, 22_296)
    for name, expected in {
        "eer_asvspoof": 0.00619732,
        "min_dcf": 0.0163198,
        "act_dcf": 0.0180242,
        "cllr": 0.0281906,
    }.items():
        assert value(report, name) == pytest.approx(expected, rel=3e-6), name
    even = evaluate(trials.frame, Setup(Costs(0.05, 1, 1), draws=0))
    assert value(even, "min_dcf") == pytest.approx(0.0768289, rel=3e-6)


def test_decisions_and_auc_are_those_of_scikit_learn():
    frame = normal()
    labels, scores = frame["label"].to_numpy(), frame["score"].to_numpy()
    report = evaluate(frame, Setup(threshold=0.3, draws=0))
    called = scores >= 0.3
    assert value(report, "auc") == pytest.approx(roc_auc_score(labels, scores))
    assert value(report, "accuracy") == pytest.approx(accuracy_score(labels, called))
    assert value(report, "f1_bona_fide") == pytest.approx(f1_score(labels, called))
    assert value(report, "f1_spoof") == pytest.approx(f1_score(labels, called, pos_label=0))


def test_keys_are_stable_and_fit_for_json():
    report = evaluate(normal(60), Setup(draws=400))
    assert list(report) == (
        "schema trials bona_fide spoof costs threshold thresholds intervals asv metrics".split()
    )
    assert list(report["metrics"]) == [name for name in ORDER if name not in ("a_dcf", "t_eer")]
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    for name, figure in report["metrics"].items():
        if name != "eer_asvspoof":
            assert figure["low"] <= figure["value"] <= figure["high"], name


def test_intervals_without_draws_are_absent_and_values_the_same():
    frame = normal(60)
    with_draws, without = evaluate(frame, Setup(draws=400)), evaluate(frame, POINTS)
    for name, figure in without["metrics"].items():
        assert (figure["low"], figure["high"]) == (None, None)
        assert figure["value"] == pytest.approx(value(with_draws, name), abs=1e-12)


def test_the_interval_of_a_class_that_makes_no_error_is_wilsons():
    report = evaluate(frame_of(np.arange(1.0, 31), -np.arange(1.0, 101)), Setup(draws=400))
    low, high = stats.binomtest(0, 30).proportion_ci(method="wilson")
    assert report["metrics"]["eer"] == {"value": 0, "low": low, "high": pytest.approx(high)}


@pytest.mark.parametrize(("count", "n"), [(0, 7), (3, 10), (50, 50), (1, 100_000)])
def test_wilson_is_that_of_scipy(count, n):
    found = stats.binomtest(count, n).proportion_ci(0.9, "wilson")
    assert wilson(count, n, 0.9) == pytest.approx(tuple(found), abs=1e-12)


def test_groups_of_alike_trials_widen_the_interval():
    frame = normal(25)
    copies = pl.concat([frame.with_columns(speaker=pl.int_range(pl.len()).cast(pl.String))] * 20)
    by_trial = evaluate(copies, Setup(draws=400))["metrics"]["auc"]
    by_speaker = evaluate(copies, Setup(groups="speaker", draws=400))
    once = evaluate(frame, Setup(draws=400))["metrics"]["auc"]
    widths = [f["high"] - f["low"] for f in (by_trial, by_speaker["metrics"]["auc"], once)]
    assert widths[1] == pytest.approx(widths[2], rel=0.25)
    assert widths[0] < widths[1] / 3  # sqrt(20) = 4.5 times as narrow
    assert by_speaker["intervals"]["groups"] == {"all": 50, "bona_fide": 25, "spoof": 25}


def test_unknown_groups_are_alone_and_data_sets_keep_names_apart():
    frame = pl.DataFrame(
        {"speaker": ["a", "-", "a", None, "a", "-"], "dataset": ["x", "x", "y", "x", "x", "x"]}
    )
    codes = group_codes(frame, "speaker")
    assert codes is not None
    assert codes[0] == codes[4]
    assert len(set(codes.tolist())) == 5
    with pytest.raises(InputError, match="--groups page"):
        group_codes(frame, "page")
    assert group_codes(frame, "utterance") is None


def test_one_class_only_is_refused():
    with pytest.raises(InputError, match="all 3 trials are bona fide"):
        evaluate(frame_of(np.arange(3.0), []), POINTS)


def test_comparison_is_the_difference_and_sure_only_where_it_is():
    frame = normal(300)
    rng = np.random.default_rng(1)
    worse = frame.with_columns(other=frame["score"].to_numpy() + rng.normal(0, 3, 600))
    found = compare_systems(worse, Setup(draws=400))
    first = evaluate(frame, POINTS)
    second = evaluate(worse.with_columns(score="other"), POINTS)
    for name, row in found.items():
        assert row["value"] == pytest.approx(value(second, name))
        assert row["difference"] == pytest.approx(value(first, name) - value(second, name))
    assert found["eer"]["high"] < 0
    assert found["eer"]["p_value"] < 0.05
    same = compare_systems(frame.with_columns(other=frame["score"] * 3 + 1), Setup(draws=400))
    assert (same["eer"]["difference"], same["eer"]["p_value"]) == (0, 1)
    assert compare_systems(worse, POINTS)["eer"]["low"] is None


def test_generators_are_set_against_the_bona_fide_of_their_data_set():
    """Two data sets; in each, its generator is as hard as the closed form of two normals says."""
    rng = np.random.default_rng(2)
    parts = []
    for dataset, shift in (("x", 0.5), ("y", 1.5)):
        part = frame_of(rng.normal(10 * shift + shift, 1, 4000), rng.normal(10 * shift - shift, 1, 4000))
        name = pl.when(pl.col("label") == 1).then(pl.lit("-")).otherwise(pl.lit(f"g-{dataset}"))
        parts.append(part.with_columns(name.alias("generator"), dataset=pl.lit(dataset)))
    rows, left_out = subgroup_table(pl.concat(parts), "generator", POINTS)
    assert [(row["name"], row["bona_fide"], row["spoof"]) for row in rows] == [
        ("g-x", 4000, 4000),
        ("g-y", 4000, 4000),
    ]
    for row, shift in zip(rows, (0.5, 1.5), strict=True):
        assert row["eer"]["value"] == pytest.approx(stats.norm.cdf(-shift), abs=0.015)
    assert left_out == 0


def test_other_columns_cut_both_classes_and_one_class_still_has_its_error_rate():
    frame = frame_of([1.0, 2, -3, 4], [-1.0, 5, -2, 6], language=["de", "de", "en", "en"] * 2)
    frame = pl.concat([frame, frame_of([], [1.0, -1, -1, -1], language=["fr"] * 4)], how="diagonal_relaxed")
    rows, _ = subgroup_table(frame, "language", POINTS)
    found = {row["name"]: row for row in rows}
    assert [row["name"] for row in rows][-1] == "fr"
    assert found["fr"]["eer"] is None
    assert found["fr"]["miss"] is None
    assert found["fr"]["false_alarm"]["value"] == 0.25
    assert (
        found["de"]["eer"]["value"]
        == evaluate(frame.filter(language="de"), POINTS)["metrics"]["eer"]["value"]
    )
    assert (found["en"]["miss"]["value"], found["en"]["false_alarm"]["value"]) == (0.5, 0.5)


def test_what_is_only_said_of_fakes_is_set_against_all_bona_fide():
    frame = frame_of([1.0, 2], [-1.0, 5, -2], family=["none", "none", "tts", "vc", "vc"])
    rows, _ = subgroup_table(frame, "family", POINTS)
    assert {(row["name"], row["bona_fide"], row["spoof"]) for row in rows} == {("tts", 2, 1), ("vc", 2, 2)}


def test_the_worst_part_comes_first_and_few_trials_come_behind_without_draws():
    easy, hard = normal(40, shift=3), normal(40, shift=0.2)
    few = frame_of([-1.0] * 3, [1.0] * 3)
    frame = pl.concat(
        part.with_columns(codec=pl.lit(name)) for name, part in (("easy", easy), ("few", few), ("hard", hard))
    )
    rows, _ = subgroup_table(frame, "codec", Setup(draws=400))
    assert [row["name"] for row in rows] == ["hard", "easy", "few"]
    assert rows[-1]["eer"] == {"value": 1, "low": None, "high": None}
    assert rows[0]["eer"]["low"] < rows[0]["eer"]["value"] < rows[0]["eer"]["high"]


def test_a_column_of_countless_texts_is_cut_off_and_counted():
    frame = normal(600).with_columns(speaker=pl.int_range(pl.len()).cast(pl.String))
    rows, left_out = subgroup_table(frame, "speaker", POINTS)
    assert (len(rows), left_out) == (200, 1000)
    with pytest.raises(InputError, match="--by codec"):
        subgroup_table(frame, "codec", POINTS)


def test_length_bands_hold_their_lower_edge():
    assert bands([0, 1.99, 2, 4, 29.9, 30, 1e9, None, -1.0]) == [
        *["under 2 s"] * 2,
        "2 to 4 s",
        "4 to 8 s",
        "16 to 30 s",
        *["30 s and more"] * 2,
        *["-"] * 2,
    ]


def test_reliability_and_ece_are_those_of_scikit_learn_where_classes_are_equal():
    frame = normal(4000)
    scores, label = frame["score"].to_numpy(), frame["label"].to_numpy()
    p_fake = 1 / (1 + np.exp(scores))
    observed, predicted = calibration_curve(1 - label, p_fake, n_bins=12)
    points = reliability_points(scores[label == 1], scores[label == 0])
    assert points[:, 0] == pytest.approx(predicted)
    assert points[:, 1] == pytest.approx(observed)
    assert points[:, 4].sum() == pytest.approx(1)
    assert ece(scores[label == 1], scores[label == 0]) < 0.02  # these are true log-likelihood ratios
    assert ece(3 * scores[label == 1], 3 * scores[label == 0]) > 0.1
    assert ece(np.full(5, 50.0), np.full(9, 50.0)) == pytest.approx(0.5)


def test_reliability_does_not_depend_on_how_many_trials_a_class_has():
    frame = normal(500)
    bona_fide = frame.filter(label=1)["score"].to_numpy()
    spoof = frame.filter(label=0)["score"].to_numpy()
    once, thrice = reliability_points(bona_fide, spoof), reliability_points(bona_fide, np.tile(spoof, 3))
    assert thrice[:, [0, 1, 4]] == pytest.approx(once[:, [0, 1, 4]])


def warned(frame, **setup):
    return " ".join(cautions(evaluate(frame, Setup(draws=0, **setup)), frame["score"].to_numpy()))


def test_good_scores_earn_no_warning():
    assert warned(normal(2000)) == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda frame: frame.with_columns(score=-pl.col("score")), "a higher score must mean bona fide"),
        (lambda frame: frame.head(2030), "Only 30 spoof trials"),
        (lambda frame: frame.with_columns(score=pl.col("score") + 4), "not calibrated"),
        (lambda frame: frame.with_columns(score=1 / (1 + (-pl.col("score")).exp())), "within 0 and 1"),
        (lambda frame: frame.with_columns(score=pl.col("score").clip(-2, 2)), "saturated"),
        (lambda frame: frame.with_columns(score=pl.col("score").sign()), "Ties matter"),
    ],
)
def test_what_a_careful_reader_would_say_is_said(change, expected):
    assert expected in warned(change(normal(2000)))


def test_few_errors_and_few_groups_are_said():
    assert "it takes 30" in warned(normal(200, shift=4))
    frame = normal(500).with_columns(speaker=pl.Series(["a"] * 500 + ["b", "c"] * 250))
    report = evaluate(frame, Setup(groups="speaker", draws=400))
    text = " ".join(cautions(report, frame["score"].to_numpy()))
    assert "All bona fide trials are of one speaker" in text
    assert "The spoof trials are of 2 groups (speaker)" in text
