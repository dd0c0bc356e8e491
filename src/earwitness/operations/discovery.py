"""New generators: recordings that nothing known explains, and that sound like each other.

A recording is unexplained where it lies farther from its nearest known recordings than known ones lie from
each other (the k-NN distance of TADA, arXiv 2506.05802, with a mean of k). The unexplained are clustered by
mean cosine similarity, as tightly as known generators hold together; a cluster that is as near to one known
generator, or to one known voice, is that one. What is left is proposed: with examples, a slot for a name, how
the detector does on it, and a warning where it comes from one source. A cluster that is found again keeps its
id.

How well that works was measured on page folds of the development corpus (1,774 recordings): what came in
were pages that neither the detector nor the known recordings had, with nearly all their generators. Unseen
generators are no farther from what is known than genuine speakers of such pages (AUC 0.40), so distance alone
finds nothing, and a strict quantile leaves too little to cluster: at 0.95 there is no cluster. With the
defaults, which were chosen on the same data, 66 % of 767 recordings by unseen generators were unexplained,
and 77 % of 909 genuine ones. Of 23 clusters 14 held mostly fakes (8 of the 10 with eight recordings or more),
and all came from one page, by and large. 74 % of the recordings in clusters were by what led theirs; 5 of the
16 new architectures with at least eight recordings led a cluster. So a proposal is a reason to listen and no
finding, and most new generators on few pages are missed. Embeddings that tell generators apart do better.

Nothing here knows of audio.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from earwitness.errors import InputError, needs_extra
from earwitness.metrics.reliability import wilson
from earwitness.operations.proposals import LONGEST, STATES, Member, Proposal
from earwitness.operations.samples import Samples

GENUINE, FAKE, UNKNOWN = "genuine", "fake", "unknown"
ENOUGH = 5  # recordings of a known generator or voice that one is compared with
JUDGED = 4_000  # known recordings at most whose distances make the threshold, drawn at random
WHOLE = 500  # recordings of a known generator at most that tell how it holds together
CLUSTERED = 6_000  # unexplained recordings at most that are clustered: the last ones
SHOWN = 5  # examples, and nearest generators
BLOCK = 1_024  # rows compared at once
LEVEL = 0.95  # of intervals
SHARED = 0.5  # of the smaller of two clusters that they must share to be one


@dataclass(frozen=True)
class DiscoveryOptions:
    """What counts as unexplained, as a cluster, and as worth a person's time."""

    k: int = 5  # nearest known recordings
    quantile: float = 0.5  # of the distances of known recordings: what is farther is unexplained
    tightness: float = 0.35  # of known generators, which would fall apart into several clusters
    smallest: int = 5  # recordings in a cluster
    least: int = 8  # recordings in a proposal that is announced
    one_source: float = 0.8  # share from one source above which there is a warning
    thresholds: tuple[float, ...] = (0.0,)  # scores from which on the detector calls genuine


