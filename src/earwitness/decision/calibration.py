"""Raw scores to log-likelihood ratios: an affine map fitted by prior-weighted logistic regression.

Brümmer & du Preez, "Application-independent evaluation of speaker detection", Computer Speech &
Language 20 (2006), section 5. Positive values speak for bona fide, in nats; with the two classes
weighted alike the map does not carry the class shares of the data it was fitted on.
"""

from dataclasses import dataclass

import numpy as np

from earwitness.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """llr = scale * score + offset."""

    scale: float
    offset: float

    def apply(self, score: np.ndarray | float) -> np.ndarray | float:
        """Scores of any shape -> LLRs of the same shape."""
        return self.scale * score + self.offset


def fit_affine(genuine: np.ndarray, spoof: np.ndarray, ridge: float = 1e-6) -> Calibration:
    """Fit on scores of bona fide (N,) and spoofed (M,) trials by Newton's method.

    `ridge` keeps the map finite where the classes do not overlap.

    Raises:
        InputError: `bad-scores`: a side is empty or not finite.
    """
    weights, offset = fit_logistic(genuine[:, None], spoof[:, None], ridge)
    return Calibration(float(weights[0]), offset)


def fit_logistic(genuine: np.ndarray, spoof: np.ndarray, ridge: float = 1e-6) -> tuple[np.ndarray, float]:
    """As `fit_affine`, on several scores a trial: (N, scores), (M, scores) -> weights (scores,), offset."""
    scores = np.concatenate([genuine, spoof]).astype(float)
    if not (len(genuine) and len(spoof) and np.isfinite(scores).all()):
        raise InputError("bad-scores", "calibration needs finite scores of both classes")
    labels = np.concatenate([np.ones(len(genuine)), np.zeros(len(spoof))])
    shares = np.where(labels == 1, 0.5 / len(genuine), 0.5 / len(spoof))
    middle, spread = scores.mean(0), scores.std(0)
    spread[spread == 0] = 1.0
    design = np.column_stack([(scores - middle) / spread, np.ones(len(scores))])  # (trials, scores + 1)
    parameters = np.zeros(design.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ parameters, -500, 500)))
        gradient = design.T @ (shares * (p - labels)) + ridge * parameters
        hessian = (design * (shares * p * (1 - p))[:, None]).T @ design + ridge * np.eye(len(parameters))
        step = np.linalg.solve(hessian, gradient)
        parameters -= step * min(1.0, 4 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    weights = parameters[:-1] / spread
    return weights, float(parameters[-1] - weights @ middle)


def posterior_of_fake(llr: np.ndarray | float, prior: float) -> np.ndarray | float:
    """P(fake | recording) of an LLR for bona fide, where a share `prior` of recordings is fake."""
    odds = np.clip(np.asarray(llr) - np.log(prior / (1 - prior)), -700, 700)
    p = 1 / (1 + np.exp(odds))
    return float(p) if np.ndim(p) == 0 else p
