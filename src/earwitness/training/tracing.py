"""A baseline for source tracing: linear filter banks, a small ResNet34, and large-margin cosine loss.

What stands as "ResNet34 + LFB + LMCL" beside FakeMark (arXiv:2510.12042): a network that learns nothing but
which system made a clip. `evidence/attribution.build` takes its embeddings like any others. The network is
that of `decision/heads/resnet34.py`, narrower, so that one processor core trains it within hours; the loss
is CosFace (Wang et al., arXiv:1801.09414, equation 4) over all classes.

Each clip of a batch is of a class drawn evenly, and then of a recording of it: large classes count no more
than small ones. Nothing is augmented.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.protocol import Utterance
from earwitness.decision.heads.resnet34 import MARGIN, ResNet34, large_margin_cosine_loss
from earwitness.errors import InputError
from earwitness.training.clips import LEAST_SAMPLES, cut, lengthen
from earwitness.training.schedules import learning_rate

LONGEST_S = 10.0  # heard of a recording when it is embedded
LARGEST_GRADIENT = 5.0  # its norm
Read = Callable[[int, np.random.Generator], np.ndarray]  # row -> a stretch of it, (samples,)


@dataclass(frozen=True)
class Sizes:
    """Of the network; the published ones are those of `ResNet34`."""

    stem: int = 8
    widths: tuple[int, ...] = (16, 32, 64, 128)
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    pooled: int = 128
    embedding: int = 128


@dataclass(frozen=True)
class TracingOptions:
    """How the baseline is trained."""

    steps: int = 2_000
    batch: int = 16  # clips
    crop_s: float = 3.0
    rate: float = 1e-3  # the highest
    warm_up: float = 0.05  # share of the steps
    final: float = 0.05  # share of the highest rate that is left at the end
    decay: float = 1e-4
    scale: float = 30.0  # s of CosFace
    margin: float = MARGIN  # m of CosFace
    seed: int = 0
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network that tells systems apart."""

    network: ResNet34  # its own two logits are not trained and mean nothing
    centres: Tensor  # (classes, embedding)
    names: tuple[str, ...]  # of the classes
    losses: tuple[float, ...]  # of each step


def margin_loss(embeddings: Tensor, centres: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Large-margin cosine loss of embeddings (batch, size), of any length, a scalar.

    Args:
        embeddings: (batch, size). centres: (classes, size), one a class. labels: (batch,) int64.
        scale: s of CosFace. margin: m of CosFace.
    """
    cosines = F.linear(F.normalize(embeddings), F.normalize(centres))
    return large_margin_cosine_loss(cosines, labels, scale, margin)


def reader(items: Sequence[Utterance], crop_s: float) -> Read:
    """Random stretches of recordings, all of one length; short recordings are repeated."""

    def read(row: int, rng: np.random.Generator) -> np.ndarray:
        return cut(items[row], round(crop_s * SAMPLE_RATE), True, rng)

    return read


def batches(codes: np.ndarray, read: Read, options: TracingOptions) -> Iterator[tuple[Tensor, Tensor]]:
    """Audio (batch, samples) and classes (batch,) of each step; every class as likely as any other."""
    rng = np.random.default_rng([options.seed, 1])
    members = [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]
    for _ in range(options.steps):
        labels = rng.integers(0, len(members), options.batch)
        clips = np.stack([read(int(rng.choice(members[label])), rng) for label in labels])
        yield torch.from_numpy(clips.astype(np.float32)), torch.from_numpy(labels)


def train(
    read: Read,
    names: Sequence[str],
    options: TracingOptions = TracingOptions(),
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> Trained:
    """Learn who made what.

    Args:
        read: a stretch of the recording of a row, all of one length.
        names: (rows,) who made each.
        options: how.
        report: called after each step.

    Raises:
        InputError: `bad-labels`: fewer than two names; `diverged`: the loss is no number; or a recording
            cannot be decoded.
    """
    classes, codes = np.unique(np.asarray(names, str), return_inverse=True)
    if len(classes) < 2:
        raise InputError("bad-labels", "expected recordings by two systems or more to tell apart")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = ResNet34(**vars(options.sizes)).train()
        centres = nn.Parameter(torch.randn(len(classes), options.sizes.embedding))
    network.classify.requires_grad_(False)
    learnt = [*(p for p in network.parameters() if p.requires_grad), centres]
    optimiser = torch.optim.AdamW(learnt, options.rate, weight_decay=options.decay)
    losses = []
    for step, (clips, labels) in enumerate(batches(codes, read, options)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.rate, options.warm_up, options.final)
        lengths = torch.full((len(clips),), clips.shape[1])
        embeddings = network(clips, lengths).embedding
        loss = margin_loss(embeddings, centres, labels, options.scale, options.margin)
        if not torch.isfinite(loss):
            raise InputError("diverged", f"step {step}: the loss is {loss.item()}; lower the rate")
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, LARGEST_GRADIENT)
        optimiser.step()
        losses.append(float(loss.detach()))
        report(step, losses[-1])
    return Trained(network.eval(), centres.detach(), tuple(map(str, classes)), tuple(losses))


@torch.inference_mode()
def embed(trained: Trained, clips: Iterable[np.ndarray]) -> np.ndarray:
    """Embeddings of whole clips (samples,), each by itself: (clips, size) float32, of unit length."""
    longest, found = int(LONGEST_S * SAMPLE_RATE), []
    for clip in clips:
        audio = torch.from_numpy(lengthen(np.asarray(clip, np.float32), LEAST_SAMPLES)[:longest].copy())
        output = trained.network(audio[None], torch.tensor([len(audio)]))
        found.append(F.normalize(output.embedding)[0].numpy())
    return np.stack(found) if found else np.zeros((0, trained.centres.shape[1]), np.float32)
