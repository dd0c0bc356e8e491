"""What fine-tuning minimises: GRPO as published, what it amounts to without sampling, and comparators.

Convention: `logits` (batch, 2), column 1 is bona fide; `labels` (batch,) int64, 1 is bona fide. Every
function returns the losses (batch,), float32 (float64 of float64), whose mean over the whole batch of
all processes is to be minimised. p is the probability of a clip's own label, so 1 - p is its error.

Source: Wang, Ge and Yamagishi, arXiv:2603.02914, and the authors' code (algo/rl.py of
nii-yamagishilab/AntiDeepfake). With s = log p - log(1 - p), the margin, and no pull to the reference,
the gradient of each loss is -w, where w, the weight of a clip, is

    cross-entropy        1 - p               largest for clips that are wrong, or wrongly labelled
    GRPO, utterance      sqrt(p (1 - p))     that of -2 arcsin(sqrt(p))
    GRPO, batch          p (1 - p) / sigma   that of (1 - p) / sigma, the mean absolute error rescaled
    mean absolute error  p (1 - p)
    GCE                  p^q (1 - p)

GRPO's in expectation over the drawn labels, while the old policy is the current one: the deterministic
losses are its limit of many samples. Where a loss is normalised over the batch, that is the batch that
one process sees in one pass: the mean and sigma are not shared over processes or accumulated batches,
so there the number of processes changes the losses a little.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from earwitness.errors import InputError

STD_FLOOR = 1e-5  # the authors'; added to a standard deviation
LARGEST = 20.0  # ours: log-ratios stop here, where exp is still far from infinite

Losses = Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor]


@dataclass(frozen=True)
class Needs:
    """Which further logits an objective reads."""

    reference: bool  # of the frozen model that training began from
    old: bool  # of the policy as it was some steps ago


OBJECTIVES: Mapping[str, Needs] = {
    "grpo": Needs(reference=True, old=True),
    "grpo-simple": Needs(reference=True, old=False),
    "grpo-exact": Needs(reference=True, old=False),
    "arcsine": Needs(reference=True, old=False),
    "cross-entropy": Needs(reference=False, old=False),
    "cross-entropy-kl": Needs(reference=True, old=False),
    "mae": Needs(reference=False, old=False),
    "gce": Needs(reference=False, old=False),
}
NORMALISE = ("utterance", "batch")


@dataclass(frozen=True)
class ObjectiveOptions:
    """The numbers of the objectives; each reads its own."""

    samples: int  # labels drawn of each clip; published: 64
    beta: float  # weight of the pull to the reference; published: 0.04
    clip_ratio: float  # what p / p_old may differ from 1 by; published: 0.2
    normalise: str  # rewards: over the labels drawn of an utterance (paper) or of the batch (code)
    q: float  # of GCE; published: 0.7


def log_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """(batch, 2), (batch,) -> (batch, 2), at least float32: log(1 - p) and log p."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide.log_softmax(1).gather(1, torch.stack([1 - labels, labels], dim=1))


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p, (batch,)."""
    return -log_probabilities(logits, labels)[:, 1]


def mean_absolute_error(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - p, (batch,): the probability of the other label.

    Half of the MAE in Ghosh, Kumar and Sastry, "Robust Loss Functions under Label Noise for Deep
    Neural Networks", AAAI 2017, who sum over both labels.
    """
    return log_probabilities(logits, labels)[:, 0].exp()


