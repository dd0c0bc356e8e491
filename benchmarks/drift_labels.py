"""Labels on the stream of `drift.py`: what fine-tuning does to drift and EER, and what is discovered."""

from collections import Counter

import numpy as np
from drift_figures import Cell, correlation, two_way
from drift_year import FAKE, GENUINE, WINDOWS, YEAR, Streamed, kind_of, stream_of
from stream import EPISODES

from earwitness.decision.correction import Correction, fit_correction
from earwitness.metrics.detection import eer
from earwitness.metrics.distances import wasserstein
from earwitness.operations.discovery import Known, update_proposals
from earwitness.operations.drift import deviation
from earwitness.operations.proposals import Proposal
from earwitness.operations.samples import Samples, joined

DISCOVERED = 3  # draws of the stream


def corrections(stream: Streamed, seeds: int = 5) -> Cell:
    """Distance of scores and EER on unlabelled halves, after a share of the other halves' labels."""
    shares = (0.0, 0.25, 0.5, 1.0)
    lines = np.array(
        [
            [[after_labels(stream, name, part, seed) for part in shares] for name in EPISODES]
            for seed in range(seeds)
        ]
    )  # (seeds, episodes, shares, measures)
    names = ("eer_new", "eer_quiet", "score_distance", "score_deviation", "score_deviation_of_quiet_fakes")
    found: Cell = {
        str(part): {name: two_way(lines[:, :, i, j]) for j, name in enumerate(names)}
        for i, part in enumerate(shares)
    }
    fall = lines[:, :, 0] - lines[:, :, -1]
    found["fall_of_both"] = correlation(fall[..., 3], fall[..., 0])
    both = (fall[..., 3].mean(0) > 0) & (fall[..., 0].mean(0) > 0)
    found["generators_where_both_fell"] = int(both.sum())
    return found


def after_labels(stream: Streamed, name: str, part: float, seed: int) -> list[float]:
    """EER of the generator and of quiet data, W1 of scores, its deviation from the null, quiet fakes' too."""
    rng = np.random.default_rng([6, seed])
    episode = stream["new"].take(np.array(stream["new"].column("episode")) == name)
    order, quiet_order = rng.permutation(len(episode)), rng.permutation(len(stream["quiet"]))
    half, quiet_half = len(episode) // 2, len(quiet_order) // 2
    labelled = episode.take(order[: round(part * half)])
    test, replay = episode.take(order[half:]), stream["quiet"].take(quiet_order[:quiet_half])
    others, development = stream["quiet"].take(quiet_order[quiet_half:]), stream["development"]
    change = Correction(np.zeros(episode.embeddings.shape[1]), 0.0)
    if len(labelled):
        data = joined([labelled, replay])
        new = np.arange(len(data)) < len(labelled)
        change = fit_correction(data.scores, data.embeddings, data.labels == 1, new)
    heard = {
        key: change.apply(one.scores, one.embeddings)
        for key, one in (("test", test), ("others", others), ("development", development))
    }
    genuine = heard["others"][others.labels == 1]
    fakes = heard["test"][test.labels == 0]
    known = heard["development"]
    known = (known - known.mean()) / known.std()
    inside = rng.permutation(len(known)) < len(known) // 2
    window, fake_share = WINDOWS["all"], FAKE / (GENUINE + FAKE)
    count = round(window * fake_share)
    null = [distance(known[inside], rng.choice(known[~inside], window, replace=False)) for _ in range(300)]
    centre, spread = heard["development"].mean(), heard["development"].std()
    found = []
    quiet_fakes = heard["others"][others.labels == 0]
    for _ in range(100):
        some = rng.choice(genuine, window - count, replace=False)
        windows = (np.append(some, rng.choice(kind, count)) for kind in (fakes, quiet_fakes))
        found.append([distance(known[inside], (drawn - centre) / spread) for drawn in windows])
    means = np.mean(found, axis=0)
    return [
        eer(genuine, fakes),
        eer(genuine, quiet_fakes),
        float(means[0]),
        *deviation(np.array(null), means).tolist(),
    ]


def distance(reference: np.ndarray, window: np.ndarray) -> float:
    """W1 of scores."""
    return float(wasserstein(reference[:, None], window[:, None])[0])


# ---- discovery on the same stream


def discovered(stream: Streamed, seed: int) -> list[Cell]:
    """Each month: whether its generator was proposed, how purely, and what was proposed wrongly."""
    months, development = stream_of(stream, seed), stream["development"]
    proposals: list[Proposal] = []
    announced_before: set[str] = set()
    truth: dict[str, str] = {}
    quiet: list[Samples] = []
    lines = []
    for i, (name, month) in enumerate(zip(YEAR, months, strict=True)):
        truth |= dict(zip(month.ids, map(made_by, month.labels, month.column("episode")), strict=True))
        known = Known(joined([development, *quiet]))
        proposals = update_proposals(proposals, known, joined(months[: i + 1]), f"2020-01-01T{i:02}:00:00")
        line: Cell = {"month": name, "purity": [], "new_false": []}
        for one in proposals:
            if one.announced:
                lead, count = Counter(truth.get(m.id, "-") for m in one.members).most_common(1)[0]
                purity = count / len(one.members)
                if lead == name:
                    line["purity"].append(round(purity, 3))
                if one.id not in announced_before and (lead not in EPISODES or purity < 0.5):
                    line["new_false"].append(f"{lead}, {purity:.2f} of {len(one.members)}")
                announced_before.add(one.id)
        lines.append(line)
        quiet += [month] if name == "quiet" else []
    return lines


def made_by(label: int, episode: str) -> str:
    """The episode of a new fake; else what it is."""
    return "genuine" if label == 1 else episode if episode != "-" else "known fake"


def discovery(stream: Streamed) -> Cell:
    """Shares over months and draws."""
    draws = [discovered(stream, seed) for seed in range(DISCOVERED)]
    kinds = np.array([kind_of(name) for name in YEAR])
    proposed = np.array([[bool(line["purity"]) for line in lines] for lines in draws], float)
    false = np.array([[len(line["new_false"]) for line in lines] for lines in draws], float)
    purities = [max(line["purity"]) for lines in draws for line in lines if line["purity"]]
    return {
        "draws": DISCOVERED,
        "new_months_with_a_proposal_of_it": two_way(proposed[:, kinds == "new"]),
        "mean_purity_of_those": round(float(np.mean(purities)), 3) if purities else None,
        "by_generator": {
            name: float(proposed[:, i].mean()) for i, name in enumerate(YEAR) if name in EPISODES
        },
        "false_proposals_a_month": {
            kind: two_way(false[:, kinds == kind]) for kind in dict.fromkeys(kinds.tolist())
        },
        "false_ones_lead_by": dict(
            Counter(
                text.split(",")[0] for lines in draws for line in lines for text in line["new_false"]
            ).most_common()
        ),
        "first_draw": draws[0],
    }
