"""A detector taught new recordings by what its embedding says of them, its score where it was else.

The LLR gets a term that is linear in the unit embedding, fitted by logistic regression with a Gaussian prior
around no change at all: few labels change little, and what the labels say nothing of stays. Labels of before
(replay) have part of the weight. That is fine-tuning of the last layer by Newton's method, a second's work
for any bundle with a graph; the embedding stays the same, and so do knowledge bases.

The regression is that of `calibration.py`; to begin from the old model's answer is the prior of model
adaptation, as in C. Chelba and A. Acero, "Adaptation of maximum entropy capitalizer", EMNLP 2004.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.errors import InputError, ModelError, needs_extra

# Chosen on the simulated year of `benchmarks/stream.py`, flat around these values for 12 to 800 labels.
PRECISION = 1.0  # of the prior of each weight, in labels
WORTH = 3.0  # labels of before that a new one counts as
STEPS = 50


@dataclass(frozen=True)
class Correction:
    """What is added to an LLR."""

    weights: np.ndarray  # (size,) of the unit embedding
    offset: float

    def apply(self, llr: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        """Corrected LLRs (n,) of LLRs (n,) and embeddings (n, size) of any length."""
        return llr + unit(embeddings) @ self.weights + self.offset


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)


def fit_correction(
    llr: np.ndarray,
    embeddings: np.ndarray,
    bona_fide: np.ndarray,
    new: np.ndarray,
    precision: float = PRECISION,
    worth: float = WORTH,
) -> Correction:
    """Fit to new labels and to labels of before.

    Args:
        llr: (n,) of the detector as it is.
        embeddings: (n, size).
        bona_fide: (n,) bool.
        new: (n,) bool, the others are replay.
        precision: of the prior; all labels weigh as many as there are.
        worth: labels of before that a new one counts as; either class has half of either part's weight.

    Raises:
        InputError: `bad-samples`: no new label, or one class only.
    """
    if not new.any() or len(np.unique(bona_fide)) < 2:
        raise InputError(
            "bad-samples", "new labels, and labels of both classes with the old ones, are needed"
        )
    share = worth * new.sum() / (worth * new.sum() + (~new).sum())
    weights = len(new) * weights_of(bona_fide, new, share)
    return Correction(*solve(llr, unit(embeddings.astype(float)), bona_fide, weights, precision))


def weights_of(bona_fide: np.ndarray, new: np.ndarray, share: float) -> np.ndarray:
    """Weight of each label, (n,), one in all: each part has its share, either class half of that."""
    weights = np.zeros(len(new))
    for part, part_share in ((new, share), (~new, 1 - share)):
        classes = [part & (bona_fide == label) for label in (True, False)]
        there = [rows for rows in classes if rows.any()]
        for rows in there:
            weights[rows] = part_share / len(there) / rows.sum()
    return weights / weights.sum()


def solve(
    llr: np.ndarray, rows: np.ndarray, bona_fide: np.ndarray, shares: np.ndarray, precision: float
) -> tuple[np.ndarray, float]:
    """Weights (size,) and offset, by Newton's method; of the prior the offset has a trace only."""
    design = np.column_stack([rows, np.ones(len(rows))])
    prior = np.full(design.shape[1], precision)
    prior[-1] *= 1e-3
    found = np.zeros(design.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(llr + design @ found, -500, 500)))
        gradient = design.T @ (shares * (p - bona_fide)) + prior * found
        hessian = (design * (shares * p * (1 - p))[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(hessian, gradient)
        found -= step * min(1.0, 10 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    return found[:-1], float(found[-1])


def correct_graph(graph: Path, target: Path, correction: Correction, scale: float) -> None:
    """Write the graph with a corrected `score`; embedding and frame scores stay as they are.

    Args:
        graph: of a bundle.
        target: where the new one goes; weights that lie outside stay there, for the caller to copy.
        correction: of LLRs; `scale` LLRs are one unit of the graph's score (`Calibration.scale`).

    Raises:
        ModelError: the graph is none of ours, or the embedding has another size.
        MissingExtra: onnx is not installed.
    """
    with needs_extra("train"):
        import onnx
        from onnx import helper, numpy_helper

    model: Any = onnx.load(graph, load_external_data=False)
    outputs = {output.name: output for output in model.graph.output}
    makers = [node for node in model.graph.node if "score" in node.output]
    if "embedding" not in outputs or len(makers) != 1:
        raise ModelError(f"{graph}: makes no score and embedding of its own")
    size = outputs["embedding"].type.tensor_type.shape.dim[1].dim_value
    if size not in (0, len(correction.weights)):
        raise ModelError(
            f"{graph}: embeddings of {size} numbers, the correction of {len(correction.weights)}"
        )
    before = unused("score.before", model)
    makers[0].output[list(makers[0].output).index("score")] = before
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "score":
                node.input[i] = before
    names = {
        key: unused(f"correction.{key}", model) for key in ("weights", "offset", "axes", "square", "length")
    }
    names |= {
        key: unused(f"correction.{key}", model) for key in ("floor", "kept", "product", "cosine", "shift")
    }
    constants = {
        "weights": (correction.weights / scale).astype(np.float32)[:, None],
        "offset": np.array([correction.offset / scale], np.float32),
        "axes": np.array([1], np.int64),
        "floor": np.array([1e-12], np.float32),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(value, names[key]) for key, value in constants.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("ReduceL2", ["embedding", names["axes"]], [names["length"]], keepdims=1),
            helper.make_node("Max", [names["length"], names["floor"]], [names["kept"]]),
            helper.make_node("Div", ["embedding", names["kept"]], [names["cosine"]]),
            helper.make_node("MatMul", [names["cosine"], names["weights"]], [names["product"]]),
            helper.make_node("Add", [names["product"], names["offset"]], [names["shift"]]),
            helper.make_node("Squeeze", [names["shift"], names["axes"]], [names["square"]]),
            helper.make_node("Add", [before, names["square"]], ["score"]),
        ]
    )
    onnx.checker.check_model(model)
    onnx.save(model, target)


def unused(name: str, model: Any) -> str:
    """A name that no value of a graph has yet: a graph may be corrected again and again."""
    taken = {output for node in model.graph.node for output in node.output}
    taken |= {tensor.name for tensor in model.graph.initializer}
    number = next(i for i in range(len(taken) + 1) if f"{name}.{i}" not in taken)
    return f"{name}.{number}"
