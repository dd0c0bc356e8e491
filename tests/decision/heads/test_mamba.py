import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from earwitness.decision.heads.mamba import Block, DualMamba, from_authors, reverse, scan  # noqa: E402

XLSR_300M = 317_390_592  # parameters of fairseq's xlsr2_300m.pt, with what only pre-training uses


def loop(x, step, decay, inward, outward) -> np.ndarray:
    """The recurrence, one frame after another, in float64."""
    state, found = np.zeros((x.shape[0], x.shape[2], decay.shape[1])), []
    for t in range(x.shape[1]):
        pushed = (step[:, t] * x[:, t])[:, :, None] * inward[:, t, None, :]
        state = np.exp(step[:, t, :, None] * decay) * state + pushed
        found.append((state * outward[:, t, None, :]).sum(-1))
    return np.stack(found, 1)


def parts(frames: int, centre: float = -3.0, inner: int = 6, states: int = 16) -> list:
    """Steps from about 1e-6 to 10, so that `step * decay` reaches from nothing to -160."""
    torch.manual_seed(frames)
    step = F.softplus(torch.randn(2, frames, inner) * 3 + centre)
    decay = -torch.arange(1.0, states + 1).repeat(inner, 1)
    x, inward, outward = (torch.randn(2, frames, size) for size in (inner, states, states))
    return [x, step, decay, inward, outward]


def small(**options) -> DualMamba:
    torch.manual_seed(0)
    head = DualMamba(6, **{"size": 8, "blocks": 2, "states": 3} | options).eval()
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if parameter.ndim == 2 and not name.endswith("A_log"):
                parameter.mul_(3)
    return head


def test_the_size_is_that_of_the_released_network():
    size, inner, rank, states = 144, 288, 9, 16
    mixer = size * 2 * inner + inner * 4 + inner + inner * (rank + 2 * states) + rank * inner + inner
    mixer += inner * states + inner + inner * size
    rest = 1024 * size + size + 2 + size + 2 * (size + 1) + 2 * size * size + size + 2 * size + 2
    count = sum(p.numel() for p in DualMamba(1024).parameters())
    assert count == 12 * (mixer + size) + rest == 1_936_950
    # 319.3275 M: the card of huggingface.co/SpeechAntiSpoofingBenchmarks/XLSR-Mamba-LA
    assert f"{(XLSR_300M + count) / 1e6:.4f}" == "319.3275"


@pytest.mark.parametrize("frames", [1, 2, 63, 64, 65, 128, 600])
@pytest.mark.parametrize("centre", [-8.0, -3.0, 2.0])
def test_scan_is_the_recurrence_frame_by_frame(frames, centre):
    given = parts(frames, centre)
    expected = loop(*(v.double().numpy() for v in given))
    assert np.abs(scan(*given).numpy() - expected).max() < 1e-6 * np.abs(expected).max()


def test_scan_survives_steps_whose_decay_underflows_and_steps_of_zero():
    given = parts(200)
    given[1][:, ::7] = 1e4
    given[1][:, 3::7] = 0
    expected = loop(*(v.double().numpy() for v in given))
    assert np.abs(scan(*given).numpy() - expected).max() < 1e-6 * np.abs(expected).max()


def test_one_great_step_does_not_round_away_the_small_ones_before_it():
    given = parts(200)
    given[1][:] = 1e-4
    given[1][:, 190] = 1e5
    expected = loop(*(v.double().numpy() for v in given))[:, :190]
    assert np.abs(scan(*given).numpy()[:, :190] - expected).max() < 1e-5 * np.abs(expected).max()


def test_scan_has_the_gradients_of_the_loop():
    given = [v.double().requires_grad_() for v in parts(70, inner=2, states=3)]
    x, step, decay, inward, outward = given
    state, found = torch.zeros(2, 2, 3, dtype=torch.float64), []
    for t in range(70):
        state = torch.exp(step[:, t, :, None] * decay) * state
        state = state + (step[:, t] * x[:, t])[..., None] * inward[:, t, None]
        found.append((state * outward[:, t, None]).sum(-1))
    weights = torch.randn(2, 70, 2, dtype=torch.float64)
    expected = torch.autograd.grad((torch.stack(found, 1) * weights).sum(), given)
    for gradient, wanted in zip(
        torch.autograd.grad((scan(*given) * weights).sum(), given), expected, strict=True
    ):
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)


