"""What keeps a watermark inaudible while it is trained, after AudioCraft's recipe for AudioSeal.

Sources: San Roman et al., arXiv:2401.17264, section 4 and appendix; Défossez et al., arXiv:2210.13438,
section 3.4 (the balancer, the discriminator). Waveforms are (batch, samples) at 16 kHz. The departure: a
block of the loudness is a segment, where the original takes blocks of 0.4 s inside segments of 0.5 s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import mel_filters

MEL_SIZES = (64, 128, 256, 512, 1024)
MEL_BANDS, LOWEST_HZ = 64, 64.0
LOUDNESS_BANDS = 16
LOUDNESS_SIZE = 1024
SEGMENT_FRAMES, SEGMENT_STEP = 31, 15  # of hops of 256 samples: half a second, and half of that
FLOOR = 1e-5
DISCRIMINATOR_SIZES = (1024, 2048, 512, 256, 128)


@cache
def filters_of(size: int, bands: int) -> Tensor:
    """Triangles on the mel scale, (size // 2 + 1, bands), each with a peak of one."""
    return torch.from_numpy(mel_filters(size, bands, LOWEST_HZ, scale="htk", unit_area=False))


def power(waveform: Tensor, size: int) -> Tensor:
    """Power spectra (batch, bins, frames), a quarter of a frame apart."""
    window = torch.hann_window(size, device=waveform.device)
    spectrum = torch.stft(waveform, size, size // 4, window=window, pad_mode="constant", return_complex=True)
    return (spectrum.real**2 + spectrum.imag**2) / window.square().sum()


def multi_scale_mel(marked: Tensor, host: Tensor) -> Tensor:
    """Distance of mel spectra: L1 of magnitudes and squares of log10 magnitudes, the mean over scales."""
    total = marked.new_zeros(())
    for size in MEL_SIZES:
        filters = filters_of(size, MEL_BANDS).to(marked.device)
        ours, theirs = (
            torch.einsum("bft,fm->bmt", (power(audio, size) + 1e-12).sqrt(), filters)
            for audio in (marked, host)
        )
        total = total + F.l1_loss(ours, theirs)
        total = total + F.mse_loss(ours.clamp(min=FLOOR).log10(), theirs.clamp(min=FLOOR).log10())
    return total / (2 * len(MEL_SIZES))


def loudness_ratio(residual: Tensor, host: Tensor) -> Tensor:
    """How loud a residual is beside its host, in dB, most where it is loudest (time-frequency loudness).

    In each mel-spaced band and half-second segment the K-weighted level of the residual less that of the
    host; each clip's differences are weighted by their own softmax.
    """
    filters = filters_of(LOUDNESS_SIZE, LOUDNESS_BANDS).to(host.device)
    weighting = k_weighting(LOUDNESS_SIZE).to(host.device)
    levels = []
    for audio in (residual, host):
        bands = torch.einsum("bft,fm->bmt", power(audio, LOUDNESS_SIZE) * weighting[:, None], filters)
        frames = F.avg_pool1d(bands, min(SEGMENT_FRAMES, bands.shape[-1]), SEGMENT_STEP)
        levels.append(10 * torch.log10(frames + 1e-8))
    ratio = (levels[0] - levels[1]).flatten(1)
    return (F.softmax(ratio, dim=1) * ratio).sum(1).mean()


@cache
def k_weighting(size: int) -> Tensor:
    """Power response of ITU-R BS.1770's K weighting at the bins of a transform, (size // 2 + 1,).

    A shelf of +4 dB above 1.68 kHz and a high-pass at 38 Hz, from their analogue prototypes.
    """
    s = 1j * torch.linspace(0, SAMPLE_RATE / 2, size // 2 + 1, dtype=torch.float64)
    shelf_hz, shelf_q, gain = 1_681.97, 0.7072, 10 ** (4.0 / 20)
    high, band, low = gain, gain**0.4997, 1.0
    ratio = s / shelf_hz
    shelf = (high * ratio**2 + band * ratio / shelf_q + low) / (ratio**2 + ratio / shelf_q + 1)
    ratio = s / 38.135
    cut = ratio**2 / (ratio**2 + ratio / 0.5003 + 1)
    return ((shelf * cut).abs() ** 2).float()


@dataclass
class Balancer:
    """Gradients of several losses by the marked audio, each of a share that does not depend on its scale.

    `norms` are moving averages of the norms of the gradients, a value a clip, as in EnCodec's section 3.4.
    """

    weights: Mapping[str, float]
    total: float = 1.0  # norm of all together, a clip
    decay: float = 0.99  # the original's 0.999 would need thousands of steps
    norms: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def gradient(self, losses: Mapping[str, Tensor], at: Tensor) -> Tensor:
        """The balanced gradient by `at` (batch, samples), to be passed to `at.backward(...)`."""
        whole = sum(self.weights[name] for name in losses)
        result = torch.zeros_like(at)
        for name, loss in losses.items():
            (slope,) = torch.autograd.grad(loss, at, retain_graph=True)
            norm = float(slope.flatten(1).norm(dim=1).mean())
            count = self.steps[name] = self.steps.get(name, 0) + 1
            kept = self.decay * self.norms.get(name, 0.0) + (1 - self.decay) * norm
            self.norms[name] = kept
            usual = kept / (1 - self.decay**count)
            result += self.weights[name] / whole * self.total / (usual + 1e-12) * slope
        return result


class Discriminator(nn.Module):
    """Judges of complex spectra, one for each size (EnCodec's multi-scale STFT discriminator)."""

    def __init__(self, filters: int, sizes: Sequence[int] = DISCRIMINATOR_SIZES) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.judges = nn.ModuleList(judge(filters) for _ in self.sizes)

    def forward(self, waveform: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """(batch, samples) -> logits of each judge, positive where it sounds original, and its features."""
        logits, features = [], []
        for size, layers in zip(self.sizes, self.judges, strict=True):
            window = torch.hann_window(size, device=waveform.device)
            spectrum = torch.stft(
                waveform, size, size // 4, window=window, normalized=True, return_complex=True
            )
            x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # (batch, 2, frames, bins)
            kept = []
            assert isinstance(layers, nn.ModuleList)
            for layer in layers[:-1]:
                x = F.leaky_relu(layer(x), 0.3)
                kept.append(x)
            logits.append(layers[-1](x))
            features.append(kept)
        return logits, features


def judge(filters: int) -> nn.ModuleList:
    """The convolutions of one judge, over (frames, bins)."""
    layers = [weight_norm(nn.Conv2d(2, filters, (3, 9), padding=(1, 4)))]
    for dilation in (1, 2, 4):
        layers.append(
            weight_norm(
                nn.Conv2d(
                    filters, filters, (3, 9), stride=(1, 2), dilation=(dilation, 1), padding=(dilation, 4)
                )
            )
        )
    layers += [weight_norm(nn.Conv2d(filters, filters, 3, padding=1))]
    return nn.ModuleList([*layers, weight_norm(nn.Conv2d(filters, 1, 3, padding=1))])


def adversarial(discriminator: Discriminator, marked: Tensor, host: Tensor) -> tuple[Tensor, Tensor]:
    """Hinge loss of a generator, and the L1 distance of features relative to the host's."""
    logits, features = discriminator(marked)
    with torch.no_grad():
        _, wanted = discriminator(host)
    fooled = sum((1 - logit).clamp(min=0).mean() for logit in logits) / len(logits)
    distances = [
        F.l1_loss(got, want) / (want.abs().mean() + 1e-8)
        for one, other in zip(features, wanted, strict=True)
        for got, want in zip(one, other, strict=True)
    ]
    return torch.as_tensor(fooled), torch.stack(distances).mean()


def judging(discriminator: Discriminator, marked: Tensor, host: Tensor) -> Tensor:
    """Hinge loss of the discriminator."""
    false, true = discriminator(marked.detach())[0], discriminator(host)[0]
    losses = [
        (1 + f).clamp(min=0).mean() + (1 - t).clamp(min=0).mean() for f, t in zip(false, true, strict=True)
    ]
    return torch.stack(losses).mean()


def pattern(residual: Tensor) -> Tensor:
    """Share of the residuals' energy in their mean over a batch: what averaging would find."""
    return residual.mean(0).square().sum() / (residual.square().sum(1).mean() + 1e-12)
