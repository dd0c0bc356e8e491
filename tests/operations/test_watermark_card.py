"""The card of a scheme whose figures are known, and how it is measured."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from toy_watermark import NAMES, RATE, noises, spread, toy

from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError
from earwitness.evidence.watermark import fit_presence
from earwitness.operations import watermark_card as cards
from earwitness.operations.watermark_figures import means
from earwitness.operations.watermark_trials import CardOptions, Job, make_patterns

FIXED = 0.005
SOME = ("gain-down-12dB", "inverted", "trim-10ms")
QUICK = CardOptions(seconds=2.0, limit=12, unmarked=12, disturbed=4, quality=0, average=(4,), draws=400)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return noises(tmp_path_factory.mktemp("noises"))


@pytest.fixture(scope="module")
def card(items):
    other = replace(spread(seed=7), name="foreign")
    return cards.measure(spread(), items, [other], SOME, replace(QUICK, quality=3))


@pytest.fixture(scope="module")
def fixed(items):
    """Of a scheme whose marks do not depend on content at all."""
    return cards.measure(spread(fixed=FIXED), items, (), (), QUICK)


def values(card, name, subset="all", table="conditions"):
    (row,) = [row for row in card[table] if row["name"] == name]
    return {
        figure: found and found["value"] for figure, found in row[subset].items() if isinstance(found, dict)
    }


def timeless(card):
    return {name: found for name, found in card.items() if name != "speed"}


def test_a_known_scheme_has_its_known_figures(card):
    for name in ("none", "gain-down-12dB"):
        assert values(card, name)["both"] == 1
    assert values(card, "inverted")["detected"] == 0  # correlations change their sign
    assert values(card, "trim-10ms")["detected"] <= 0.1  # periods begin elsewhere
    assert card["marked"] == {
        "recordings": 12,
        "genuine": 3,
        "fake": 9,
        "groups": 6,
        "own": card["marked"]["own"],
    }
    assert card["conditions"][0]["own"]["recordings"] == card["marked"]["own"] >= 3
    assert card["conditions"][0]["other"]["recordings"] == 12 - card["marked"]["own"]
    assert values(card, "framed", "genuine", "forgeries")["both"] == 1
    assert not card["failed"]
    assert not card["left_out"]
    json.dumps(card, allow_nan=False)


def test_a_share_of_all_has_the_bound_of_as_many_groups(card):
    whole = card["conditions"][0]["all"]["detected"]
    z = stats.norm.ppf(0.975)
    assert (whole["low"], whole["high"]) == (pytest.approx(6 / (6 + z * z)), 1)  # Wilson's, of all in six


def test_quality_is_what_the_definition_says(card):
    found = card["quality"]
    assert found["snr_db"]["value"] == pytest.approx(-20 * np.log10(0.05), abs=0.1)
    assert found["snr_db"]["recordings"] == 3
    assert found["correlation"]["value"] == pytest.approx(1 / np.sqrt(1 + 0.05**2), abs=1e-3)
    assert found["lag"]["value"] == found["inverted"] == found["shifted"] == 0


def test_overwriting_by_the_same_scheme_is_ambiguous_and_by_another_is_not(card):
    once, often = values(card, "overwritten-by-itself-1"), values(card, "overwritten-by-itself-3")
    assert once["detected"] == 1
    assert 0.1 <= once["named"] <= 0.9  # two messages as strong as each other
    assert often["named"] <= 0.7  # three that were drawn from three names
    assert values(card, "overwritten-by-foreign-1")["named"] >= 0.9


def test_averaging_takes_off_and_forges_a_mark_that_does_not_depend_on_content(fixed):
    assert values(fixed, "none")["both"] == 1
    assert values(fixed, "averaged-grey-4")["detected"] == 0
    assert values(fixed, "averaged-grey-4-twice")["detected"] == 0
    level_db = 20 * np.log10(0.1 / FIXED)
    assert values(fixed, "averaged-grey-4")["snr_db"] == pytest.approx(level_db, abs=0.1)
    assert values(fixed, "averaged-grey-4-twice")["snr_db"] == pytest.approx(level_db - 6.02, abs=0.1)
    assert values(fixed, "none")["snr_db"] is None
    assert values(fixed, "averaged-grey-unaligned-4")["detected"] >= 0.8
    for name in ("genuine", "fake"):
        assert values(fixed, "forged-grey-4", name, "forgeries")["both"] == 1
    assert values(fixed, "forged-grey-unaligned-4", "fake", "forgeries")["both"] <= 0.3


def test_more_windows_are_averaged_only_where_they_are():
    clips = [np.ones(2 * RATE, np.float32)] * 4
    found = make_patterns(clips, clips, clips[:2], (3, 8, 9), np.random.default_rng(0))
    assert set(found) == {"grey-3", "grey-8", "grey-spectrum-8"}


def test_attribution_is_chance_where_messages_are_ignored(items):
    options = replace(QUICK, average=(), overwrite=(), unmarked=0)
    scheme = spread(mute=True)
    found = cards.measure(scheme, items, (), (), options)
    marked = cards.chosen(items, 12, cards.GENUINE, 0)
    alpha = np.mean([cards.name_for(scheme, item, 0) == "alpha" for item in marked])
    assert values(found, "none")["detected"] == 1
    assert values(found, "none")["named"] == pytest.approx(alpha)
    assert 0 < alpha < 1
    others = [item for item in items if item.generator not in NAMES]
    drawn = Counter(cards.name_for(scheme, item, seed) for item in others for seed in range(60))
    assert stats.chisquare([drawn[name] for name in NAMES]).pvalue > 1e-3


def test_false_alarms_are_near_the_nominal_rate(tmp_path):
    rate, scheme = 0.04, spread()
    rng = np.random.default_rng(11)
    scores = [scheme.read(0.1 * rng.standard_normal(RATE)).score for _ in range(2_000)]
    scheme = replace(scheme, presence=fit_presence(np.array(scores), rate))
    options = CardOptions(
        seconds=1.0, limit=1, unmarked=300, disturbed=0, quality=0, overwrite=(), average=()
    )
    found = cards.measure(scheme, noises(tmp_path, 300, 1.0, seed=12), (), (), options)
    (row,) = found["false_alarms"]
    alarms = row["genuine"]["alarms"] + row["fake"]["alarms"]
    low, high = stats.binom.interval(0.999, 300, rate)
    assert low <= alarms <= high
    assert row["genuine"]["recordings"] == row["fake"]["recordings"] == 150
    named = found["named_without_a_mark"]
    assert sum(named["counts"].values()) == 300
    assert stats.chisquare([named["counts"].get(name, 0) for name in NAMES]).pvalue > 1e-4


def test_bits_are_counted(items):
    options = replace(QUICK, average=(), overwrite=(), unmarked=0, limit=6)
    found = cards.measure(spread(with_bits=True, level=0.1), items, (), ("inverted",), options)
    assert values(found, "none")["bits"] == 1
    assert values(found, "inverted")["bits"] == 0
    assert found["scheme"]["bits"] == 8


def test_a_scheme_that_names_nobody_has_a_card(items):
    bare = spread(names=("alpha",))
    bare = replace(bare, names=(), messages=bare.messages)
    found = cards.measure(bare, items, (), ("inverted",), QUICK)
    assert values(found, "none")["detected"] == 1
    assert found["conditions"][0]["all"]["named"] is None
    assert found["named_without_a_mark"] is None
    assert values(found, "averaged-grey-4")["detected"] is not None


def test_two_runs_and_two_processes_say_the_same(items):
    options = replace(QUICK, limit=4, unmarked=4)
    one = cards.measure(toy, items, (), SOME, options)
    assert timeless(cards.measure(toy, items[::-1], (), SOME, options)) == timeless(one)
    assert timeless(cards.measure(toy, items, (), SOME, options, processes=2)) == timeless(one)


def test_a_run_that_was_stopped_goes_on(items, tmp_path):
    options = replace(QUICK, limit=6, unmarked=4, average=())
    scheme, heard = spread(), []

    def read(audio, limit=30):
        heard.append(len(audio))
        if len(heard) > limit:
            raise KeyboardInterrupt
        return scheme.read(audio)

    whole = cards.measure(replace(scheme, read=lambda audio: read(audio, 10_000)), items, (), SOME, options)
    in_all = len(heard)
    heard.clear()
    with pytest.raises(KeyboardInterrupt):
        cards.measure(replace(scheme, read=read), items, (), SOME, options, tmp_path)
    heard.clear()
    again = replace(scheme, read=lambda audio: read(audio, 10_000))
    assert timeless(cards.measure(again, items, (), SOME, options, tmp_path)) == timeless(whole)
    assert in_all - 30 <= len(heard) < in_all - 20
    heard.clear()
    cards.measure(again, items, (), SOME, replace(options, draws=500), tmp_path)
    assert not heard


def test_a_folder_of_other_answers_is_refused(items, tmp_path):
    options = replace(QUICK, limit=2, unmarked=0, average=())
    cards.measure(toy, items, (), (), options, tmp_path)
    for other in (replace(options, seconds=1.5), replace(options, seed=1)):
        with pytest.raises(InputError, match="start a new journal"):
            cards.measure(toy, items, (), (), other, tmp_path)
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    record = json.loads(lines[1])
    (tmp_path / "journal.jsonl").write_text(
        "\n".join([lines[0], json.dumps({"path": record["path"]}), lines[2], ""])
    )
    with pytest.raises(InputError, match="start a new folder"):
        cards.measure(toy, items, (), (), options, tmp_path)


def test_what_fails_stops_nothing_else(items, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    silent = replace(items[0], id="silent", path=tmp_path / "silent.wav")
    import soundfile

    soundfile.write(silent.path, np.zeros(2 * RATE), RATE)
    bad = [
        replace(items[0], id="broken", path=broken),
        silent,
        replace(items[1], id="gone", path=tmp_path / "x"),
    ]
    scheme = spread()

    def read(audio):
        if len(audio) > 2 * RATE:  # after "stretch-1.5"
            raise ValueError("no such length")
        return scheme.read(audio)

    options = replace(QUICK, limit=30, unmarked=0, average=())
    found = cards.measure(
        replace(scheme, read=read), [*items, *bad], (), ("stretch-1.5", "inverted"), options
    )
    assert {one["id"] for one in found["left_out"]} == {"broken", "silent", "gone"}
    assert found["failed"] == [{"condition": "stretch-1.5", "times": 24, "why": found["failed"][0]["why"]}]
    assert "no such length" in found["failed"][0]["why"]
    assert values(found, "stretch-1.5") == {}
    assert values(found, "none")["both"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": 0.5}, "1 to 20 s"),
        ({"limit": 0}, "one recording at least"),
        ({"overwrite": (0,)}, "1 to 10 times"),
    ],
)
def test_options_that_cannot_be_are_refused(items, change, said):
    with pytest.raises(InputError, match=said):
        cards.measure(toy, items, (), (), replace(QUICK, **change))


def test_requests_that_cannot_be_are_refused(items):
    with pytest.raises(InputError, match="no distortion"):
        cards.measure(toy, items, (), ("loud",), QUICK)
    with pytest.raises(InputError, match="one name"):
        cards.measure(toy, items, [spread(seed=3)], (), QUICK)
    with pytest.raises(InputError, match="nothing to mark"):
        cards.measure(toy, [], (), (), QUICK)


def recordings(sizes):
    return [
        Utterance(id=f"{group}-{i}", path=None, bona_fide=False, dataset="d", group=str(group))
        for group, size in enumerate(sizes)
        for i in range(size)
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 40), st.randoms())
def test_groups_take_turns(sizes, count, random):
    items = recordings(sizes)
    found = cards.spread(items, count, 0)
    assert len(found) == len({item.id for item in found}) == min(count, len(items))
    taken = Counter(item.group for item in found)
    open_groups = [taken[str(group)] for group, size in enumerate(sizes) if taken[str(group)] < size]
    if open_groups:
        assert max(taken.values(), default=0) - min(open_groups) <= 1
    random.shuffle(items)
    assert cards.spread(items, count, 0) == found


@given(st.integers(0, 60), st.integers(0, 60))
def test_some_are_spread_evenly(count, some):
    chosen = cards.evenly(count, some)
    assert len(chosen) == count
    assert sum(chosen) == min(count, some)


def test_intervals_are_those_of_groups():
    rng = np.random.default_rng(2)
    values = (rng.random(60) < 0.7).astype(float)
    options = CardOptions(draws=4_000)
    alone = means({"detected": values}, [str(i) for i in range(60)], options)["detected"]
    truth = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9_999, random_state=rng)
    assert (alone["low"], alone["high"]) == pytest.approx(tuple(truth.confidence_interval), abs=0.02)
    assert alone["value"] == pytest.approx(values.mean())
    copies = means({"detected": np.repeat(values, 5)}, [str(i // 5) for i in range(300)], options)["detected"]
    assert copies == pytest.approx(alone)
    holes = np.where(np.arange(60) < 50, values, np.nan)
    assert means({"score": holes}, ["a"] * 60, options)["score"]["value"] == pytest.approx(values[:50].mean())


def test_jobs_have_keys_of_their_own(items):
    jobs = cards.plan(spread(), items, cards.chosen(items, 12, 0.25, 0), QUICK)
    assert len({job.key for job in jobs}) == len(jobs) == 24
    assert sum(job.more for job in jobs if job.kind == "unmarked") == 4
    assert Job(items[0], "marked").key != Job(items[0], "unmarked").key
