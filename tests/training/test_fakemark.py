"""The recipe of watermarks on a small corpus: learns, resumes exactly, and what it leaves needs no torch."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from tiny import ARCHITECTURES

from earwitness.audio.io import load
from earwitness.audio.protocol import Utterance
from earwitness.decision.network import Blueprint, Network
from earwitness.errors import InputError
from earwitness.evidence.watermark import embed, listen
from earwitness.evidence.watermark_bundle import open_scheme
from earwitness.training import fakemark, marking_steps, watermark_export
from earwitness.training.marking import SCHEMES, residual_of
from earwitness.training.marking_hosts import Marking, draw, hosts_of
from earwitness.training.start import write_bundle

SMALL = Marking(
    names=3, steps=10, stages=(0.1, 0.3, 0.3, 0.3), batch=4, filters=2, width=8, channels=2, layers=1,
    judged=2, judge_filters=2, crop_s=0.64, save_every=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three generators, each a pitch, and a person: seven seconds in all."""
    folder, items = tmp_path_factory.mktemp("corpus"), []
    rng = np.random.default_rng(0)
    time = np.arange(16_000) / 16_000
    for i in range(16):
        who = ("one", "other", "third", "-")[i % 4]
        voice = sum(np.sin(2 * np.pi * (100 + 30 * (i % 4)) * k * time + k) / k for k in range(1, 20))
        path = folder / f"{i}.flac"
        soundfile.write(path, 0.1 * voice + 0.01 * rng.standard_normal(16_000), 16_000)
        items.append(
            Utterance(
                id=str(i), path=path, bona_fide=who == "-", dataset="small", architecture=who, generator=who,
                group=str(i % 2), duration_s=1.0,
            )
        )  # fmt: skip
    return items


@pytest.fixture(scope="module")
def front_end(tmp_path_factory):
    """A bundle with a tiny front end and nothing else."""
    torch.manual_seed(0)
    blueprint = Blueprint(None, ARCHITECTURES["whisper"])
    network = Network(replace(blueprint, head="linear"))
    about = {"name": "tiny", "licence": "none"}
    return write_bundle(
        tmp_path_factory.mktemp("bundle") / "tiny", network, blueprint, network.state_dict(), about
    )


def weights(state):
    return torch.cat(
        [p.detach().flatten() for p in (*state.generator.parameters(), *state.reader.parameters())]
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    scheme, corpus, front_end, tmp_path, monkeypatch
):
    how = replace(SMALL, scheme=scheme)
    whole = fakemark.train(how, corpus, front_end, tmp_path / "whole")
    steps, learn = [], fakemark.learn

    def stops(*args):
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return learn(*args)

    monkeypatch.setattr(fakemark, "learn", stops)
    with pytest.raises(KeyboardInterrupt):
        fakemark.train(how, corpus, front_end, tmp_path / "parts")
    monkeypatch.setattr(fakemark, "learn", learn)
    again = fakemark.train(how, corpus, front_end, tmp_path / "parts")
    assert again.step == whole.step == how.steps
    torch.testing.assert_close(weights(again), weights(whole), rtol=0, atol=0)
    torch.testing.assert_close(again.messages, whole.messages)
    log = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == list(range(1, how.steps + 1))
    assert all(np.isfinite(value) for entry in log for key, value in entry.items() if key != "stage")
    with pytest.raises(InputError, match="holds a run with batch"):
        fakemark.train(replace(how, batch=6), corpus, front_end, tmp_path / "parts")