def generalised_cross_entropy(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    """(1 - p^q) / q, (batch,): cross-entropy as q goes to 0, mean absolute error at 1.

    Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels", NeurIPS 2018: their L_q, without truncation.
    """
    return -torch.expm1(q * log_probabilities(logits, labels)[:, 1]) / q


def kl_to_reference(logits: Tensor, reference: Tensor) -> Tensor:
    """KL(p_ref || p) of each clip, (batch,), exact; its gradient by the margin is p - p_ref.

    Args:
        logits: (batch, 2).
        reference: (batch, 2), of the frozen model; no gradient goes there.
    """
    wide = torch.promote_types(logits.dtype, torch.float32)
    log_p, log_ref = logits.to(wide).log_softmax(1), reference.detach().to(wide).log_softmax(1)
    return (log_ref.exp() * (log_ref - log_p)).sum(1)


def arcsine(logits: Tensor, labels: Tensor) -> Tensor:
    """-2 arcsin(sqrt(p)), (batch,), from 0 down to -pi: GRPO normalised by utterance, without sampling."""
    roots = (0.5 * log_probabilities(logits, labels)).exp()
    return -2 * torch.atan2(roots[:, 1], roots[:, 0])  # sine and cosine: no division by zero at 0 and 1


def scaled_error(logits: Tensor, labels: Tensor) -> Tensor:
    """(1 - p) / sigma, (batch,): GRPO normalised over the batch, without sampling.

    sigma, a constant to the gradient, is the standard deviation of the rewards of labels drawn of all
    clips of the batch: the square root of mean(p) mean(1 - p). Of this process's part of the batch.
    """
    found = log_probabilities(logits, labels).exp()
    sigma = found.detach().mean(0).prod().sqrt() + STD_FLOOR
    return found[:, 0] / sigma


def advantages(matches: Tensor, normalise: str) -> Tensor:
    """Rewards (batch, samples), 1 where a drawn label is right, less their mean, over their deviation.

    Args:
        matches: (batch, samples), int64.
        normalise: "utterance", over the samples of each clip; "batch", over all samples of all clips
            that this process sees in one pass.
    """
    rewards = matches.float()
    if normalise == "batch":
        return (rewards - rewards.mean()) / (rewards.std() + STD_FLOOR)
    return (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + STD_FLOOR)


def clipped(ratio: Tensor, advantage: Tensor, clip_ratio: float) -> Tensor:
    """min(ratio A, clip(ratio) A): what has already gone far enough in the wanted direction stops."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip_ratio, 1 + clip_ratio) * advantage)


def grpo(
    logits: Tensor,
    labels: Tensor,
    reference: Tensor,
    old: Tensor,
    options: ObjectiveOptions,
    generator: torch.Generator | None = None,
) -> Tensor:
    """GRPO of arXiv:2603.02914, (batch,): draw labels from the old policy, reward those that are right.

    With `old` the logits themselves this is the paper's GRPO_s: the ratio is 1, and never clipped. The
    value tells little, since advantages have a mean of 0: only the gradient learns. Departures:

    1. Labels are drawn from the old policy, as in the paper. The authors' code draws from the current
       one and still divides by the old, which counts the change of policy twice.
    2. `options.normalise`: "utterance" is the paper's, "batch" what the authors' code does.
    3. Log-ratios stop at 20, so that no loss is infinite: only a label whose probability is 5e8 times
       what it was, or was in the reference 5e8 times what it is, notices.

    As in their code, deviations are the unbiased ones plus 1e-5, and the pull to the reference is
    k3 = exp(d) - d - 1 with d = log p_ref - log p of the drawn labels. In expectation that has the
    gradient of KL(p_ref || p), but only while the old policy is the current one; and where the policy
    gives a label much less than 1 / samples, it is hardly ever drawn, whatever the reference thinks.

    Args:
        logits: (batch, 2).
        labels: (batch,).
        reference: (batch, 2), of the frozen model; of no account if beta is 0.
        old: (batch, 2), of the policy as it was when last refreshed; no gradient goes there.
        options: all but q.
        generator: draws the labels, on the device of the logits; without one torch's global generator.
    """
    now, before = log_probabilities(logits, labels), log_probabilities(old.detach(), labels)
    draws = torch.rand(len(labels), options.samples, generator=generator, device=logits.device)
    matches = (draws < before[:, 1:].exp()).long()  # (batch, samples), as all below
    log_p = now.gather(1, matches)
    ratio = (log_p - before.gather(1, matches)).clamp(max=LARGEST).exp()
    d = (log_probabilities(reference.detach(), labels).gather(1, matches) - log_p).clamp(max=LARGEST)
    k3 = torch.expm1(d) - d
    gain = clipped(ratio, advantages(matches, options.normalise), options.clip_ratio)
    return (options.beta * k3 - gain).mean(1)


def objective(name: str, options: ObjectiveOptions) -> Losses:
    """The objective of that name: (logits, labels, reference logits, old logits) -> losses (batch,).

    The last two may be None where `OBJECTIVES` says that they are not needed. "grpo" and "grpo-simple"
    are `grpo`, the latter with the current policy for the old one; "grpo-exact" and "arcsine" are their
    limits without sampling, normalised over the batch and by utterance. To these two and to
    "cross-entropy-kl" comes beta KL(p_ref || p).

    Raises:
        InputError: `usage`: no such objective, or a number that it cannot have.
    """
    if name not in OBJECTIVES:
        raise InputError("usage", f"--objective {name!r}: one of {', '.join(OBJECTIVES)}")
    check_objective(options)
    needs = OBJECTIVES[name]
    plain = {
        "grpo-exact": scaled_error,
        "arcsine": arcsine,
        "cross-entropy": cross_entropy,
        "cross-entropy-kl": cross_entropy,
        "mae": mean_absolute_error,
        "gce": partial(generalised_cross_entropy, q=options.q),
    }

    def losses(logits: Tensor, labels: Tensor, reference: Tensor | None, old: Tensor | None) -> Tensor:
        if name not in plain:
            return grpo(logits, labels, given(reference), given(old) if needs.old else logits, options)
        found = plain[name](logits, labels)
        return found + options.beta * kl_to_reference(logits, given(reference)) if needs.reference else found

    return losses


def given(logits: Tensor | None) -> Tensor:
    """The logits, which the recipe must have computed."""
    if logits is None:
        raise TypeError("this objective needs logits that were not given: see OBJECTIVES")
    return logits


def check_objective(options: ObjectiveOptions) -> None:
    """Refuse numbers with which nothing can be computed.

    Raises:
        InputError: `usage`, naming the flag.
    """
    if options.normalise not in NORMALISE:
        raise InputError("usage", f"--normalise {options.normalise!r}: one of {', '.join(NORMALISE)}")
    for name, low, high in (
        ("samples", 2, 65_536),
        ("beta", 0, 1e6),
        ("clip_ratio", 0, 1),
        ("q", 1e-3, 1),
    ):
        if not low <= getattr(options, name) <= high:
            flag = name.replace("_", "-")
            raise InputError("usage", f"--{flag}: between {low} and {high}, got {getattr(options, name)}")


def interpolate(
    reference: Mapping[str, Tensor], trained: Mapping[str, Tensor], weight: float
) -> dict[str, Tensor]:
    """Weights between two models: the reference's at 0, the trained one's at 1.

    Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT), CVPR 2022. Dtype and device are
    those of the trained model, from which also comes what is no floating-point number (counters).

    Args:
        reference: state dict of the model that training began from.
        trained: state dict of the same network after it; adapters merged.
        weight: of the trained model, 0 to 1.

    Raises:
        InputError: `usage`: such a weight; `other-weights`: names or shapes of the two differ.
    """
    if not 0 <= weight <= 1:
        raise InputError("usage", f"weight of the trained model: between 0 and 1, got {weight}")
    odd = sorted(reference.keys() ^ trained.keys())
    odd += [name for name in trained if name in reference and reference[name].shape != trained[name].shape]
    if odd:
        raise InputError(
            "other-weights",
            f"cannot average two models: {len(odd)} tensors are missing in one or of another shape, "
            f"the first of them {odd[0]!r}; take the reference that training began from, adapters merged",
        )
    return {
        name: torch.lerp(reference[name].to(tensor), tensor, weight) if tensor.is_floating_point() else tensor
        for name, tensor in trained.items()
    }
