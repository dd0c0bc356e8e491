"""Statistics over time and the fine structure of the spectrum."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.pooled import (  # noqa: E402
    REACH,
    LongTermSpectrum,
    Pooled,
    Spectra,
    around,
    columns,
    fine_structure,
    overlapping,
    spread_back,
    statistics,
    upside_down,
    without_top,
)

RATE = 16_000


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def given(samples, total=None, seed=1):
    """States of random frames, two of them upside down, mask, waveform and length; beyond the clip, up to
    `total`, rubbish.
    """
    rng = np.random.default_rng(seed)
    frames = samples // 320
    states = rng.normal(3, 2, (1, 3, frames, 8))
    wave, mask = noise(samples)[None], np.ones((1, frames), bool)
    if total:
        more = total // 320 - frames
        states = np.concatenate([states, rng.normal(0, 50, (1, 3, more, 8))], axis=2)
        wave = np.pad(wave, ((0, 0), (0, total - samples)), constant_values=0.7)
        mask = np.pad(mask, ((0, 0), (0, more)))
    states = torch.tensor(states, dtype=torch.float32)
    return states, 2 - states[:, :2], torch.tensor(mask), torch.tensor(wave), torch.tensor([samples])


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = Pooled(8, 3, embedding=16).eval()
    head.standardise.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    head.standardise.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return head


@pytest.mark.parametrize("samples", [8_000, 16_001, 50_123])
def test_what_lies_beyond_a_clip_changes_nothing(head, samples):
    with torch.no_grad():
        alone, padded = head(*given(samples)), head(*given(samples, 64_000))
    torch.testing.assert_close(alone.logits, padded.logits, atol=1e-5, rtol=0)
    frames = alone.frame_scores.shape[1]
    torch.testing.assert_close(alone.frame_scores, padded.frame_scores[:, :frames], atol=1e-4, rtol=0)
    assert not padded.frame_scores[:, frames:].any()


def test_level_does_not_matter(head):
    *states, wave, lengths = given(40_000)
    with torch.no_grad():
        plain, changed = head(*states, wave, lengths), head(*states, 0.02 * wave, lengths)
    torch.testing.assert_close(plain.logits, changed.logits, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("size", "earlier"), [(2_048, 1), (4_096, 3)])
def test_the_spectrum_is_that_of_numpy(size, earlier):
    wave = noise(10_000)
    spectra = LongTermSpectrum(size)(torch.tensor(wave)[None], torch.tensor([10_000]))
    normal = wave / np.sqrt(np.mean(wave**2))
    window = np.hanning(size + 1)[:-1]
    expected = [
        np.log(np.abs(np.fft.rfft(normal[at : at + size] * window)[: size // 2]) ** 2 + size / 2_048e4)
        for at in range(0, 10_000 - size + 1, 640)
    ]
    assert int(spectra.heard.sum()) == len(expected)
    np.testing.assert_allclose(spectra.values[0, : len(expected)], expected, atol=2e-3)
    assert spectra.earlier == earlier  # its middle less that of a pair, in hops


@pytest.mark.parametrize(("hertz", "left"), [(60, 1), (3_000, 1), (6_800, 1), (7_200, 0), (7_900, 0)])
def test_the_top_of_the_band_is_taken_off(hertz, left):
    time = torch.arange(20_000, dtype=torch.float64) / RATE
    low, tone = (torch.sin(2 * torch.pi * f * time).float()[None] for f in (1_000, hertz))
    found = without_top(low + tone + 0.3, torch.tensor([20_000]))[0, 1_000:-1_000]
    expected = (low + left * tone)[0, 1_000:-1_000]
    expected = 0.05 * expected / expected.square().mean().sqrt()
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_what_lies_beyond_a_clip_does_not_pass_the_filter():
    wave = torch.from_numpy(noise(30_000))[None]
    alone = without_top(wave[:, :17_001], torch.tensor([17_001]))
    padded = without_top(wave, torch.tensor([17_001]))
    torch.testing.assert_close(padded[:, :17_001], alone, atol=1e-6, rtol=0)
    assert not padded[:, 17_001:].any()


def test_upside_down_exchanges_the_ends_of_the_spectrum():
    wave = noise(4_096)
    spectrum = np.abs(np.fft.rfft(wave))
    turned = np.abs(np.fft.rfft(upside_down(torch.from_numpy(wave)[None])[0].numpy()))
    np.testing.assert_allclose(turned, spectrum[::-1], atol=1e-3)


def test_statistics_are_those_of_numpy():
    rng = np.random.default_rng(2)
    frames = rng.normal(1, 2, (1, 40, 6))
    spectra = [Spectra(torch.tensor(rng.normal(size=(1, 20, 50))), torch.ones(1, 20, dtype=torch.bool), 1)]
    mask = torch.arange(40)[None] < 33
    found = statistics(torch.tensor(frames), torch.tensor(frames[..., :4] ** 3), mask, spectra).numpy()[0]
    inside = frames[0, :33]
    np.testing.assert_allclose(found[:6], inside.mean(0))
    np.testing.assert_allclose(found[6:10], (inside[:, :4] ** 3).mean(0))
    np.testing.assert_allclose(found[10:16], inside.std(0))
    np.testing.assert_allclose(found[16:22], np.diff(inside, axis=0).std(0))
    np.testing.assert_allclose(found[22:], fine_structure(spectra[0].values.mean(1))[0])


def test_columns_name_what_the_statistics_are():
    found = columns(8, 3)
    ends = [(part.start, part.stop) for part in found.values()]
    assert list(found) == ["means", "upside", "deviations", "changes", "lines"]
    assert ends == [(0, 24), (24, 40), (40, 64), (64, 88), (88, 88 + 3_072)]


def test_spread_back_is_the_transpose_of_fine_structure():
    rng = np.random.default_rng(4)
    values, weights = torch.tensor(rng.normal(size=(3, 60))), torch.tensor(rng.normal(size=60))
    torch.testing.assert_close(values @ spread_back(weights), fine_structure(values) @ weights)


def test_windows_overlap():
    wave = torch.arange(10_000.0)[None]
    found = overlapping(wave, 2_048)
    expected = torch.nn.functional.pad(wave, (0, 2_048)).unfold(1, 2_048, 640)
    torch.testing.assert_close(found, expected)


def test_a_line_stands_out_and_a_slope_does_not():
    slope = torch.linspace(3, -5, 1_024)[None]
    flat = fine_structure(slope)
    assert flat[:, 4:-4].abs().max() < 1e-4
    line = slope.clone()
    line[0, 300] += 2
    torch.testing.assert_close(fine_structure(line)[0, 300], flat[0, 300] + 2 * (1 - 1 / 9))


def test_around_is_the_mean_of_what_is_near_and_inside():
    rng = np.random.default_rng(3)
    values, inside = rng.normal(size=(2, 30, 4)), np.arange(30) < np.array([[30], [17]])
    found = around(torch.tensor(values), torch.tensor(inside), 5).numpy()
    for clip in range(2):
        for t in range(30):
            near = [values[clip, i] for i in range(max(0, t - 5), min(30, t + 6)) if inside[clip, i]]
            expected = np.mean(near, axis=0) if near else np.zeros(4)
            np.testing.assert_allclose(found[clip, t], expected, atol=1e-9)


def test_a_frame_score_is_what_the_clip_would_score_of_its_second(head):
    """In a clip of 1 s or less all of it is near the middle."""
    with torch.no_grad():
        found = head(*given(640 * (2 * REACH - 1)))
    middle = found.frame_scores[0, 2 * REACH - 1]
    torch.testing.assert_close(middle, found.logits[0, 1] - found.logits[0, 0], atol=1e-3, rtol=0)