def test_marks_are_learnt_from(corpus, front_end, tmp_path):
    how = replace(
        SMALL, scheme="timbre", steps=60, stages=(0.05, 0.95, 0, 0), batch=8, channels=4, loudest=15
    )
    fakemark.train(how, corpus, front_end, tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [entry["name"] for entry in log if "name" in entry]
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:4])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_exported_marks_and_reads_as_torch_does(scheme, corpus, front_end, tmp_path):
    how = replace(SMALL, scheme=scheme)
    state = fakemark.train(how, corpus, front_end, tmp_path / "run")
    unmarked = [item for item in corpus for _ in range(2)]
    folder = tmp_path / "exported"
    scheme_ = watermark_export.export(tmp_path / "run", unmarked, "small", folder, front_end)
    assert open_scheme(folder).digest == scheme_.digest
    assert scheme_.names == ("one", "other", "third")
    rng = np.random.default_rng(0)
    time = np.arange(24_000) / 16_000
    host = (0.1 * np.sin(2 * np.pi * 200 * time) + 0.01 * rng.standard_normal(24_000)).astype(np.float32)
    for network in (state.generator, state.reader):
        for parameter in network.parameters():
            parameter.data = parameter.data.half().float()
    with torch.inference_mode():
        added = residual_of(how.scheme, state.generator, torch.from_numpy(host)[None], state.messages[1:2])
    gain = json.loads((folder / "watermark.json").read_text())["gain"]
    marked = embed(scheme_, host, 16_000, scheme_.messages[1], 1 / gain)
    np.testing.assert_allclose(marked - host, added[0].numpy(), atol=2e-4)
    if 0.1 < gain < 10:
        decibels = []
        for number, item in enumerate(unmarked):
            clip = load(item.path)
            louder = embed(scheme_, clip, 16_000, scheme_.messages[number % 3]) - clip
            decibels.append(10 * np.log10(np.mean(clip**2) / np.mean(louder**2)))
        assert np.mean(decibels) == pytest.approx(watermark_export.SNR_DB, abs=0.3)
    heard = listen(scheme_, marked, 16_000)
    with torch.inference_mode():
        read, says = marking_steps.read(how.scheme, state.reader, torch.from_numpy(marked)[None])
    scale = json.loads((folder / "watermark.json").read_text()).get("scale", 1.0)
    np.testing.assert_allclose(heard.says / scale, says.mean(1)[0].numpy(), atol=2e-2, rtol=2e-2)
    if read is not None:
        assert heard.score == pytest.approx(float(read.clamp(-8, 8).mean()), abs=2e-2)


def test_bits_are_scaled_to_log_odds():
    """Of margins drawn with log-odds 3 m, the most likely scale is 3."""
    rng = np.random.default_rng(0)
    said = rng.uniform(-1, 1, 40_000)
    margins = np.where(rng.random(40_000) < 1 / (1 + np.exp(-3 * said)), said, -said)
    assert watermark_export.likeliest(margins) == pytest.approx(3, rel=0.05)


def test_named_generators_take_half_of_a_batch_and_every_draw_repeats(corpus):
    hosts = hosts_of(corpus, SMALL)
    assert hosts.names == ["one", "other", "third"]
    assert [len(pool) for pool in hosts.named] == [4, 4, 4]
    assert all(item.bona_fide for item in hosts.others)
    host, names, own = draw(hosts, SMALL, 3)
    assert host.shape == (4, 10_240)
    assert (own[0::2] == names[0::2]).all()
    assert (own[1::2] == -1).all()
    assert torch.equal(draw(hosts, SMALL, 3)[0], host)
    assert not torch.equal(draw(hosts, SMALL, 4)[0], host)
    assert hosts_of(corpus, replace(SMALL, generators="third,one")).names == ["one", "third"]


@pytest.mark.parametrize("wanted", ["one,nobody", "one"])
def test_names_that_nobody_has_are_refused(corpus, wanted):
    with pytest.raises(InputError, match="name two or more"):
        hosts_of(corpus, replace(SMALL, generators=wanted))


def test_stages_follow_each_other_and_schemes_with_bits_have_none_to_classify():
    how = replace(SMALL, steps=100)
    stages = [marking_steps.stage_of(how, step)[0] for step in range(100)]
    assert [stages.count(name) for name in marking_steps.STAGES] == [10, 30, 30, 30]
    bits = [marking_steps.stage_of(replace(how, scheme="timbre"), step)[0] for step in range(100)]
    assert bits[0] == "begin"
    assert [stage for stage in marking_steps.STAGES if stage in bits] == ["begin", "together", "harden"]
    shares = [marking_steps.stage_of(how, step)[1] for step in range(10, 40)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