@dataclass(frozen=True)
class Known:
    """What explains a recording: labelled samples."""

    samples: Samples

    @cached_property
    def unit(self) -> np.ndarray:
        """(n, size) embeddings of unit length."""
        return unit(self.samples.embeddings)

    @cached_property
    def kinds(self) -> np.ndarray:
        """(n,) genuine, or the name of the generator; `fake` where it has none."""
        pairs = zip(self.samples.labels.tolist(), self.samples.column("generator"), strict=True)
        return np.array([kind_of(label, generator) for label, generator in pairs])

    @cached_property
    def groups(self) -> dict[str, np.ndarray]:
        """Rows of each generator, and of the genuine recordings of each source."""
        found: dict[str, list[int]] = {}
        sources = self.samples.column("source")
        for i, (kind, source) in enumerate(zip(self.kinds.tolist(), sources, strict=True)):
            name = f"{GENUINE}, {source}" if kind == GENUINE and source != "-" else kind
            found.setdefault(name, []).append(i)
        return {name: np.array(rows) for name, rows in found.items()}

    @cached_property
    def means(self) -> dict[str, np.ndarray]:
        """The mean embedding of each group of ENOUGH that is one voice or generator: (size,)."""
        vague = {GENUINE, FAKE, UNKNOWN}
        return {
            name: self.unit[rows].mean(0)
            for name, rows in self.groups.items()
            if name not in vague and len(rows) >= ENOUGH
        }

    def own_distances(self, k: int) -> np.ndarray:
        """Open-set distances (at most JUDGED,) of known recordings, each as if it had just come in.

        Recordings of its own source are left out, as new ones come from new sources; but not where what
        made it is known from that source alone: without it, it would be unknown.
        """
        names, kinds = self.samples.column("source"), self.kinds.tolist()
        of_kind, of_both = Counter(kinds), Counter(zip(kinds, names, strict=True))
        sources = np.unique(names, return_inverse=True)[1]
        rows = np.arange(len(names))
        if len(rows) > JUDGED:
            rows = np.sort(np.random.default_rng(0).choice(len(rows), JUDGED, replace=False))
        found = []
        for i in range(0, len(rows), BLOCK):
            some = rows[i : i + BLOCK]
            similar = self.unit[some] @ self.unit.T
            similar[np.arange(len(some)), some] = -np.inf
            for row, at in zip(similar, some.tolist(), strict=True):
                others = of_kind[kinds[at]] - of_both[kinds[at], names[at]]
                if names[at] != "-" and others >= k:
                    row[sources == sources[at]] = -np.inf
            found.append(similar_to_distance(similar, k))
        return np.concatenate(found)

    def tightness(self, quantile: float, otherwise: float) -> float:
        """Mean cosine similarity down to which clusters become one, so that generators become whole.

        That at which all but `quantile` of the known generators would be one cluster each; `otherwise` where
        no generator is known by ENOUGH recordings.
        """
        with needs_extra("ops"):
            from scipy.cluster.hierarchy import average
            from scipy.spatial.distance import pdist

        whole = []
        for name in self.means:
            if not name.startswith(f"{GENUINE}, "):
                rows = self.unit[self.groups[name][:WHOLE]].astype(np.float64)
                whole.append(1 - average(pdist(rows, "cosine"))[-1, 2])
        return float(np.quantile(whole, quantile)) if whole else otherwise


def kind_of(label: int, generator: str) -> str:
    """What made a recording, as far as is known."""
    if label == 1:
        return GENUINE
    return generator if generator not in ("", "-") else FAKE if label == 0 else UNKNOWN


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def cohesion(mean: np.ndarray, count: int) -> float:
    """Mean similarity of pairs out of `count` unit rows with this mean."""
    return float((count * (mean @ mean) - 1) / max(count - 1, 1))


def similar_to_distance(similar: np.ndarray, k: int) -> np.ndarray:
    """1 - the mean of the k largest of each row; fewer where the others are -inf, 2 where all are."""
    nearest = -np.partition(-similar, min(k, similar.shape[1]) - 1, axis=1)[:, :k]
    there = np.isfinite(nearest)
    return 1 - np.where(there, nearest, 0).sum(1) / np.maximum(there.sum(1), 1) + ~there.any(1)


def unexplained(
    known: Known, incoming: Samples, options: DiscoveryOptions = DiscoveryOptions()
) -> tuple[np.ndarray, np.ndarray]:
    """Open-set distances (n,) of what came in, and which of it nothing known explains (n,) bool.

    Raises:
        InputError: `too-few-known`; `bad-samples`: the embeddings are of two models.
    """
    distances, threshold = measured(known, incoming, options)
    return distances, distances > threshold


def measured(known: Known, incoming: Samples, options: DiscoveryOptions) -> tuple[np.ndarray, float]:
    """Open-set distances (n,), and the threshold that the known recordings give."""
    if len(known.samples) <= options.k:
        raise InputError(
            "too-few-known", f"{len(known.samples)} known recordings; more than {options.k} are needed"
        )
    models = {known.samples.model, incoming.model} - {"-"}
    if len(incoming) and (len(models) > 1 or known.unit.shape[1] != incoming.embeddings.shape[1]):
        raise InputError("bad-samples", "known and incoming recordings were embedded by different models")
    rows = unit(incoming.embeddings)
    starts = range(0, len(rows), BLOCK)
    distances = [similar_to_distance(rows[i : i + BLOCK] @ known.unit.T, options.k) for i in starts]
    threshold = float(np.quantile(known.own_distances(options.k), options.quantile))
    return np.concatenate(distances or [np.zeros(0)]), threshold


