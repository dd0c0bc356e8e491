"""Train a watermark that names generators: FakeMark, or one of two baselines on the same data and budget.

    python -m earwitness.training.fakemark PROTOCOL... --scheme fakemark-a --from BUNDLE --out RUN

Sources: Ge et al., "FakeMark", arXiv:2510.12042; San Roman et al. (AudioSeal), arXiv:2401.17264; Liu et al.
(Timbre), NDSS 2024. Signatures are those of the generators' artefacts: the mean embedding that the
collaborator, before it has heard any mark, makes of a generator's unmarked speech.

Stages, as shares of the steps:

  classify  the collaborator learns generators from unmarked speech (FakeMark alone)
  begin     the collaborator's front end stands still, marks are learnt; nothing is attacked
  together  both learn, attacks grow to their full share, a discriminator judges
  harden    the generator stands still, the reader hears every distortion of `distortions.training_names()`

Departures, beside those of `evidence.shaping`, `training.collaborator` and `training.magnitudes`: weights of
FakeMark's losses are ours, as the paper's are not known; networks are small and budgets hours of a processor,
where theirs are days of GPUs; marks begin too loud, or nothing is found to learn from; baselines get the last
stage too. Half of a batch are recordings by the named generators, who mark as themselves; the others are of
anyone, genuine speech included, marked with any name, so that "marked" is not learnt as "fake". Every random
draw is a function of seed and step: a run that was killed goes on as if it had not been.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from earwitness.audio.augment.distortions import distort, training_names
from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.errors import InputError
from earwitness.training import watermark_losses as quality
from earwitness.training.attacks import attack, straight_through
from earwitness.training.checkpoints import load, save
from earwitness.training.clips import cut
from earwitness.training.collaborator import make_collaborator
from earwitness.training.marking import (
    ADDED,
    BITS,
    SCHEMES,
    SIGNED,
    SchemeName,
    codewords,
    make_generator,
    make_reader,
    read,
    residual_of,
)
from earwitness.training.runs import Log, begin, check_same, digest_of

ATTACKED = 0.7  # of clips, once attacks have grown
QUIET = 1e-3  # rms under which a stretch is drawn again
AUDIOCRAFT = {"adversarial": 4.0, "features": 4.0, "l1": 0.1, "mel": 2.0, "loudness": 10.0}
STAGES = ("classify", "begin", "together", "harden")


@dataclass(frozen=True)
class Marking:
    """How a watermark is trained. Sizes are for a processor; the papers' are in brackets."""

    scheme: SchemeName = "fakemark-a"
    names: int = 16  # generators, those with most recordings,
    generators: str = ""  # or these, with commas between
    steps: int = 1_500
    stages: tuple[float, ...] = (0.05, 0.4, 0.4, 0.15)  # shares of the steps
    batch: int = 8
    crop_s: float = 1.28
    filters: int = 8  # of the SEANet (32)
    width: int = 64  # of its hidden sequence (128)
    channels: int = 8  # of the magnitude networks (64)
    layers: int = 2  # of the collaborator's front end
    rate: float = 1e-3  # of the generator and of readers made new
    collaborator_rate: float = 1e-4
    judged: int = 4  # clips that the discriminator hears, every other step
    judge_filters: int = 8  # (32)
    present: float = 0.02  # weight of "there is a mark", at first
    quiet: float = 0.1  # norm of the gradient of all that keeps a mark inaudible, over that of reading
    intrinsic: float = 0.5  # weight of naming unmarked speech
    overwritten: float = 0.5  # weight of the first name under a second mark
    loudest: float = 5.0  # times too loud is a mark in the first step,
    quiet_from: float = 0.8  # and as loud as it will be from this share of the stage "begin" on
    pattern: float = 0.1  # weight of what residuals have in common
    seed: int = 7
    save_every: int = 50


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


@dataclass(frozen=True)
class Hosts:
    """What is marked."""

    named: list[list[Utterance]]  # recordings of each generator that has a name
    others: list[Utterance]
    names: list[str]


def hosts_of(items: Sequence[Utterance], how: Marking) -> Hosts:
    """The generators that get a name, and everybody else, genuine speech included.

    Raises:
        InputError: `too-few-names`: fewer generators than names, or none of a name.
    """
    numbers = Counter(name_of(item) for item in items if not item.bona_fide and name_of(item) != "-")
    names = how.generators.split(",") if how.generators else sorted(numbers, key=lambda name: -numbers[name])
    names = sorted(names[: how.names])
    absent = [name for name in names if not numbers[name]]
    if absent or len(names) < 2:
        what = f"no recording is by {absent[0]!r}" if absent else f"{len(names)} generators to be named"
        raise InputError("too-few-names", f"{what}; name two or more that are in the protocols")
    mine = [[item for item in items if not item.bona_fide and name_of(item) == name] for name in names]
    return Hosts(mine, [item for item in items if item.bona_fide or name_of(item) not in names], names)


