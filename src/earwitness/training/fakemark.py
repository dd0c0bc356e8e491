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
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from earwitness.audio.protocol import Utterance, read_protocols
from earwitness.training import watermark_losses as quality
from earwitness.training.checkpoints import load, save
from earwitness.training.collaborator import make_collaborator
from earwitness.training.marking import ADDED, BITS, SCHEMES, SIGNED, codewords, make_generator, make_reader
from earwitness.training.marking_hosts import Hosts, Marking, hosts_of, stretch
from earwitness.training.marking_steps import State, classify, learn, stage_of
from earwitness.training.runs import Log, begin, check_same, digest_of

AUDIOCRAFT = {"adversarial": 4.0, "features": 4.0, "l1": 0.1, "mel": 2.0, "loudness": 10.0}
NETWORKS = ("generator", "reader", "judge")
OPTIMISERS = ("writes", "reads", "judges")


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
    writes, reads, judges = (
        torch.optim.AdamW(parameters, rate, betas=(0.8, 0.98), weight_decay=0.01)
        for parameters, rate in (
            (generator.parameters(), how.rate),
            (groups, how.rate),
            (judge.parameters(), how.rate / 3),
        )
    )
    for optimiser in (writes, reads, judges):
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]
    return State(
        generator, reader, judge, messages, writes, reads, judges, quality.Balancer(AUDIOCRAFT, how.quiet)
    )


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