def test_block_is_that_of_plain_loops():
    torch.manual_seed(0)
    block = Block(8, 3, 4, 2, 1).eval()
    with torch.no_grad():
        block.norm.weight.uniform_(0.5, 1.5)
        block.D.normal_()
    w = {name: tensor.double().numpy() for name, tensor in block.state_dict().items()}
    frames = np.random.default_rng(0).normal(size=(1, 9, 8))
    x = (
        frames
        / np.sqrt((frames**2).mean(-1, keepdims=True) + 1e-5)
        * w["norm.weight"]
        @ w["in_proj.weight"].T
    )
    x, gate = x[..., :16], x[..., 16:]
    padded = np.concatenate([np.zeros((1, 3, 16)), x], axis=1)
    x = sum(padded[:, k : k + 9] * w["conv1d.weight"][:, 0, k] for k in range(4)) + w["conv1d.bias"]
    x = x / (1 + np.exp(-x))
    step, inward, outward = np.split(x @ w["x_proj.weight"].T, [1, 4], axis=-1)
    step = np.log1p(np.exp(step @ w["dt_proj.weight"].T + w["dt_proj.bias"]))
    y = loop(x, step, -np.exp(w["A_log"]), inward, outward) + w["D"] * x
    expected = y * gate / (1 + np.exp(-gate)) @ w["out_proj.weight"].T
    with torch.inference_mode():
        found = block(torch.from_numpy(frames).float())
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_step_sizes_start_between_a_thousandth_and_a_tenth():
    start = F.softplus(Block(64, 3, 4, 2, 1).dt_proj.bias)
    assert 0.001 - 1e-6 < start.min() < 0.01
    assert 0.05 < start.max() < 0.1 + 1e-6


def test_states_made_again_on_the_way_back_give_the_same_gradients():
    torch.manual_seed(0)
    block, frames = Block(8, 3, 4, 2, 1), torch.randn(2, 70, 8)
    found = []
    for mode in (block.train(), block.eval()):
        block.zero_grad()
        mode(frames).square().sum().backward()
        found.append([p.grad.clone() for p in block.parameters() if p.grad is not None])
    assert len(found[0]) == len(list(block.parameters()))
    torch.testing.assert_close(found[0], found[1])


def test_each_clip_is_reversed_within_its_own_length():
    frames = torch.arange(10.0).reshape(2, 5, 1)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    assert reverse(frames, mask)[..., 0].tolist() == [[4, 3, 2, 1, 0], [7, 6, 5, 8, 9]]
    assert torch.equal(reverse(reverse(frames, mask), mask), frames)


def test_a_clip_played_backwards_swaps_the_columns():
    head, frames, mask = small(), torch.randn(1, 20, 6), torch.ones(1, 20, dtype=torch.bool)
    with torch.inference_mode():
        expected = head(frames, mask).logits
        for ahead, back in (
            (head.forward_blocks, head.backward_blocks),
            (head.forward_pool, head.backward_pool),
        ):
            kept = {name: tensor.clone() for name, tensor in ahead.state_dict().items()}
            ahead.load_state_dict(back.state_dict())
            back.load_state_dict(kept)
        head.merge.weight.copy_(head.merge.weight.roll(8, dims=1))
        torch.testing.assert_close(head(frames.flip(1), mask).logits, expected)
        assert (head(frames, mask).logits - expected).abs().max() > 1e-4


@pytest.mark.parametrize("as_released", [True, False])
def test_the_last_blocks_are_idle_only_as_released(as_released):
    head, frames = small(as_released=as_released), torch.randn(1, 20, 6)
    mask = torch.ones(1, 20, dtype=torch.bool)
    with torch.no_grad():
        before = head(frames, mask).logits
        head.forward_blocks[-1].out_proj.weight.add_(1)
        difference = (head(frames, mask).logits - before).abs().max()
    assert (difference == 0) == as_released
    assert head.forward_blocks[-1].D.requires_grad != as_released


def test_as_released_the_input_is_added_unreversed_to_the_reversed_column():
    head, frames, mask = (
        small(as_released=True, blocks=1),
        torch.randn(1, 12, 6),
        torch.ones(1, 12, dtype=torch.bool),
    )
    with torch.inference_mode():
        x = F.selu(head.norm(head.project(frames)[:, None])[:, 0])
        both = head.final_norm(x + x.flip(1))  # one block a column, and it is idle
        weights = head.backward_pool(both).softmax(1)
        back = (weights * both).sum(1)
        ahead = head.final_norm(2 * x)
        ahead = (head.forward_pool(ahead).softmax(1) * ahead).sum(1)
        expected = head.classify(head.merge(torch.cat([ahead, back], 1)))
        torch.testing.assert_close(head(frames, mask).logits, expected)


def test_every_tensor_of_a_released_checkpoint_has_its_place():
    mixer = ["A_log", "D", "in_proj.weight", "conv1d.weight", "conv1d.bias", "x_proj.weight"]
    mixer += ["dt_proj.weight", "dt_proj.bias", "out_proj.weight"]
    block = ["norm.weight", *(f"mixer.{name}" for name in mixer)]
    theirs = {
        f"conformer.{way}_layers.{i}.{n}" for way in ("forward", "backward") for i in (0, 1) for n in block
    }
    for name in ("LL", "conformer.LL", "conformer.classifier", "first_bn"):
        theirs |= {f"{name}.weight", f"{name}.bias"}
    theirs |= {f"conformer.{way}_attention_pool.{part}" for way in "fb" for part in ("weight", "bias")}
    theirs |= {f"first_bn.{part}" for part in ("running_mean", "running_var", "num_batches_tracked")}
    theirs |= {"conformer.norm_f.weight", "ssl_model.model.mask_emb"}
    assert set(from_authors(dict.fromkeys(theirs, 0))) == set(small().state_dict())
