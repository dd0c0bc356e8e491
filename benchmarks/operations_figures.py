"""The figures of docs/operations.md: what `drift.py`, `selection.py`, `loop.py` and `unattended.py` found."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

Table = Callable[[str, list[tuple]], list[str]]
Percent = Callable[[Mapping[str, Any]], str]
SHOWN = ("passive", "energy", "energy, balance", "energy, kmeans++", "coverage", "positive-energy")
BUDGETS = ("25", "100", "400", "800")


def wrapped(*sentences: str) -> list[str]:
    """A paragraph."""
    return [*textwrap.wrap(" ".join(sentences), 110, break_on_hyphens=False, break_long_words=False), ""]


def drift_block(found: Mapping[str, Any], table: Table, percent: Percent) -> list[str]:
    """False alarms, power, the year, discovery."""
    null = found["null"]
    wide, thin = null["synthetic, 394"], null["synthetic, 64"]
    real = [null[f"real, by {how}"]["all"] for how in ("row", "source")]
    rows = [
        ("windows of 512 without drift that alarm, set to 1 %, 64 dimensions", percent(thin["false_alarms"])),
        ("the same, 394 dimensions", percent(wide["false_alarms"])),
        ("windows of 64 real recordings that the reference never saw, by recording", percent(real[0])),
        ("the same, of other sources", percent(real[1])),
        ("a shift of 0.2 deviations caught, 64 dimensions", percent(thin["shift_caught"]["0.2"])),
        ("the same, 394 dimensions", percent(wide["shift_caught"]["0.2"])),
    ]
    lines = ["### Drift", "", "Share in percent, 95 % intervals (`benchmarks/drift.py`):", ""]
    lines += table("what | %", rows)
    lengths = ", ".join(
        f"{one['value']:.0f} where {name} was set" for name, one in null["run_length"].items()
    )
    lines += wrapped(f"Windows until the CUSUM alarms without drift: {lengths}.")
    lines += wrapped(
        "A simulated year of 26 months of 80 recordings: a detector of what was published by 2020",
        "(`benchmarks/stream.py`, EER 13 % then) hears fourteen later generators in their order, with quiet",
        "months and harmless changes between. Share of months with an alarm at 1 %, by what the reference",
        "was split by:",
    )
    years = [found["year"][f"reference split by {how}"] for how in ("row", "source")]
    doubt = "mean |LLR|, falling"
    lines += table(
        "month | by recording | by source | the detector's own doubt",
        [
            (
                kind,
                *(percent(year["by_kind"][kind]["alarm_at_0.01"]["any view"]) for year in years),
                percent(years[0]["by_kind"][kind]["alarm_at_0.01"][doubt]),
            )
            for kind in years[0]["by_kind"]
        ],
    )
    late = years[0]["delay"]["either"]
    ranks = years[0]["spearman"]["new_fakes"]
    best = {
        name: ranks[name]["mean_of_draws_over_months"] for name in ("all: statistic", "all: score", doubt)
    }
    varied = years[0]["mix_varies"]["spearman"]["new_fakes"]
    lines += ["![statistic and EER over the year](drift.svg)", ""]
    lines += wrapped(
        "By recording, a generator that stays is noticed within 80 recordings in",
        f"{percent(late['noticed_within_80'])} % of cases and within 400 in",
        f"{percent(late['noticed_within_400'])} %; quiet streams alarm within 400 in",
        f"{percent(late['quiet_alarms_within_400'])} %. Rank correlation over months with the EER on the",
        "new fakes:",
        f"of the statistic {ranked(best['all: statistic'])}, of the distance of scores",
        f"{ranked(best['all: score'])} (where the mix of classes varies",
        f"{ranked(varied['all: score']['mean_of_draws_over_months'])}), of the detector's own doubt",
        f"{ranked(best[doubt])}. So drift tells that something is new, be it harmless, and not how badly the",
        "detector does on it; the scores tell more of that.",
    )
    seen = found["discovery"]
    speakers = seen["false_proposals_a_month"]["benign speakers"]["value"]
    lines += wrapped(
        f"Discovery proposed the new generator in {percent(seen['new_months_with_a_proposal_of_it'])} %",
        "of its",
        f"months, {100 * seen['mean_purity_of_those']:.0f} % of a proposal being the generator's; in a",
        "month of",
        f"new genuine speakers it made {speakers:.1f} false proposals. A proposal is a reason to listen.",
    )
    return lines


def ranked(one: Mapping[str, Any]) -> str:
    """A correlation with its interval."""
    return f"{one['value']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]"


def selection_block(found: Mapping[str, Any], table: Table, percent: Percent) -> list[str]:
    """EER against labels bought."""
    both = found["recordings"]["both"]["new"]
    rows = []
    for name in SHOWN:
        at = both[name]["at"]
        gap = both[name]["area_against_random"]
        cells = [f"{100 * at[n]['eer']['value']:.1f}" for n in BUDGETS]
        rows.append((name.replace("passive", "random"), *cells, "-" if name == "passive" else percent(gap)))
    unseen = found["episodes"]["both"]["new"]
    return [
        "### Selection",
        "",
        *wrapped(
            f"EER in percent on new generators ({percent(both['no_label'])} without any label) after so many",
            "labels, which teach a correction and go into the knowledge base (`benchmarks/selection.py`,",
            "five",
            "seeds, other recordings of the same generators):",
        ),
        *table("strategy | " + " | ".join(BUDGETS) + " | mean over budgets against random", rows),
        *wrapped(
            f"All labels give {percent(both['all_labels'])}. On generators of which nothing was labelled",
            "they",
            f"hardly help: {percent(unseen['no_label'])} to {percent(unseen['all_labels'])} with all. Of one",
            "score energy, margin and entropy choose the same. A single random choice varies by more",
            "than what",
            "any strategy gains over random.",
        ),
        "![EER against labels](selection.svg)",
        "",
    ]


def loop_block(
    found: Mapping[str, Any], real: Mapping[str, Any], table: Table, percent: Percent
) -> list[str]:
    """Six months."""
    rows = [
        (
            name,
            way["labels"],
            " ".join(f"{100 * one['value']:.1f}" for one in way["met"]),
            percent(way["met_change"]),
            " ".join(f"{100 * one['value']:.1f}" for one in way["next"]),
            percent(way["forgetting"]),
        )
        for name, way in found["ways"].items()
    ]
    bad = [name for name in found["planted"][0] if name != "good"]
    refused = sum(bool(one[name]) for one in found["planted"] for name in bad)
    passed = sum(not one["good"] for one in found["planted"])
    promoted = sum(one["promoted"] for one in real["rounds"])
    cpu, labels = (sum(one[key] for one in real["rounds"]) for key in ("cpu_hours", "labels"))
    hours, met = sum(one["audio_hours"] for one in real["rounds"]), real["met"]
    return [
        "### Six months of it",
        "",
        *wrapped(
            "Two or three new generators a month; half of what comes in may be labelled, the other half is",
            "judged (`benchmarks/loop.py`, five seeds). EER in percent by month: on all that was met so",
            "far, and",
            "on the generators of the next month.",
        ),
        *table(
            "way | labels | met so far | change in month six | next month | forgetting of month one, points",
            rows,
        ),
        *wrapped(
            "Candidates that are bad on purpose (taught flipped labels; better on new and worse on old;",
            "badly",
            f"calibrated) were refused {refused} of {len(bad) * len(found['planted'])} times; a good one",
            "passed",
            f"{passed} of {len(found['planted'])} times: a guard set of 420 recordings does not always",
            "rule a loss",
            "of 2 points out.",
        ),
        *wrapped(
            "The command itself over the same six months of recordings (`benchmarks/unattended.py`, seed 0):",
            f"{hours:.1f} hours came in, {labels} labels were asked for, {promoted} of {len(real['rounds'])}",
            f"candidates were promoted, {cpu:.2f} CPU hours. On {met['recordings']} other recordings of",
            "all months the",
            f"EER was {percent(met['eer']['first'])} % by the first champion; the last one changes that by",
            f"{percent(met['change']['last'])} points, and with the knowledge base by",
            f"{percent(met['change']['last_with_base'])} (intervals over sources).",
        ),
    ]