def name_of(item: Utterance) -> str:
    """Who made a recording: its architecture, or the system where a corpus does not tell."""
    return item.architecture if item.architecture != "-" else item.generator


def draw(hosts: Hosts, how: Marking, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hosts (batch, samples), names to mark them with (batch,), and own names (batch,), -1 where none."""
    rng = np.random.default_rng([how.seed, step])
    clips, names, own = [], [], []
    for place in range(how.batch):
        code = int(rng.integers(len(hosts.names)))
        mine = place % 2 == 0
        pool = hosts.named[code] if mine else hosts.others
        clips.append(stretch(pool, how, rng))
        names.append(code)
        own.append(code if mine else -1)
    return torch.from_numpy(np.stack(clips)), torch.tensor(names), torch.tensor(own)


def stretch(pool: Sequence[Utterance], how: Marking, rng: np.random.Generator) -> np.ndarray:
    """A stretch of a recording drawn, (samples,), not silent where that can be had, at a level drawn."""
    samples = round(how.crop_s * SAMPLE_RATE)
    audio = np.zeros(samples, np.float32)
    for _ in range(5):
        audio = cut(pool[rng.integers(len(pool))], samples, True, rng)
        if np.sqrt(np.mean(audio**2)) > QUIET:
            break
    peak = float(np.abs(audio).max()) + 1e-6
    return (audio * min(1.0, 10 ** (rng.uniform(-20, 0) / 20) / peak)).astype(np.float32)


def make(how: Marking, hosts: Hosts, front_end: Path | None) -> State:
    """New networks of a scheme."""
    torch.manual_seed(how.seed)
    if how.scheme in SIGNED:
        assert front_end is not None
        ear, size = ("waveform", how.filters) if how.scheme in ADDED else ("magnitude", how.channels)
        reader: nn.Module = make_collaborator(front_end, how.layers, ear, size, len(hosts.names))
        messages = torch.zeros(len(hosts.names), reader.front_end.architecture.width)
    else:
        reader = make_reader(how.scheme, how.filters, how.width, how.channels)
        messages = torch.from_numpy(codewords(len(hosts.names), BITS[how.scheme]))
    generator = make_generator(how.scheme, messages.shape[1], how.filters, how.width, how.channels)
    judge = quality.Discriminator(how.judge_filters)
    known = [p for name, p in reader.named_parameters() if name.startswith("front_end.") and p.requires_grad]
    fresh = [p for name, p in reader.named_parameters() if not name.startswith("front_end.")]
    groups = [{"params": fresh}, *([{"params": known, "lr": how.collaborator_rate}] if known else [])]
    optimisers = [
        torch.optim.AdamW(parameters, rate, betas=(0.8, 0.98), weight_decay=0.01)
        for parameters, rate in (
            (generator.parameters(), how.rate),
            (groups, how.rate),
            (judge.parameters(), how.rate / 3),
        )
    ]
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
    return State(generator, reader, judge, messages, *optimisers, quality.Balancer(AUDIOCRAFT, how.quiet))


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
        return attack(audio, rng, ATTACKED * min(1.0, share / 0.7))
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
    state.reader.still = stage == "begin"
    for optimiser in (state.reads, state.writes):
        optimiser.zero_grad()
    with torch.set_grad_enabled(writing):
        residual = residual_on(how, state, host, message)
    marked = (host + residual).detach().requires_grad_(writing)  # where reading and quality meet
    kept = gaps(host, rng)
    logits, says = heard(how, state, suffer(host + (marked - host) * kept, stage, share, rng))
    # What only says "marked" is learnt at once, and leaves no room within the bound for what says who: later.
    present = how.present if stage == "begin" else 1.0
    losses = {"name": naming(how, says, names, message), "mark": present * presence(logits, kept)}
    mine = own >= 0
    if how.scheme in SIGNED or how.scheme == "audioseal":
        logits, says = heard(how, state, suffer(host, stage, share, rng))
        losses["no mark"] = present * presence(logits, torch.zeros_like(host))
    if how.scheme in SIGNED:
        losses["intrinsic"] = how.intrinsic * naming(how, says[mine], own[mine], message[mine])
    if how.scheme in SIGNED and stage != "begin" and state.step % 2:
        losses["overwritten"] = how.overwritten * second_mark(how, state, marked, names, stage, share, rng)
    torch.stack(list(losses.values())).sum().backward()
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    if writing:
        assert marked.grad is not None
        values["pull"] = float(marked.grad.norm(dim=1).mean())
        slope = marked.grad
        if stage != "begin":
            slope = slope + quiet(how, state, marked, host, stage, values) * values["pull"]
        common = (0.0 if stage == "begin" else how.pattern) * quality.pattern(residual)
        torch.autograd.backward([residual, common], [slope, torch.ones(())])
        nn.utils.clip_grad_norm_(state.generator.parameters(), 3.0)
        state.writes.step()
    nn.utils.clip_grad_norm_(state.reader.parameters(), 3.0)
    state.reads.step()
    values["snr_db"] = float(10 * torch.log10(host.square().sum() / residual.detach().square().sum()))
    return values


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


def signatures(how: Marking, state: State, hosts: Hosts) -> Tensor:
    """Of each generator, (names, size): the mean embedding of its unmarked speech, standardised over them."""
    rng = np.random.default_rng([how.seed, 2])
    rows = []
    with torch.inference_mode():
        for pool in hosts.named:
            clips = torch.from_numpy(np.stack([stretch(pool, how, rng) for _ in range(how.batch)]))
            rows.append(state.reader.embed(clips).mean(0))  # type: ignore[operator]
    table = torch.stack(rows)
    return ((table - table.mean(0)) / table.std(0).clamp(min=1e-4)).clone()


def train(how: Marking, items: Sequence[Utterance], front_end: Path | None, run: Path) -> State:
    """Train, or go on where a run stopped; the folder then holds `config.json`, a log and the checkpoint.

    Raises:
        InputError: `bad-run` (another run lives there), `too-few-names`, or a recording that cannot be read.
    """
    hosts = hosts_of(items, how)
    config = {"recipe": "fakemark", **asdict(how), "data": digest_of(items), "named": hosts.names}
    check_same(run, config)
    begin(run, config)
    state = make(how, hosts, front_end)
    if (run / "checkpoint.pt").exists():
        restore(state, load(run / "checkpoint.pt"))
    log = Log(run / "log.jsonl", state.step)
    while state.step < how.steps:
        stage, share = stage_of(how, state.step)
        if how.scheme in SIGNED and stage != "classify" and not state.messages.any():
            state.messages = signatures(how, state, hosts)
        torch.manual_seed(how.seed * 1_000_003 + state.step)
        for optimiser in (state.writes, state.reads, state.judges):
            for group in optimiser.param_groups:  # falls over the last third
                group["lr"] = group["initial_lr"] * min(1.0, 0.05 + 3 * (1 - state.step / how.steps))
        step = classify(how, state, hosts) if stage == "classify" else learn(how, state, hosts, stage, share)
        state.step += 1
        log({"step": state.step, "stage": stage, **{name: round(value, 5) for name, value in step.items()}})
        if state.step % how.save_every == 0 or state.step == how.steps:
            save(run / "checkpoint.pt", frozen(state))
            print(f"{state.step} of {how.steps}, {stage}: {summary(step)}", flush=True)
    return state


def summary(values: dict[str, float]) -> str:
    """Losses in one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


NETWORKS = ("generator", "reader", "judge")
OPTIMISERS = ("writes", "reads", "judges")


def frozen(state: State) -> dict[str, Any]:
    """The state as tensors and plain values."""
    parts = {name: getattr(state, name).state_dict() for name in (*NETWORKS, *OPTIMISERS)}
    kept = {"norms": state.balancer.norms, "steps": state.balancer.steps}
    return {**parts, "balancer": kept, "messages": state.messages, "step": state.step}


def restore(state: State, kept: dict[str, Any]) -> None:
    """Put `frozen` back."""
    for name in (*NETWORKS, *OPTIMISERS):
        getattr(state, name).load_state_dict(kept[name])
    state.balancer.norms, state.balancer.steps = (
        dict(kept["balancer"]["norms"]),
        dict(kept["balancer"]["steps"]),
    )
    state.messages, state.step = kept["messages"], int(kept["step"])


def main() -> None:
    """Parse and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("protocols", nargs="+", type=Path)
    parser.add_argument("--root", type=Path, help="folder of the corpus, where it is not beside the protocol")
    parser.add_argument(
        "--from", dest="front_end", type=Path, help="bundle whose front end the collaborator has"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    for name, default in asdict(Marking()).items():
        kind = type(default)
        if kind in (int, float) or name == "generators":
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default)
    parser.add_argument("--scheme", choices=SCHEMES, default=Marking.scheme)
    given = vars(parser.parse_args())
    torch.set_num_threads(given.pop("threads"))
    protocols, root, front_end, out = (given.pop(key) for key in ("protocols", "root", "front_end", "out"))
    how = Marking(**given)
    if how.scheme in SIGNED and front_end is None:
        parser.error("a collaborator needs --from BUNDLE, for instance of training.whisper_weights")
    train(how, read_protocols(protocols, root), front_end, out)


if __name__ == "__main__":
    main()
