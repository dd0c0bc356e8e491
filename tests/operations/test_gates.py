"""Gates: planted bad candidates are refused, each by the gate that is there for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from registry_of_bytes import gaussian_llrs, write_answers

from earwitness.errors import InputError
from earwitness.operations.gates import (
    Answers,
    Embeddings,
    GateOptions,
    difference,
    judge,
    read_answers,
)

QUICK = GateOptions(draws=400)


def guard(candidate, champion, bona_fide, name="old", groups=None):
    groups = np.array([f"i{i}" for i in range(len(bona_fide))]) if groups is None else groups
    return Answers(name, champion, candidate, bona_fide, groups)


def refused(gates):
    return [gate.name for gate in gates if not gate.passed]


@pytest.fixture
def champion():
    return gaussian_llrs(2_000, 4.0, 0)  # EER 2.3 %


def noisy(llr, seed=1, by=0.3):
    return llr + by * np.random.default_rng(seed).standard_normal(len(llr))


def test_a_good_candidate_passes_every_gate(champion):
    llr, bona_fide = champion
    worse, new_bona_fide = gaussian_llrs(1_000, 1.5, 3)
    better, _ = gaussian_llrs(1_000, 4.0, 4)
    gates = judge(
        [guard(noisy(llr), llr, bona_fide)],
        guard(better, worse, new_bona_fide, "new"),
        speeds=(100.0, 90.0),
        embeddings=Embeddings("a", "b"),
        options=QUICK,
    )
    assert refused(gates) == []
    assert [gate.name for gate in gates] == [
        "trials: old",
        "old data: old",
        "false alarms: old",
        "calibration: old",
        "trials: new",
        "new data: new",
        "false alarms: new",
        "speed",
        "embedding",
    ]
    assert all(gate.sentence.endswith(".") and gate.limit for gate in gates)


def test_a_candidate_trained_on_flipped_labels_is_refused_by_every_gate_of_answers(champion):
    llr, bona_fide = champion
    gates = judge([guard(-llr, llr, bona_fide)], guard(-llr, llr, bona_fide, "new"), options=QUICK)
    assert set(refused(gates)) == {
        "old data: old",
        "false alarms: old",
        "calibration: old",
        "new data: new",
        "false alarms: new",
    }


def test_better_on_new_data_and_worse_on_old_is_refused(champion):
    llr, bona_fide = champion
    forgot, _ = gaussian_llrs(2_000, 2.4, 0)  # EER 11.5 %
    bad, good = gaussian_llrs(1_000, 1.0, 3)[0], gaussian_llrs(1_000, 4.0, 3)
    gates = judge(
        [guard(llr, llr, bona_fide, "a"), guard(forgot, llr, bona_fide, "b")],
        guard(good[0], bad, good[1], "new"),
        options=QUICK,
    )
    assert "old data: b" in refused(gates)
    assert "old data: a" not in refused(gates)
    assert "new data: new" not in refused(gates)


def test_no_better_on_new_data_is_refused(champion):
    llr, bona_fide = champion
    gates = judge([guard(llr, llr, bona_fide)], guard(llr, llr, bona_fide, "new"), options=QUICK)
    assert refused(gates) == ["new data: new"]


@pytest.mark.parametrize(("scale", "shift"), [(3.0, 0.0), (0.2, 0.0), (1.0, -2.0), (1.0, 2.0)])
def test_scaled_or_shifted_llrs_are_refused_as_badly_calibrated(champion, scale, shift):
    llr, bona_fide = champion
    gates = judge([guard(scale * llr + shift, llr, bona_fide)], options=QUICK)
    assert "calibration: old" in refused(gates)
    assert "old data: old" not in refused(gates)


def test_a_champion_that_is_badly_calibrated_itself_is_no_reason_to_refuse(champion):
    llr, bona_fide = champion
    assert refused(judge([guard(2.9 * llr, 3.0 * llr, bona_fide)], options=QUICK)) == []
    assert refused(judge([guard(3.1 * llr, 3.0 * llr, bona_fide)], options=QUICK)) == ["calibration: old"]


def test_false_alarms_are_counted_at_the_threshold_of_each(champion):
    llr, bona_fide = champion
    lenient, strict = float(np.quantile(llr[bona_fide], 0.02)), float(np.quantile(llr[bona_fide], 0.30))
    answers = [guard(llr, llr, bona_fide)]
    assert refused(judge(answers, thresholds=(lenient, lenient), options=QUICK)) == []
    assert refused(judge(answers, thresholds=(strict, strict), options=QUICK)) == []
    found = judge(answers, thresholds=(lenient, strict), options=QUICK)
    assert refused(found) == ["false alarms: old"]
    assert found[2].measured["rate"] == pytest.approx(0.30, abs=0.002)


def test_a_slower_candidate_is_refused(champion):
    llr, bona_fide = champion
    answers = [guard(llr, llr, bona_fide)]
    assert refused(judge(answers, speeds=(100.0, 79.0), options=QUICK)) == ["speed"]
    assert refused(judge(answers, speeds=(100.0, 80.0), options=QUICK)) == []
    assert refused(judge(answers, speeds=(100.0, float("nan")), options=QUICK)) == ["speed"]


def test_a_false_claim_on_the_champions_embeddings_is_refused(champion):
    llr, bona_fide = champion
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)

    def asked(**facts):
        return refused(
            judge([guard(llr, llr, bona_fide)], embeddings=Embeddings(**facts), options=QUICK)
        )  # fmt: skip

    same = {"champion": "a", "candidate": "a", "champion_vectors": vectors}
    assert asked(**same, candidate_vectors=vectors * (1 + 1e-5)) == []
    assert asked(**same, candidate_vectors=vectors * 1.01) == ["embedding"]
    assert asked(**same, candidate_vectors=vectors[:, :4]) == ["embedding"]
    assert asked(**same, candidate_vectors=np.full_like(vectors, np.nan)) == ["embedding"]
    assert asked(champion="a", candidate="a") == ["embedding"]  # claimed and not measured
    assert asked(champion="a", candidate="a", own=True) == []
    assert asked(champion="a", candidate="b") == []


def test_too_few_trials_are_refused_and_not_passed_over(champion):
    llr, bona_fide = champion
    few = np.concatenate([np.flatnonzero(bona_fide)[:19], np.flatnonzero(~bona_fide)])
    gates = judge([guard(llr[few], llr[few], bona_fide[few])], options=QUICK)
    assert refused(gates) == ["trials: old"]
    assert "19 genuine" in gates[0].sentence
    one_class = judge([guard(llr[bona_fide], llr[bona_fide], bona_fide[bona_fide])], options=QUICK)
    assert refused(one_class) == ["trials: old"]
    with pytest.raises(InputError, match="no guard set"):
        judge([])


def test_answers_that_are_not_finite_are_refused(champion):
    llr, bona_fide = champion
    broken = llr.copy()
    broken[3] = np.nan
    assert refused(judge([guard(broken, llr, bona_fide)], options=QUICK)) == ["trials: old"]
    with pytest.raises(InputError, match="champion are not finite"):
        judge([guard(llr, broken, bona_fide)])


def test_without_a_champion_only_gates_that_need_none_are_asked(champion):
    llr, bona_fide = champion
    gates = judge([guard(llr, None, bona_fide)])
    assert [gate.name for gate in gates] == ["trials: old", "false alarms: old", "calibration: old"]
    assert refused(gates) == []
    assert refused(judge([guard(3 * llr, None, bona_fide)])) == ["calibration: old"]


def test_a_loss_that_cannot_be_ruled_out_is_refused_until_there_is_more_data():
    """The difference seen is below the margin in both; only the larger set can say so."""
    for count, expected in ((120, ["old data: old"]), (20_000, [])):
        llr, bona_fide = gaussian_llrs(count, 2.0, 5)
        other, _ = gaussian_llrs(count, 2.0, 6)  # as good, on noise of its own
        found = judge([guard(other, llr, bona_fide)], options=QUICK)
        assert [name for name in refused(found) if "old data" in name] == expected


def test_the_interval_is_that_of_scipys_bootstrap(champion):
    from scipy.stats import bootstrap

    llr, bona_fide = (part[:400] for part in champion)
    other = noisy(llr, by=2.0)

    def eer(genuine, fake):
        cuts = np.sort(np.concatenate([genuine, fake]))
        miss = np.searchsorted(np.sort(genuine), cuts) / len(genuine)
        passed = 1 - np.searchsorted(np.sort(fake), cuts) / len(fake)
        k = np.argmin(np.abs(miss - passed))
        return (miss[k] + passed[k]) / 2

    def statistic(genuine, fake):
        genuine, fake = genuine.astype(int), fake.astype(int)
        return eer(other[genuine], other[fake]) - eer(llr[genuine], llr[fake])

    rows = (np.flatnonzero(bona_fide), np.flatnonzero(~bona_fide))
    expected = bootstrap(
        rows, statistic, vectorized=False, n_resamples=1_500, confidence_level=0.9, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    found = difference(guard(other, llr, bona_fide), GateOptions())
    width = expected.high - expected.low
    assert found.high == pytest.approx(expected.high, abs=0.15 * width)
    assert found.low == pytest.approx(expected.low, abs=0.15 * width)


def test_alike_items_count_as_one_where_groups_say_so():
    """Every item ten times over tells no more than once, if the copies share a group."""
    llr, bona_fide = gaussian_llrs(100, 2.0, 5)
    other = noisy(llr, by=0.8)
    names = np.array([f"g{i}" for i in range(100)])
    once = difference(guard(other, llr, bona_fide, groups=names), QUICK)
    tenfold = [np.repeat(part, 10) for part in (other, llr, bona_fide, names)]
    grouped = difference(guard(*tenfold[:3], groups=tenfold[3]), QUICK)
    apart = difference(guard(*tenfold[:3]), QUICK)
    assert grouped.high - grouped.low == pytest.approx(once.high - once.low, rel=0.25)
    assert apart.high - apart.low < 0.5 * (grouped.high - grouped.low)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(40, 200),
    distance=st.floats(-2, 6),
    scale=st.floats(0.01, 10),
    shift=st.floats(-5, 5),
    decimals=st.integers(0, 3),
    threshold=st.floats(-5, 5),
)
def test_the_champion_itself_passes_every_guard(seed, count, distance, scale, shift, decimals, threshold):
    llr, bona_fide = gaussian_llrs(count, distance, seed)
    llr = np.round(scale * llr + shift, decimals)  # with ties
    options = GateOptions(draws=200)
    assert refused(judge([guard(llr, llr, bona_fide)], None, (threshold,) * 2, options=options)) == []


def test_tables_are_read(tmp_path, champion):
    llr, bona_fide = (part[:40] for part in champion)
    found = read_answers(write_answers(tmp_path / "old.csv", bona_fide, llr, llr + 1))
    assert found.name == "old"
    np.testing.assert_array_equal(found.candidate, llr)
    np.testing.assert_array_equal(found.champion, llr + 1)
    np.testing.assert_array_equal(found.bona_fide, bona_fide)
    assert len(np.unique(found.groups)) == 20
    assert read_answers(write_answers(tmp_path / "new.csv", bona_fide, llr)).champion is None
    (tmp_path / "bare.csv").write_text("id,label,candidate\na,real,1\nb,fake,x\n")
    bare = read_answers(tmp_path / "bare.csv")
    assert len(np.unique(bare.groups)) == 2
    assert np.isnan(bare.candidate[1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,label\na,real\n", "no column candidate"),
        ("id,label,candidate\na,real,1\na,fake,2\n", "row 3: the id 'a'"),
        ("id,label,candidate\na,perhaps,1\n", "row 2: 'perhaps'"),
        ("id,label,candidate\na,-,1\n", "row 2: '-'"),
        ("id,label,candidate\na,real,1,2\n", "row 2: not 3 cells"),
        ("id,label,candidate,champion\na,real,1,2\nb,fake,1,-\n", "row 3: no answer of the champion"),
    ],
)
def test_damaged_tables_are_refused_with_the_row(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_answers(tmp_path / "t.csv")
