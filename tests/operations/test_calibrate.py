"""Calibration of a bundle: the map is the true one, figures are held out, the card keeps everything."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression

from earwitness.decision.bundle import EMBEDDED, read_card
from earwitness.decision.calibration import posterior_of_fake
from earwitness.errors import InputError, ModelError
from earwitness.metrics.detection import cllr
from earwitness.operations.calibrate import (
    CalibrationOptions,
    Data,
    calibrate,
    fit,
    run_calibrate,
    spread_over_folds,
    transferred,
)

pytest.importorskip("polars")

FEW_DRAWS = CalibrationOptions(draws=400)


def llrs(n, mean=1.0):
    """Evenly spread true log-likelihood ratios (bona fide, spoof), (n,) each: N(+-mean, 2 mean)."""
    return tuple(stats.norm.ppf((np.arange(n) + 0.5) / n, m, np.sqrt(2 * mean)) for m in (mean, -mean))


def data_of(bona_fide, spoof, groups=None):
    labels = np.repeat([True, False], [len(bona_fide), len(spoof)])
    return Data(np.concatenate([bona_fide, spoof]), labels, groups)


@pytest.fixture
def bundle(tmp_path):
    """A copy of the embedded model that is not calibrated."""
    folder = tmp_path / "mine"
    shutil.copytree(EMBEDDED, folder)
    card = json.loads((folder / "model.json").read_text())
    card |= {"name": "mine", "calibration": None, "thresholds": {"fake": 0.9, "genuine": 0.1}}
    (folder / "model.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def table(tmp_path):
    """Write raw scores whose true LLR is 2 score - 1, and give the file."""

    def table(n=200, column="score", turn=1, extra=""):
        bona_fide, spoof = ((side + 1) / 2 * turn for side in llrs(n))
        rows = [f"g{i},{x!r},genuine{extra}" for i, x in enumerate(bona_fide.tolist())]
        rows += [f"f{i},{x!r},fake{extra}" for i, x in enumerate(spoof.tolist())]
        path = tmp_path / "scores.csv"
        head = f"id,{column},label" + (",model_digest" if extra else "")
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    return table


def run(folder, scores, options=FEW_DRAWS, dry_run=False):
    run_calibrate(str(folder), scores, None, None, {}, options, False, dry_run, True)


def test_the_map_is_the_true_one_and_that_of_a_logistic_regression():
    bona_fide, spoof = ((side + 1) / 2 for side in llrs(2000))
    clip, _ = fit(bona_fide, spoof, CalibrationOptions())
    assert (clip.scale, clip.offset) == pytest.approx((2, -1), abs=0.01)
    scores = np.concatenate([bona_fide, spoof[::4]])
    labels = np.repeat([1, 0], [2000, 500])
    reference = LogisticRegression(C=1e9, class_weight="balanced", tol=1e-8).fit(scores[:, None], labels)
    clip, _ = fit(bona_fide, spoof[::4], CalibrationOptions())
    expected = reference.coef_[0, 0], reference.intercept_[0]
    assert (clip.scale, clip.offset) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("prior", [0.5, 0.01])
@pytest.mark.parametrize(("miss", "false_alarm"), [(0.1, 0.1), (0.02, 0.2)])
def test_thresholds_keep_the_stated_rates_at_the_stated_prior(prior, miss, false_alarm):
    bona_fide, spoof = llrs(1000)
    options = CalibrationOptions(prior, miss, false_alarm)
    clip, thresholds = fit(bona_fide, spoof, options)
    assert thresholds.genuine < thresholds.fake
    p_fake = [np.asarray(posterior_of_fake(clip.apply(side), prior)) for side in (bona_fide, spoof)]
    assert np.mean(p_fake[0] >= thresholds.fake) == pytest.approx(miss, abs=0.002)
    assert np.mean(p_fake[1] <= thresholds.genuine) == pytest.approx(false_alarm, abs=0.002)


def test_thresholds_of_a_good_model_do_not_cross_but_meet():
    bona_fide, spoof = llrs(1000, mean=8.0)
    clip, thresholds = fit(bona_fide, spoof, CalibrationOptions())
    assert thresholds.genuine == thresholds.fake
    p_fake = [np.asarray(posterior_of_fake(clip.apply(side), 0.5)) for side in (bona_fide, spoof)]
    rates = np.mean(p_fake[0] >= thresholds.fake), np.mean(p_fake[1] <= thresholds.genuine)
    assert rates == pytest.approx((stats.norm.sf(2), stats.norm.sf(2)), abs=0.003)


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.booleans(), min_size=8, max_size=60),
    names=st.integers(2, 12),
    seed=st.integers(0, 5),
)
def test_no_group_stands_in_two_folds_and_training_has_both_classes(labels, names, seed):
    bona_fide = np.array([*labels, True, False, True, False])
    groups = np.random.default_rng(seed).integers(0, names, len(bona_fide))
    groups[-4:] = names + np.arange(4)  # at least two groups of either class
    folds = spread_over_folds(Data(np.zeros(len(groups)), bona_fide, groups), seed)
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1
    for fold in range(folds.max() + 1):
        assert len(set(bona_fide[folds != fold])) == 2


def test_figures_come_from_trials_that_were_held_out():
    """Each group has its own shift: what is fitted elsewhere does worse than what is fitted here."""
    rng = np.random.default_rng(0)
    groups = np.tile(np.arange(10), 40)
    labels = np.repeat([True, False], 200)
    scores = rng.normal(np.where(labels, 1, -1), 1) + rng.normal(0, 2, 10)[groups]
    data = Data(scores, labels, groups)
    folds = spread_over_folds(data, 0)
    llr, verdicts = transferred(data, folds, CalibrationOptions())
    clip, _ = fit(scores[labels], scores[~labels], CalibrationOptions())
    inside = clip.apply(scores)
    assert cllr(llr[labels], llr[~labels]) > cllr(inside[labels], inside[~labels])
    for fold in range(5):
        here = folds == fold
        clip, thresholds = fit(scores[~here & labels], scores[~here & ~labels], CalibrationOptions())
        assert llr[here] == pytest.approx(clip.apply(scores[here]))
        p_fake = posterior_of_fake(llr[here], 0.5)
        assert ((verdicts[here] == "fake") == (p_fake >= thresholds.fake)).all()


def test_figures_before_and_after_say_what_was_gained(bundle):
    bona_fide, spoof = ((side + 1) / 2 for side in llrs(300))
    found = calibrate(data_of(bona_fide, spoof), FEW_DRAWS, read_card(bundle))
    before, after = found["figures"]["before"], found["figures"]["after"]
    assert before["cllr"]["value"] == pytest.approx(cllr(bona_fide, spoof))
    assert after["cllr"]["value"] == pytest.approx(cllr(*llrs(300)), abs=0.01)
    assert after["ece"]["value"] < before["ece"]["value"]
    called = found["figures"]["called"]
    assert sum(called[f"spoof_{verdict}"]["value"] for verdict in ("fake", "uncertain", "genuine")) == 1
    assert called["bona_fide_fake"]["value"] == pytest.approx(0.1, abs=0.03)


def test_the_card_gets_map_thresholds_and_data_and_keeps_the_old(bundle, table, capsys):
    scores = table()
    run(bundle, scores)
    said = json.loads(capsys.readouterr().out)
    first = read_card(bundle)
    assert first["calibration"]["clip"] == pytest.approx({"scale": 2, "offset": -1}, abs=0.05)
    assert first["calibration"]["timeline"] == first["calibration"]["clip"]
    assert said["clip"] == first["calibration"]["clip"]
    fitted_on = first["calibration"]["fitted_on"]
    assert fitted_on["scores"] == {
        "file": "scores.csv",
        "sha256": hashlib.sha256(scores.read_bytes()).hexdigest(),
    }
    assert (fitted_on["bona_fide"], fitted_on["spoof"], fitted_on["groups"]) == (200, 200, 400)
    assert first["calibration_history"] == [
        {
            "calibration": None,
            "thresholds": {"fake": 0.9, "genuine": 0.1},
            "thresholds_rule": first["calibration_history"][0]["thresholds_rule"],
            "replaced": fitted_on["when"],
        }
    ]
    run(bundle, scores, CalibrationOptions(prior=0.2, draws=400))
    second = read_card(bundle)
    assert second["calibration_history"][1]["calibration"] == first["calibration"]
    assert second["calibration_history"][1]["thresholds"] == first["thresholds"]
    assert second["thresholds"]["fake"] < first["thresholds"]["fake"]
    assert second["files"] == first["files"]


def test_a_scan_uses_what_was_written(bundle, table, samples):
    import earwitness

    run(bundle, table())
    clip = read_card(bundle)["calibration"]["clip"]
    found = earwitness.scan(samples / "genuine-ljspeech.flac", model=bundle)
    assert found.calibrated
    assert found.score is not None
    assert found.llr == pytest.approx(clip["scale"] * found.score + clip["offset"])


def test_a_dry_run_writes_nothing(bundle, table, capsys):
    before = (bundle / "model.json").read_bytes()
    run(bundle, table(), dry_run=True)
    assert json.loads(capsys.readouterr().out)["written_to"] is None
    assert (bundle / "model.json").read_bytes() == before


def test_people_get_the_map_the_figures_and_where_it_went(bundle, table, capsys):
    options = CalibrationOptions(prior=0.1, draws=400)
    run_calibrate(str(bundle), table(), None, None, {}, options, False, False, False)
    text = capsys.readouterr().out
    for part in (
        "200 bona fide and 200 spoofed",
        "llr = ",
        "Cllr",
        "ECE",
        "scan with --prior 0.1",
        str(bundle),
    ):
        assert part in text


def test_the_model_inside_the_package_is_refused(table):
    with pytest.raises(ModelError, match="copy its folder"):
        run("embedded", table())


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"n": 49}, "49 bona fide trials; at least 50"),
        ({"turn": -1}, "higher scores must mean bona fide"),
        ({"column": "llr"}, "calibrated already"),
        ({"extra": ",abcdef"}, "scores of another model"),
    ],
)
def test_data_that_cannot_carry_it_are_refused(bundle, table, made, expected):
    before = (bundle / "model.json").read_bytes()
    with pytest.raises(InputError, match=expected):
        run(bundle, table(**made))
    assert (bundle / "model.json").read_bytes() == before


@pytest.mark.parametrize(
    "options", [{"prior": 0.0}, {"prior": 1.0}, {"miss_rate": 0.5}, {"false_alarm_rate": float("nan")}]
)
def test_options_that_are_none_are_refused(bundle, table, options):
    with pytest.raises(InputError, match="expected a share"):
        run(bundle, table(), CalibrationOptions(**options))


def test_one_group_of_a_class_cannot_be_held_out():
    groups = np.repeat([0, 1, 2], [60, 30, 30])
    with pytest.raises(InputError, match="one group"):
        spread_over_folds(Data(np.zeros(120), groups == 0, groups), 0)
