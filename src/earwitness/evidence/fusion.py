"""The detector's LLR and what the neighbours say, as one LLR.

The neighbours can only add: llr + weight * (score of the neighbours), where a base that holds nothing near
scores zero. So a base of five fakes leaves everything alone that does not sound like them, and there is no
step where neighbours come into sight. The weight is learnt by logistic regression with the LLR as it is.
"""

from dataclasses import dataclass

import numpy as np

STEPS = 50


@dataclass(frozen=True)
class Fusion:
    """llr + weight * retrieval score."""

    weight: float = 0.0

    def apply(self, llr: np.ndarray, retrieval: np.ndarray) -> np.ndarray:
        """Fused LLRs of LLRs and retrieval scores, (recordings,) each."""
        return llr + self.weight * retrieval


def fit_fusion(llr: np.ndarray, retrieval: np.ndarray, bona_fide: np.ndarray, ridge: float = 1e-6) -> Fusion:
    """Learn the weight from labelled recordings, (recordings,) each, that are no neighbours of themselves.

    Both classes weigh alike, so that the result is an LLR whatever the base holds more of. A base whose
    neighbours speak against their own label gets the weight zero.
    """
    shares = np.where(bona_fide, 0.5 / max(bona_fide.sum(), 1), 0.5 / max((~bona_fide).sum(), 1))
    weight = 0.0
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(llr + weight * retrieval, -500, 500)))
        gradient = (shares * (p - bona_fide) * retrieval).sum() + ridge * weight
        curvature = (shares * p * (1 - p) * retrieval**2).sum() + ridge
        step = gradient / curvature
        weight -= float(np.clip(step, -5, 5))
        if abs(step) < 1e-9:
            break
    return Fusion(max(weight, 0.0))
