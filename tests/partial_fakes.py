"""Recordings that are fake in part, made up in whole milliseconds so that tests can count them."""

import numpy as np

from earwitness.metrics.spans import Recording

HOP_MS = 20


def made_up(seed, count, spoofed=0.7, hop_ms=HOP_MS, apart=1.5):
    """`count` recordings of 0.3 to 1.5 s, a share of them with one to three spoofed spans; some noise."""
    rng = np.random.default_rng(seed)
    return [one(rng, rng.random() < spoofed, hop_ms, apart) for _ in range(count)]


def one(rng, spoofed, hop_ms=HOP_MS, apart=1.5):
    duration = int(rng.integers(300, 1500))
    spans = spans_ms(rng, duration, int(rng.integers(1, 4))) if spoofed else []
    edges = np.arange(-(-duration // hop_ms) + 1) * hop_ms
    middle = (edges[:-1] + edges[1:]) / 2
    inside = np.zeros(len(middle))
    for start, end in spans:
        inside += (start <= middle) & (middle < end)
    found = spans_ms(rng, duration, int(rng.integers(0, 4)))
    if spans and rng.random() < 0.7:  # near the truth
        found = []
        for a, b in np.clip(np.array(spans) + rng.integers(-40, 40, (len(spans), 2)), 0, duration):
            found += [(a, b)] if a < b and a >= (found[-1][1] if found else 0) else []
    return Recording(
        duration / 1000,
        np.array(spans, float).reshape(-1, 2) / 1000,
        edges / 1000,
        np.round(rng.normal(-apart * inside, 1), 1),  # ties are meant
        np.array(found, float).reshape(-1, 2) / 1000,
        np.round(rng.normal(0, 1, len(found)), 1),
        float(rng.normal(-apart * bool(spans), 1)),
    )


def spans_ms(rng, duration, count):
    """Up to `count` disjoint spans that do not touch, in order."""
    cuts = np.unique(rng.integers(0, duration + 1, 2 * count))
    return [(int(a), int(b)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]


def milliseconds(spans, duration_s):
    """Whether each millisecond of a recording lies in one of the spans (S, 2) of seconds."""
    inside = np.zeros(round(duration_s * 1000), bool)
    for start, end in np.round(np.asarray(spans).reshape(-1, 2) * 1000).astype(int):
        inside[start:end] = True
    return inside


def scores_by_millisecond(recording):
    """Score of each millisecond of a recording, from its frames, (milliseconds,)."""
    lengths = np.diff(np.round(recording.edges * 1000).astype(int))
    scores = np.repeat(recording.scores, lengths)
    return np.pad(scores, (0, 10_000), mode="edge")[: round(recording.duration_s * 1000)]
