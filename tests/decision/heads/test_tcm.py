import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from earwitness.decision.heads.tcm import ConformerTcm, from_authors, positions  # noqa: E402

XLSR_300M = 317_390_592  # parameters of fairseq's xlsr2_300m.pt, with what only pre-training uses
Weights = dict[str, np.ndarray]


def small(**options: int) -> ConformerTcm:
    """With every norm away from the identity."""
    torch.manual_seed(0)
    head = ConformerTcm(6, **{"size": 8, "heads": 2, "blocks": 2, "kernel": 3} | options).eval()
    with torch.no_grad():
        for module in head.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        for block in head.blocks:
            block.attention.place.normal_()
    return head


def affine(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def layer_norm(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def batch_norm(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    x = (x - w[f"{name}.running_mean"]) / np.sqrt(w[f"{name}.running_var"] + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    return x * torch.special.ndtr(torch.from_numpy(x)).numpy()


def attention(x: np.ndarray, w: Weights, name: str, heads: int) -> np.ndarray:
    """(tokens, size) -> the same, one head and one token at a time."""
    x = layer_norm(x, w, f"{name}.norm")
    tokens, size = x.shape
    part = size // heads
    joined = list(x)
    for head in range(heads):
        channels = x[:, head * part : (head + 1) * part].mean(0)
        wide = affine(channels, w, f"{name}.widen").reshape(heads, part)
        joined.append(gelu(layer_norm(wide, w, f"{name}.widen_norm")).ravel() + w[f"{name}.place"][head])
    rows = np.stack(joined) @ w[f"{name}.attend.weight"].T
    found = np.zeros((len(rows), size))
    for head in range(heads):
        query, key, value = (
            rows[:, kind * size + head * part : kind * size + (head + 1) * part] for kind in range(3)
        )
        for i in range(len(rows)):
            weights = np.exp(key @ query[i] / np.sqrt(part))
            found[i, head * part : (head + 1) * part] = weights @ value / weights.sum()
    found = affine(found, w, f"{name}.project")
    found[0] += found[1:tokens].mean(0) + found[tokens:].mean(0)
    return found[:tokens]


def convolution(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    x = affine(layer_norm(x, w, f"{name}.norm"), w, f"{name}.widen")
    x = x[:, : x.shape[1] // 2] * sigmoid(x[:, x.shape[1] // 2 :])
    kernel = w[f"{name}.depthwise.weight"][:, 0]  # (inner, kernel)
    out = np.tile(w[f"{name}.depthwise.bias"], (len(x), 1))
    for t in range(len(x)):
        for k in range(kernel.shape[1]):
            if 0 <= t + k - kernel.shape[1] // 2 < len(x):
                out[t] += kernel[:, k] * x[t + k - kernel.shape[1] // 2]
    out = batch_norm(out, w, f"{name}.batch_norm")
    return affine(out * sigmoid(out), w, f"{name}.project")


def feed_forward(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    x = affine(layer_norm(x, w, f"{name}.0"), w, f"{name}.1")
    return affine(x * sigmoid(x), w, f"{name}.3") / 2


def recompute(head: ConformerTcm, frames: np.ndarray, heads: int) -> np.ndarray:
    """(frames, width) -> logits, in float64."""
    w = {name: tensor.double().numpy() for name, tensor in head.state_dict().items()}
    x = batch_norm(affine(frames, w, "project"), w, "norm")
    x = 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    for t in range(x.shape[0]):
        for i in range(x.shape[1]):
            angle = t / 10_000 ** (2 * (i // 2) / x.shape[1])
            x[t, i] += np.cos(angle) if i % 2 else np.sin(angle)
    x = np.concatenate([w["class_token"], x])
    for block in range(len(head.blocks)):
        name = f"blocks.{block}"
        x = x + feed_forward(x, w, f"{name}.before")
        x = x + attention(x, w, f"{name}.attention", heads)
        x = x + convolution(x, w, f"{name}.convolution")
        x = layer_norm(x + feed_forward(x, w, f"{name}.behind"), w, f"{name}.norm")
    return affine(x[0], w, "classify")


def test_the_size_is_that_of_the_released_network():
    def linear(inputs: int, outputs: int) -> int:
        return inputs * outputs + outputs

    size, part, inner, norm = 144, 36, 288, 2 * 144
    feed = norm + linear(size, 576) + linear(576, size)
    heads_only = linear(part, size) + 2 * part + 4 * size  # what temporal-channel modelling adds
    attend = norm + 3 * size * size + linear(size, size) + heads_only
    convolve = norm + linear(size, 2 * inner) + linear(31, inner) + 2 * inner + linear(inner, size)
    blocks = 4 * (2 * feed + attend + convolve + norm)
    count = sum(p.numel() for p in ConformerTcm(1024).parameters())
    assert count == linear(1024, size) + 2 + size + blocks + linear(size, 2) == 2_382_628
    # 321.2132 M with the table of 10,000 positions: the card of
    # huggingface.co/SpeechAntiSpoofingBenchmarks/XLSR-Conformer-TCM-DF
    assert f"{(XLSR_300M + count + 10_000 * size) / 1e6:.4f}" == "321.2132"


@pytest.mark.parametrize("kernel", [3, 4])
def test_logits_are_those_of_plain_loops(kernel):
    head = small(kernel=kernel)
    frames = np.random.default_rng(0).normal(size=(2, 9, 6))
    with torch.inference_mode():
        logits = head(torch.from_numpy(frames).float(), torch.ones(2, 9, dtype=torch.bool)).logits
    np.testing.assert_allclose(logits, [recompute(head, clip, heads=2) for clip in frames], atol=1e-5)


def test_positions_are_exact_at_half_a_minute():
    rates = 10_000 ** (-np.arange(0, 144, 2) / 144)
    angles = np.arange(1500)[:, None] * rates
    found = positions(1500, 144, torch.zeros(1)).numpy()
    np.testing.assert_allclose(found[:, 0::2], np.sin(angles), atol=2e-4)
    np.testing.assert_allclose(found[:, 1::2], np.cos(angles), atol=2e-4)


def test_head_tokens_tell_of_their_own_channels_only():
    attend = small().blocks[0].attention
    tokens, mask = torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool)
    changed = tokens.clone()
    changed[..., :4] += 1  # of the first of two heads
    with torch.no_grad():
        difference = (attend.head_tokens(changed, mask) - attend.head_tokens(tokens, mask)).abs().amax((0, 2))
    assert difference[0] > 0.01
    assert difference[1] == 0


def authors_names(blocks: int) -> set[str]:
    def both(names: str) -> list[str]:
        return [f"{name}.{part}" for name in names.split() for part in ("weight", "bias")]

    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    block = [f"{half}.fn.{part}" for half in ("ff1", "ff2") for part in both("norm fn.net.0 fn.net.3")]
    block += ["attn.fn.qkv.weight", "attn.fn.pos_embed"]
    block += both("attn.norm attn.fn.proj attn.fn.ht_proj attn.fn.ht_norm post_norm")
    block += both("conv.net.0 conv.net.2 conv.net.4.conv conv.net.7") + [
        f"conv.net.5.{part}" for part in norm
    ]
    names = {f"conformer.encoder_blocks.{i}.{name}" for i in range(blocks) for name in block}
    names |= {f"first_bn.{part}" for part in norm} | {*both("LL conformer.fc5")}
    return names | {"conformer.class_token", "conformer.positional_emb", "ssl_model.model.mask_emb"}


def test_every_tensor_of_a_released_checkpoint_has_its_place():
    head = small()
    expected = {name: tensor.shape for name, tensor in head.state_dict().items()}
    theirs = {name: torch.zeros(1, 1, 1) for name in authors_names(blocks=2)}
    assert set(from_authors(theirs)) == set(expected)
    pointwise = "conformer.encoder_blocks.0.conv.net.7.weight"
    assert next(iter(from_authors({pointwise: torch.zeros(8, 16, 1)}).values())).shape == (8, 16)
    place = from_authors({"conformer.encoder_blocks.1.attn.fn.pos_embed": torch.zeros(1, 2, 8)})
    assert place["blocks.1.attention.place"].shape == expected["blocks.1.attention.place"]
