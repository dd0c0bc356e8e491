"""The network that is trained; needs torch, which scanning does not."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def network():
    from earwitness.decision.logmel_cnn import LogMelCnn

    torch.manual_seed(0)
    return LogMelCnn().eval()


def test_the_convolution_is_the_fourier_transform(speech):
    from earwitness.decision.logmel_cnn import HOP, WINDOW, fourier_kernels

    wave = torch.from_numpy(speech[:8_000])[None, None]
    both = torch.nn.functional.conv1d(wave, torch.from_numpy(fourier_kernels()), stride=HOP)[0]
    frames = np.lib.stride_tricks.sliding_window_view(speech[:8_000], WINDOW)[::HOP]
    expected = np.fft.rfft(frames * np.hanning(WINDOW + 1)[:-1]).T
    real, imaginary = both.chunk(2)
    np.testing.assert_allclose(real.numpy(), expected.real, atol=2e-4)
    np.testing.assert_allclose(-imaginary.numpy(), expected.imag, atol=2e-4)


def test_mel_filters_are_normal_and_ordered():
    from earwitness.decision.logmel_cnn import MELS, WINDOW, mel_filters

    filters = mel_filters()
    assert filters.shape == (WINDOW // 2 + 1, MELS)
    np.testing.assert_allclose(filters.sum(0), 1, rtol=1e-5)
    assert np.all(np.diff(filters.argmax(0)) >= 0)


def test_padding_does_not_change_a_clip(network, speech):
    lengths = torch.tensor([80_000, 33_333, 50_001])
    waves = torch.zeros(3, 80_000)
    for row, n in zip(waves, lengths, strict=True):
        row[:n] = torch.from_numpy(speech[: int(n)])
    with torch.no_grad():
        scores, frames, embedding = network(waves, lengths)
        for i, n in enumerate(lengths):
            score, frame, emb = network(waves[i : i + 1, :n], lengths[i : i + 1])
            torch.testing.assert_close(scores[i : i + 1], score, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(embedding[i : i + 1], emb, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(frames[i, : frame.shape[1]], frame[0], atol=1e-4, rtol=1e-4)


def test_every_parameter_learns(network, speech):
    network.train()
    scores, frames, _ = network(
        torch.from_numpy(speech[None, :32_000]).repeat(2, 1), torch.tensor([32_000] * 2)
    )
    (scores.sum() + frames.mean()).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    network.eval()
    assert silent in ([], ["attention.bias"])  # softmax over time cancels a constant
