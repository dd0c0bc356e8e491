"""Nes2Net and Nes2Net-X."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.nes2net import FusedRes2Block, Nes2Net  # noqa: E402


def count(part):
    return sum(weights.numel() for weights in part.parameters())


def shake(part):
    """Give normalisations and sums something to do."""
    for name, numbers in [*part.named_parameters(), *part.named_buffers()]:
        if "norm" in name and numbers.is_floating_point():
            torch.nn.init.uniform_(numbers, 0.5, 2)
        elif "sums" in name:
            torch.nn.init.normal_(numbers)
    return part.double().eval()


def normalised(norm, signal):
    """Of (channels, frames)."""
    mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
    scale = norm.weight.detach().numpy() / np.sqrt(variance + norm.eps)
    return (signal - mean[:, None]) * scale[:, None] + norm.bias.detach().numpy()[:, None]


def convolved(layer, signal, dilation):
    """Of (channels, frames), frame by frame; what lies beyond the ends is zero."""
    weights, frames = layer.weight.detach().flatten(2).numpy(), signal.shape[1]
    result = np.tile(layer.bias.detach().numpy()[:, None], frames)
    for frame in range(frames):
        for tap in range(weights.shape[2]):
            source = frame + (tap - weights.shape[2] // 2) * dilation
            if 0 <= source < frames:
                result[:, frame] += weights[:, :, tap] @ signal[:, source]
    return result


def relu(signal):
    return np.maximum(signal, 0)


def test_sizes_are_those_of_the_authors():
    """511k in the authors' tables, where the last layer has one output."""
    wide, group = 1024 // 8, 1024 // 64
    square = wide * wide + wide  # in, out, squeeze, excite
    block = 4 * square + 2 * 2 * wide + 7 * (3 * group * group + group + 2 * group)
    plain = 7 * (block + 2 * wide) + 2 * 1024 + (1024 * 2 + 2)
    fused = plain + 7 * sum(range(2, 9))
    assert count(Nes2Net(1024, variant="plain")) == plain == 511_794
    assert count(Nes2Net(1024)) == fused == 512_039
    assert {round(each - 1025, -3) for each in (plain, fused)} == {511_000}


def test_a_fused_block_is_that_of_a_plain_loop():
    torch.manual_seed(0)
    block = shake(FusedRes2Block(9, dilation=2, scale=4, bottleneck=3))  # groups of two; one channel is over
    signal = torch.randn(1, 9, 11).double()
    plain = signal[0].numpy()
    hidden = normalised(block.enter_norm, relu(convolved(block.enter, plain, 1)))
    beside, groups = [hidden[6:8]], []
    for one in range(3):
        beside = [*beside, hidden[2 * one : 2 * one + 2]]
        beside = [
            normalised(block.norms[one], relu(convolved(block.convolutions[one], each, 2))) for each in beside
        ]
        weights = block.sums[one].detach().numpy()
        groups.append(sum(weight * each for weight, each in zip(weights, beside, strict=True)))
    hidden = np.concatenate([*groups, hidden[6:8]])
    hidden = normalised(block.leave_norm, relu(convolved(block.leave, hidden, 1)))
    squeeze, excite = block.excitation.squeeze, block.excitation.excite
    narrow = relu(squeeze.weight.detach().numpy() @ hidden.mean(1) + squeeze.bias.detach().numpy())
    gates = 1 / (1 + np.exp(-(excite.weight.detach().numpy() @ narrow + excite.bias.detach().numpy())))
    found = block(signal, torch.ones(1, 1, 11).double())[0].detach().numpy()
    np.testing.assert_allclose(found, hidden * gates[:, None] + plain, atol=1e-12)


def test_sums_begin_as_means():
    assert all(
        torch.allclose(sums.sum(), torch.ones(()))
        for sums in FusedRes2Block(16, dilation=1, scale=8, bottleneck=4).sums
    )


@pytest.mark.parametrize("variant", ["x", "plain"])
def test_blocks_are_nested(variant):
    """Each reads its own features and what the group before it gave; the last group has no block."""
    torch.manual_seed(0)
    head = shake(Nes2Net(32, variant=variant, groups=4, scale=2))
    frames, read, given = torch.randn(1, 12, 32).double(), [], []
    for block in head.blocks:
        block.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    for norm in head.norms:
        norm.register_forward_hook(lambda _, inputs, output: given.append(output))
    head.join_norm.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    head(frames, torch.ones(1, 12, dtype=torch.bool))
    groups = frames.transpose(1, 2).split(8, dim=1)
    torch.testing.assert_close(read[0], groups[0])
    torch.testing.assert_close(read[1], groups[1] + given[0])
    torch.testing.assert_close(read[2], groups[2] + given[1])
    torch.testing.assert_close(given[3], torch.cat([*given[:3], groups[3]], dim=1))


def test_the_mean_of_the_frame_scores_is_the_score():
    torch.manual_seed(0)
    head = shake(Nes2Net(32, groups=4, scale=2))
    frames, mask = torch.randn(2, 9, 32).double(), torch.arange(9) < torch.tensor([[9], [4]])
    logits, _, scores, _ = head(frames, mask)
    torch.testing.assert_close(scores.sum(1) / mask.sum(1), logits[:, 1] - logits[:, 0])
    assert not scores[1, 4:].any()


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="a width of 100"):
        Nes2Net(100)
    with pytest.raises(ValueError, match="4 channels"):
        Nes2Net(32)
    with pytest.raises(ValueError, match="'y'"):
        Nes2Net(64, variant="y")
