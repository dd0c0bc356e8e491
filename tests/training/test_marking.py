"""Networks of watermarks: lengths, batches, silence, and that numpy shapes as torch does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import ARCHITECTURES

from earwitness.evidence import shaping
from earwitness.training.collaborator import Collaborator
from earwitness.training.magnitudes import MOST, MagnitudeEar, istft, stft
from earwitness.training.marking import (
    ADDED,
    BITS,
    SCHEMES,
    SIGNED,
    codewords,
    make_generator,
    make_reader,
    read,
    residual_of,
    shaped,
)
from earwitness.training.seanet import HOP, Decoder, Encoder, whole_hops


def speech(seconds=1.0, seed=0):
    """Something with a pitch, an envelope and pauses, (samples,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(16_000 * seconds)) / 16_000
    voice = sum(np.sin(2 * np.pi * 120 * k * time + k) / k for k in range(1, 30))
    return (
        0.1 * voice * (np.sin(2 * np.pi * 1.5 * time) > -0.3) + 1e-3 * rng.standard_normal(len(time))
    ).astype(np.float32)


def batch(count=3, seconds=1.0):
    return torch.from_numpy(np.stack([speech(seconds, seed) for seed in range(count)]))


def generator_of(scheme):
    torch.manual_seed(0)
    size = BITS.get(scheme, 12)
    return make_generator(scheme, size, 4, 16, 4), torch.sign(torch.randn(3, size))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_clip_is_marked_alone_as_in_a_batch_and_stays_within_the_bound(scheme):
    generator, message = generator_of(scheme)
    host = batch()
    with torch.inference_mode():
        together = residual_of(scheme, generator, host, message)
        alone = residual_of(scheme, generator, host[1:2], message[1:2])
    assert together.shape == host.shape
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)
    snr_db = 10 * torch.log10(host.square().sum(1) / together.square().sum(1))
    assert (snr_db > (17 if scheme in ADDED else -20 * np.log10(MOST))).all()
    assert ((host + together) * host).sum(1).min() > 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("samples", [16_000, 15_999, 7_777])
def test_silence_stays_silent_and_any_length_is_kept(scheme, samples):
    generator, message = generator_of(scheme)
    with torch.inference_mode():
        quiet = residual_of(scheme, generator, torch.zeros(1, samples), message[:1])
    assert quiet.shape == (1, samples)
    assert quiet.abs().max() < 1e-6


@pytest.mark.parametrize("scheme", SCHEMES)
def test_messages_change_the_mark_and_every_parameter_of_the_generator_learns(scheme):
    generator, message = generator_of(scheme)
    host = batch()
    marks = residual_of(scheme, generator, host, message)
    other = residual_of(scheme, generator, host, -message)
    assert (marks - other).square().sum() > 1e-3 * marks.square().sum()
    (marks**3).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters())


@pytest.mark.parametrize("scheme", sorted(BITS))
def test_readers_give_frames_of_bits_and_presence_of_samples(scheme):
    torch.manual_seed(0)
    reader = make_reader(scheme, 4, 16, 4)
    audio = batch()
    with torch.inference_mode():
        marked, says = read(scheme, reader, audio)
        alone = read(scheme, reader, audio[2:])[1]
    assert says.shape[0::2] == (3, BITS[scheme])
    torch.testing.assert_close(says[2:], alone, atol=1e-4, rtol=1e-3)
    assert (marked is None) == (scheme == "timbre")
    if marked is not None:
        assert marked.shape == audio.shape


@pytest.mark.parametrize("ear", ["waveform", "magnitude"])
def test_a_collaborator_hears_frames_and_holds_its_front_end_still(ear):
    torch.manual_seed(0)
    collaborator = Collaborator(replace(ARCHITECTURES["whisper"], normalise=True), ear, 4, 5)
    audio = batch()
    marked, says = collaborator(audio)
    assert marked.shape == (3, 50)
    assert says.shape == (3, 50, 5)
    torch.testing.assert_close(collaborator(audio[1:2])[1], says[1:2], atol=1e-4, rtol=1e-3)
    collaborator.still = True
    audio.requires_grad_(True)
    collaborator(audio)[1].square().sum().backward()
    learnt = [name for name, p in collaborator.named_parameters() if p.grad is not None]
    assert learnt
    assert not any(name.startswith("front_end") for name in learnt)


def test_the_bound_is_the_same_in_numpy_and_torch():
    rng = np.random.default_rng(0)
    host, proposed = speech(0.7), rng.standard_normal(11_200).astype(np.float32)
    ours = shaping.shaped(proposed, host)
    theirs = shaped(torch.from_numpy(proposed)[None], torch.from_numpy(host)[None])[0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert np.sum(host**2) / np.sum(ours**2) > 10**1.8


def test_an_encoder_and_a_decoder_keep_time():
    torch.manual_seed(0)
    encoder, decoder = Encoder(4, 8), Decoder(4, 8)
    audio = torch.randn(2, 10 * HOP)
    assert encoder(audio).shape == (2, 8, 10)
    assert decoder(encoder(audio)).shape == audio.shape
    assert whole_hops(audio[:, 5:]).shape == audio.shape


def test_an_ear_on_magnitudes_hears_as_many_frames_and_no_level():
    torch.manual_seed(0)
    ear, audio = MagnitudeEar(4, 6), batch()
    assert ear(audio).shape == (3, 6, 50)
    torch.testing.assert_close(ear(audio), ear(audio * 0.5), atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(istft(stft(audio), audio.shape[1]), audio, atol=1e-5, rtol=1e-4)


def test_codewords_are_distinct_far_apart_and_always_the_same():
    words = codewords(16, 16)
    apart = (words[:, None] != words[None]).sum(2) + 16 * np.eye(16, dtype=int)
    assert apart.min() >= 5
    np.testing.assert_array_equal(words, codewords(16, 16))
    assert len(np.unique(codewords(16, 4), axis=0)) == 16
    with pytest.raises(ValueError, match="name 16 generators at most"):
        codewords(17, 4)


def test_signed_schemes_are_those_with_collaborators():
    assert set(SIGNED) | set(BITS) == set(SCHEMES)