def find_clusters(
    known: Known, incoming: Samples, options: DiscoveryOptions = DiscoveryOptions()
) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Clusters of unexplained recordings that are no known generator.

    Average linkage on cosines, down to the similarity that keeps known generators whole. Of very many
    recordings the last CLUSTERED are clustered.

    Returns:
        Rows of each cluster, the largest first; the unexplained rows; the least mean similarity.

    Raises:
        InputError: as `unexplained`.
        MissingExtra: scikit-learn is not installed.
    """
    with needs_extra("ops"):
        from sklearn.cluster import AgglomerativeClustering

    distances, threshold = measured(known, incoming, options)
    similarity = known.tightness(options.tightness, 1 - threshold)
    there = set(known.samples.ids)
    new = np.array([key not in there for key in incoming.ids], bool) & incoming.embeddings.any(1)
    rows = np.flatnonzero((distances > threshold) & new)
    last = rows[-CLUSTERED:]
    if len(last) < max(options.smallest, 2):
        return [], rows, similarity
    vectors = unit(incoming.embeddings[last])
    method = AgglomerativeClustering(
        n_clusters=None,  # pyright: ignore[reportArgumentType]
        metric="cosine",
        linkage="average",
        distance_threshold=max(1 - similarity, 0),
    )
    labels = method.fit_predict(vectors)
    clusters = [last[labels == label] for label in np.unique(labels)]
    found = [
        cluster
        for cluster in clusters
        if len(cluster) >= options.smallest
        and max(nearness(known, unit(incoming.embeddings[cluster]).mean(0)).values(), default=-1) < similarity
    ]
    return sorted(found, key=len, reverse=True), rows, similarity


def nearness(known: Known, centre: np.ndarray) -> dict[str, float]:
    """Mean similarity of the recordings with this mean embedding to each known generator and voice."""
    return {name: float(mean @ centre) for name, mean in known.means.items()}


def update_proposals(
    previous: Sequence[Proposal],
    known: Known,
    incoming: Samples,
    when: str,
    options: DiscoveryOptions = DiscoveryOptions(),
) -> list[Proposal]:
    """One look at what came in: earlier proposals as they are now, and new ones behind them.

    `incoming` is best all that is not labelled yet: what came before can then be sorted anew. Where it is
    only what came since, clusters of it join the earlier proposals that they are near enough to, and nothing
    leaves those.

    Args:
        previous: what the look before gave.
        known: labelled samples; those of them that also come in are passed over.
        incoming: not changed.
        when: of this look, ISO 8601.
        options: as they were at the look before.

    Raises:
        InputError: as `unexplained`.
        MissingExtra: scikit-learn is not installed.
    """
    clusters, _, similarity = find_clusters(known, incoming, options)
    owners = match(previous, clusters, incoming, similarity)
    claimed = {incoming.ids[row] for cluster in clusters for row in cluster.tolist()}
    labelled = dict(zip(known.samples.ids, known.kinds.tolist(), strict=True))
    found = []
    for i, proposal in enumerate(previous):
        parts = [cluster for cluster, owner in zip(clusters, owners, strict=True) if owner == i]
        if parts:
            found.append(grown(proposal, known, incoming, np.concatenate(parts), when, options))
        elif proposal.status != STATES[0] or len(proposal.ids & claimed) <= SHARED * len(proposal.members):
            found.append(settled(replace(proposal, grew=0, announced=False), labelled))
    for cluster, owner in zip(clusters, owners, strict=True):
        if owner is None:
            found.append(started(known, incoming, cluster, when, options))
    return found


def settled(proposal: Proposal, labelled: Mapping[str, str]) -> Proposal:
    """A proposal as labelled where all its members have been, one by one."""
    if proposal.status != STATES[0] or not proposal.ids <= set(labelled):
        return proposal
    name = Counter(labelled[key] for key in proposal.ids).most_common(1)[0][0]
    return replace(proposal, status=STATES[1], name=name[:LONGEST])


def match(
    previous: Sequence[Proposal], clusters: Sequence[np.ndarray], incoming: Samples, similarity: float
) -> list[int | None]:
    """For each cluster the earlier proposal that it is: by shared members, else by similarity of centres.

    An earlier one that falls apart stays with the part that shares most.
    """
    owners: list[int | None] = [None] * len(clusters)
    pairs = []
    for c, cluster in enumerate(clusters):
        ids = {incoming.ids[row] for row in cluster}
        for p, proposal in enumerate(previous):
            shared = len(ids & proposal.ids)
            if shared and shared >= SHARED * min(len(ids), len(proposal.members)):
                pairs.append((-shared, p, c))
    held = set()
    for _, p, c in sorted(pairs):
        if owners[c] is None and p not in held:
            owners[c] = p
            held.add(p)
    there = set(incoming.ids)
    away = [
        (p, np.array(proposal.centre))
        for p, proposal in enumerate(previous)
        if proposal.model == incoming.model and not proposal.ids & there
    ]
    for c, cluster in enumerate(clusters):
        if owners[c] is not None:
            continue
        centre = unit(incoming.embeddings[cluster]).mean(0)
        near = {p: float(other @ centre) for p, other in away if len(other) == len(centre)}
        best = max(near, key=lambda p: near[p], default=None)
        owners[c] = best if best is not None and near[best] >= similarity else None
    return owners


def started(
    known: Known, incoming: Samples, rows: np.ndarray, when: str, options: DiscoveryOptions
) -> Proposal:
    """A proposal that was not there before."""
    ids = "\0".join(sorted(incoming.ids[row] for row in rows))
    key = f"g-{hashlib.sha256(ids.encode('utf-8', 'replace')).hexdigest()[:10]}"
    empty = Proposal(key, when, [], [], 0, False, [], 0.0, [], [], 0.0, ("-", 0.0), "", [])
    return grown(empty, known, incoming, rows, when, options)


def grown(
    proposal: Proposal,
    known: Known,
    incoming: Samples,
    rows: np.ndarray,
    when: str,
    options: DiscoveryOptions,
) -> Proposal:
    """A proposal with these rows as its members; earlier ones that did not come in again stay too."""
    there = set(incoming.ids)
    gone = [member for member in proposal.members if member.id not in there]
    members = gone + members_of(incoming, rows)
    vectors = unit(incoming.embeddings[rows])
    centre = vectors.mean(0)
    if gone and len(proposal.centre) == len(centre) and proposal.model == incoming.model:
        centre = (len(gone) * np.array(proposal.centre) + len(rows) * centre) / len(members)
    typical = rows[np.argsort(-(vectors @ centre), kind="stable")[:SHOWN]]
    nearest = sorted(nearness(known, centre).items(), key=lambda one: -one[1])[:SHOWN]
    grew = len({member.id for member in members} - proposal.ids)
    return replace(
        proposal,
        members=members,
        looks=[*proposal.looks, (when, len(members))],
        grew=grew,
        announced=proposal.status == STATES[0] and grew > 0 and len(members) >= options.least,
        examples=[incoming.ids[row] for row in typical],
        within=cohesion(centre, len(members)),
        near=nearest,
        centre=[float(value) for value in centre],
        model=incoming.model,
        **judged(members, options),
    )


def members_of(incoming: Samples, rows: np.ndarray) -> list[Member]:
    """Rows as members."""
    paths, sources = incoming.column("path"), incoming.column("source")
    found = []
    for i in rows.tolist():
        path, source = paths[i][:LONGEST], sources[i][:LONGEST]
        found.append(Member(incoming.ids[i], path, source, float(incoming.scores[i])))
    return found


def judged(members: Sequence[Member], options: DiscoveryOptions) -> dict[str, Any]:
    """How the detector does on members if all of them are fake, and whether one source made them.

    Intervals take recordings one by one: those of one source are alike, and then it is really wider.
    """
    scores = np.array([member.score for member in members])
    shares: list[tuple[float, ...]] = []
    for threshold in options.thresholds:
        count = int((scores >= threshold).sum())
        shares.append((float(threshold), count / len(scores), *wilson(count, len(scores), LEVEL)))
    sources = Counter(member.source for member in members if member.source not in ("", "-"))
    name, count = (sources.most_common(1) or [("-", 0)])[0]
    share = count / len(members)
    warning = f"{share:.0%} come from {name}: it may be one speaker or channel, and no generator"
    return {
        "called_genuine": shares,
        "median_score": float(np.median(scores)),
        "one_source": (name, share),
        "warning": warning[:LONGEST] if share > options.one_source else "",
    }
