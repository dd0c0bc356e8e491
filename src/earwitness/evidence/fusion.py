"""The detector's LLR and what the neighbours say, as one LLR.

Where the base holds nothing near a recording, the detector decides alone: a k-NN score far from all that is
known says which cloud is less far, not what was heard. Near is what all but one in a hundred recordings
of the base are to their own nearest neighbour.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.decision.calibration import fit_logistic

UNCOVERED = 0.01  # share of the base's own entries that would not be covered


@dataclass(frozen=True)
class Fusion:
    """llr = detector * llr + retrieval * score + offset, where the nearest neighbour is as near as `covered`."""

    detector: float = 1.0
    retrieval: float = 0.0
    offset: float = 0.0
    covered: float = -1.0

    def apply(self, llr: np.ndarray, retrieval: np.ndarray, similarity: np.ndarray) -> np.ndarray:
        """Fused LLRs of LLRs, retrieval scores and greatest similarities, (recordings,) each."""
        fused = self.detector * llr + self.retrieval * retrieval + self.offset
        return np.where(similarity >= self.covered, fused, llr)


def fit_fusion(
    llr: np.ndarray, retrieval: np.ndarray, similarity: np.ndarray, bona_fide: np.ndarray
) -> Fusion:
    """Learn it from labelled recordings, (recordings,) each, that are no neighbours of themselves.

    Both classes weigh alike, so that the result is an LLR whatever the base holds more of.

    Raises:
        InputError: `bad-scores`: a class is missing, or something is not finite.
    """
    columns = np.column_stack([llr, retrieval])
    weights, offset = fit_logistic(columns[bona_fide], columns[~bona_fide], ridge=1e-3)
    covered = float(np.quantile(similarity, UNCOVERED))
    return Fusion(float(weights[0]), float(weights[1]), offset, covered)
