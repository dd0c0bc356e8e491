"""ECAPA-TDNN on frames of a self-supervised front end."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.ecapa import AttentiveStatistics, Ecapa, Res2Block  # noqa: E402


def count(part):
    return sum(weights.numel() for weights in part.parameters())


def linear(inputs, outputs):
    return inputs * outputs + outputs


def shake(part):
    """Give normalisations something to do."""
    for norm in part.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            for numbers in (norm.weight, norm.bias, norm.running_mean):
                torch.nn.init.normal_(numbers)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2)
    return part.double().eval()


def normalised(norm, signal):
    """Of (channels, frames)."""
    mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
    scale = norm.weight.detach().numpy() / np.sqrt(variance + norm.eps)
    return (signal - mean[:, None]) * scale[:, None] + norm.bias.detach().numpy()[:, None]


def convolved(layer, signal, dilation):
    """Of (channels, frames), frame by frame; what lies beyond the ends is zero."""
    weights, frames = layer.weight.detach().numpy(), signal.shape[1]
    result = np.tile(layer.bias.detach().numpy()[:, None], frames)
    for frame in range(frames):
        for tap in range(weights.shape[2]):
            source = frame + (tap - weights.shape[2] // 2) * dilation
            if 0 <= source < frames:
                result[:, frame] += weights[:, :, tap] @ signal[:, source]
    return result


def relu(signal):
    return np.maximum(signal, 0)


def test_sizes_are_those_of_the_code_of_attm():
    group = 512 // 8
    block = 2 * (linear(512, 512) + 2 * 512)  # in and out, each with its normalisation
    block += 7 * (3 * group * group + group + 2 * group) + linear(512, 128) + linear(128, 512)
    statistics = linear(3 * 1536, 256) + 2 * 256 + linear(256, 1536)
    ends = linear(1024, 512) + 2 * 512 + linear(2 * 1536, 192) + 2 * 3072 + 2 * 192 + linear(192, 2)
    expected = 3 * block + linear(3 * 512, 1536) + statistics + ends
    assert count(Ecapa(1024)) == expected == 7_298_050


@pytest.mark.parametrize(("channels", "millions"), [(512, 6.2), (1024, 14.7)])
def test_with_the_first_layer_of_the_paper_it_has_the_size_of_the_paper(channels, millions):
    """As arXiv:2005.07143 gives it: 80 cepstra over five frames, no classes."""
    head = Ecapa(80, channels=channels, attention=128)
    found = count(head) - count(head.project) - count(head.classify) + linear(5 * 80, channels)
    assert round(found / 1e6, 1) == millions


def test_a_block_is_that_of_a_plain_loop():
    torch.manual_seed(0)
    block = shake(Res2Block(9, dilation=2, scale=4, bottleneck=3))  # groups of two; one channel is over
    signal = torch.randn(1, 9, 11).double()
    plain = signal[0].numpy()
    hidden = normalised(block.enter_norm, relu(convolved(block.enter, plain, 1)))
    carried, groups = np.zeros((2, 11)), []
    for one in range(3):
        carried = relu(convolved(block.convolutions[one], carried + hidden[2 * one : 2 * one + 2], 2))
        carried = normalised(block.norms[one], carried)
        groups.append(carried)
    hidden = np.concatenate([*groups, hidden[6:8]])
    hidden = normalised(block.leave_norm, relu(convolved(block.leave, hidden, 1)))
    squeeze, excite = block.excitation.squeeze, block.excitation.excite
    narrow = relu(squeeze.weight.detach().numpy() @ hidden.mean(1) + squeeze.bias.detach().numpy())
    gates = 1 / (1 + np.exp(-(excite.weight.detach().numpy() @ narrow + excite.bias.detach().numpy())))
    expected = hidden * gates[:, None] + plain
    found = block(signal, torch.ones(1, 1, 11).double())[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_statistics_are_weighted_by_frame_and_channel():
    torch.manual_seed(0)
    statistics = shake(AttentiveStatistics(5, 3))
    frames = torch.randn(1, 8, 5).double()
    plain = frames[0].numpy()
    context = np.tile(np.concatenate([plain.mean(0), plain.std(0)]), (8, 1))
    enter, leave = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()[:, None])
        for layer in (statistics.enter, statistics.leave)
    )
    hidden = relu(enter[0] @ np.concatenate([plain, context], axis=1).T + enter[1])
    weights = np.exp(leave[0] @ np.tanh(normalised(statistics.norm, hidden)) + leave[1]).T
    mean = np.average(plain, axis=0, weights=weights)
    deviation = np.sqrt(np.average((plain - mean) ** 2, axis=0, weights=weights))
    found = statistics(frames, torch.ones(1, 8, dtype=torch.bool))[0].detach().numpy()
    np.testing.assert_allclose(found, np.concatenate([mean, deviation]), atol=1e-12)


def test_each_block_reads_the_sum_of_all_before_it():
    torch.manual_seed(0)
    head = Ecapa(6, channels=16, pooled=8, attention=4, embedding=3).eval()
    read, given = [], []
    for block in head.blocks:
        block.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        block.register_forward_hook(lambda _, inputs, output: given.append(output))
    head(torch.randn(1, 12, 6), torch.ones(1, 12, dtype=torch.bool))
    torch.testing.assert_close(read[1], read[0] + given[0])
    torch.testing.assert_close(read[2], read[0] + given[0] + given[1])


def test_channels_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match="4 channels"):
        Ecapa(6, channels=4)
