"""One step of training a watermark: draw, mark, attack, read, and learn from it.

The stages are those of `earwitness.training.fakemark`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.audio.augment.distortions import distort, training_names
from earwitness.training import watermark_losses as quality
from earwitness.training.attacks import attack, straight_through
from earwitness.training.marking import SIGNED, read, residual_of
from earwitness.training.marking_hosts import Hosts, Marking, draw

STAGES = ("classify", "begin", "together", "harden")
ATTACKED = 0.5  # of clips, once attacks have grown,
GROWN = 0.7  # which is after this share of the stage "together"
LATER = 0.2  # share of that stage after which presence is learnt in earnest


@dataclass
class State:
    """All that the next step depends on."""

    generator: nn.Module
    reader: nn.Module
    judge: quality.Discriminator
    messages: Tensor  # (names, size)
    writes: torch.optim.Optimizer  # of the generator
    reads: torch.optim.Optimizer  # of the reader
    judges: torch.optim.Optimizer
    balancer: quality.Balancer
    step: int = 0


def stage_of(how: Marking, step: int) -> tuple[str, float]:
    """The stage of a step, and which share of it is over."""
    shares = np.array(how.stages if how.scheme in SIGNED else (0.0, *how.stages[1:]))
    ends = np.cumsum(shares / shares.sum()) * how.steps
    place = min(int(np.searchsorted(ends, step, side="right")), len(STAGES) - 1)
    start = ends[place - 1] if place else 0.0
    return STAGES[place], float((step - start) / max(1.0, ends[place] - start))


def heard(how: Marking, state: State, audio: Tensor) -> tuple[Tensor | None, Tensor]:
    """What the reader makes of audio (batch, samples), float32."""
    with torch.autocast("cpu", torch.bfloat16):
        marked, says = read(how.scheme, state.reader, audio)
    return None if marked is None else marked.float(), says.float()


def residual_on(how: Marking, state: State, host: Tensor, message: Tensor) -> Tensor:
    """What a mark adds to hosts (batch, samples): at first `loudest` times too loud, to be found at all."""
    stage, share = stage_of(how, state.step)
    loud = how.loudest ** (max(0.0, 1 - share / how.quiet_from) if stage in STAGES[:2] else 0.0)
    return residual_of(how.scheme, state.generator, host, message, loud, half=True)


def message_for(how: Marking, state: State, names: Tensor, rng: np.random.Generator) -> Tensor:
    """The messages of names, (batch, size); of sixteen bits any, so that they can name anyone."""
    if how.scheme != "audioseal":
        return state.messages[names]
    bits = rng.integers(0, 2, (len(names), state.messages.shape[1]))
    return torch.from_numpy(2.0 * bits - 1).float()


def naming(how: Marking, says: Tensor, names: Tensor, message: Tensor) -> Tensor:
    """Loss of what was read, says (batch, frames, outputs), against what was written."""
    pooled = says.mean(1)
    if how.scheme in SIGNED:
        return F.cross_entropy(pooled, names)
    if how.scheme == "timbre":
        return F.mse_loss(pooled, message)
    return F.binary_cross_entropy_with_logits(pooled, (message + 1) / 2)


def presence(logits: Tensor | None, wanted: Tensor) -> Tensor:
    """Loss of whether there is a mark, wanted (batch, samples); nothing where a scheme cannot tell."""
    if logits is None:
        return torch.zeros(())
    steps = F.interpolate(wanted[:, None], logits.shape[1])[:, 0]
    return F.binary_cross_entropy_with_logits(logits, steps)


def gaps(host: Tensor, rng: np.random.Generator) -> Tensor:
    """Where marks are kept, (batch, samples) of 0 and 1: one clip in five loses its mark over a stretch."""
    kept = torch.ones_like(host)
    for row in kept:
        if rng.random() < 0.2:
            size = int(rng.uniform(0.3, 0.5) * len(row))
            start = int(rng.integers(0, len(row) - size))
            row[start : start + size] = 0
    return kept


def suffer(audio: Tensor, stage: str, share: float, rng: np.random.Generator) -> Tensor:
    """Audio (batch, samples) after what happens to it in a stage of which `share` is over."""
    if stage == "begin":
        return audio
    if stage != "harden":
        return attack(audio, rng, ATTACKED * min(1.0, share / GROWN))
    names, clips = training_names(), []
    for clip in audio:
        name = names[rng.integers(len(names))] if rng.random() < 0.8 else ""
        after = distort(clip.detach().numpy(), name, rng) if name else clip.detach().numpy()
        clips.append(straight_through(clip, after))
    return torch.stack(clips)


def classify(how: Marking, state: State, hosts: Hosts) -> dict[str, float]:
    """One step of the first stage: names of unmarked speech."""
    host, _, own = draw(hosts, how, state.step)
    rng = np.random.default_rng([how.seed, state.step, 1])
    _, says = heard(how, state, attack(host, rng, 0.5))
    mine = own >= 0
    loss = naming(how, says[mine], own[mine], state.messages[own[mine]])
    state.reads.zero_grad()
    loss.backward()
    state.reads.step()
    return {"intrinsic": float(loss.detach())}


def learn(how: Marking, state: State, hosts: Hosts, stage: str, share: float) -> dict[str, float]:
    """One step of a later stage."""
    host, names, own = draw(hosts, how, state.step)
    rng = np.random.default_rng([how.seed, state.step, 1])
    message = message_for(how, state, names, rng)
    writing = stage != "harden"
    setattr(state.reader, "still", stage == "begin")  # noqa: B010 (modules declare no such thing)
    for optimiser in (state.reads, state.writes):
        optimiser.zero_grad()
    with torch.set_grad_enabled(writing):
        residual = residual_on(how, state, host, message)
    marked = (host + residual).detach().requires_grad_(writing)  # where reading and quality meet
    losses = reading(how, state, (host, marked), (names, own, message), stage, share, rng)
    torch.stack(list(losses.values())).sum().backward()
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    values["snr_db"] = float(10 * torch.log10(host.square().sum() / residual.detach().square().sum()))
    if writing:
        assert marked.grad is not None
        values["pull"] = float(marked.grad.norm(dim=1).mean())
        slope = marked.grad
        if stage != "begin" and values["snr_db"] < how.enough_db:
            slope = slope + quiet(how, state, marked, host, stage, values) * values["pull"]
        common = (0.0 if stage == "begin" else how.pattern) * quality.pattern(residual)
        torch.autograd.backward([residual, common], [slope, torch.ones(())])
        nn.utils.clip_grad_norm_(state.generator.parameters(), 3.0)
        state.writes.step()
    nn.utils.clip_grad_norm_(state.reader.parameters(), 3.0)
    state.reads.step()
    return values


def reading(
    how: Marking,
    state: State,
    audio: tuple[Tensor, Tensor],
    written: tuple[Tensor, Tensor, Tensor],
    stage: str,
    share: float,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Losses of what is read of hosts and marked audio, (batch, samples) each.

    `written` are the names of the marks, those of who made the hosts (-1 where they have none), and messages.
    """
    (host, marked), (names, own, message) = audio, written
    kept = gaps(host, rng)
    logits, says = heard(how, state, suffer(host + (marked - host) * kept, stage, share, rng))
    # What only says "marked" is learnt at once, and leaves no room within the bound for what says who: later.
    present = how.present[stage == "harden" or (stage == "together" and share > LATER)]
    losses = {"name": naming(how, says, names, message), "mark": present * presence(logits, kept)}
    if logits is not None:
        logits, says = heard(how, state, suffer(host, stage, share, rng))
        losses["no mark"] = present * presence(logits, torch.zeros_like(host))
    if how.scheme in SIGNED:
        mine = own >= 0
        losses["intrinsic"] = how.intrinsic * naming(how, says[mine], own[mine], message[mine])
    if how.scheme in SIGNED and stage != "begin" and state.step % 2:
        losses["overwritten"] = how.overwritten * second_mark(how, state, marked, names, stage, share, rng)
    return losses


def second_mark(
    how: Marking,
    state: State,
    marked: Tensor,
    names: Tensor,
    stage: str,
    share: float,
    rng: np.random.Generator,
) -> Tensor:
    """Loss of the first name where half of the clips are marked again with another."""
    half = how.batch // 2
    others = (names[:half] + torch.from_numpy(rng.integers(1, len(state.messages), half))) % len(
        state.messages
    )
    twice = marked[:half] + residual_on(how, state, marked[:half], state.messages[others])
    _, says = heard(how, state, suffer(twice, stage, share, rng))
    return naming(how, says, names[:half], state.messages[names[:half]])


def quiet(
    how: Marking, state: State, marked: Tensor, host: Tensor, stage: str, values: dict[str, float]
) -> Tensor:
    """The gradient (batch, samples) of all that keeps a mark inaudible; the discriminator learns here too."""
    losses = {
        "l1": F.l1_loss(marked, host),
        "mel": quality.multi_scale_mel(marked, host),
        "loudness": quality.loudness_ratio(marked - host, host),
    }
    if stage == "together" and state.step % 2 == 0:
        few = slice(0, how.judged)
        losses["adversarial"], losses["features"] = quality.adversarial(state.judge, marked[few], host[few])
    slope = state.balancer.gradient(losses, marked)
    values |= {name: float(loss.detach()) for name, loss in losses.items()}
    if "adversarial" in losses:
        state.judges.zero_grad()
        judged = quality.judging(state.judge, marked[: how.judged], host[: how.judged])
        judged.backward()
        state.judges.step()
        values["judge"] = float(judged.detach())
    return slope
