import numpy as np
import pytest

torch = pytest.importorskip("torch")

from earwitness.decision.heads.sls import SensitiveLayers  # noqa: E402

XLSR_300M = 317_390_592  # parameters of fairseq's xlsr2_300m.pt, with what only pre-training uses


def small() -> SensitiveLayers:
    torch.manual_seed(0)
    head = SensitiveLayers(8, 3, frames=7, size=5).eval()
    with torch.no_grad():
        head.first_bn.running_mean.fill_(0.3)
        head.first_bn.running_var.fill_(2.0)
        head.first_bn.weight.fill_(1.4)
        head.first_bn.bias.fill_(-0.2)
        head.fc3.weight.mul_(4)
    return head


def selu(x: np.ndarray) -> np.ndarray:
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))


def test_the_size_is_that_of_the_released_network():
    gate, norm = 1024 + 1, 2
    pooled = (201 // 3) * (1024 // 3)
    count = sum(p.numel() for p in SensitiveLayers(1024, 24).parameters())
    assert count == gate + norm + pooled * 1024 + 1024 + 1024 * 2 + 2 == 23_399_429
    # 340.7900 M: the card of huggingface.co/SpeechAntiSpoofingBenchmarks/XLSR-SLS
    assert f"{(XLSR_300M + count) / 1e6:.4f}" == "340.7900"


def test_names_are_those_of_the_released_weights():
    layers = {f"{layer}.{part}" for layer in ("fc0", "fc1", "fc3") for part in ("weight", "bias")}
    norm = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert set(SensitiveLayers(8, 3, frames=7, size=5).state_dict()) == layers | {
        f"first_bn.{n}" for n in norm
    }


def test_score_is_the_difference_of_the_log_softmax_that_the_authors_end_in():
    head = small()
    frames = np.random.default_rng(0).normal(size=(2, 3, 7, 8))
    w = {name: tensor.double().numpy() for name, tensor in head.state_dict().items()}
    expected = []
    for clip in frames:
        fused = np.zeros((7, 8))
        for layer in clip:
            gate = 1 / (1 + np.exp(-(layer.mean(0) @ w["fc0.weight"][0] + w["fc0.bias"][0])))
            fused += gate * layer
        fused = (fused - 0.3) / np.sqrt(2.0 + 1e-5) * 1.4 - 0.2
        pooled = [selu(fused)[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].max() for i in range(2) for j in range(2)]
        hidden = selu(w["fc1.weight"] @ np.array(pooled) + w["fc1.bias"])
        last = selu(w["fc3.weight"] @ hidden + w["fc3.bias"])
        log_softmax = last - np.log(np.exp(last).sum())
        expected.append(log_softmax[1] - log_softmax[0])
    with torch.inference_mode():
        logits = head(torch.from_numpy(frames).float(), torch.ones(2, 7, dtype=torch.bool)).logits
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], expected, atol=1e-5)
    assert abs(expected[0] - expected[1]) > 1e-3


def test_one_gate_serves_all_layers_so_their_order_is_nothing():
    head = small()
    frames, mask = torch.randn(2, 3, 7, 8), torch.ones(2, 7, dtype=torch.bool)
    torch.testing.assert_close(head(frames, mask).logits, head(frames[:, [2, 0, 1]], mask).logits)


def test_clips_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 7, 8\), got \(3, 8, 8\)"):
        small()(torch.zeros(1, 3, 8, 8), torch.ones(1, 8, dtype=torch.bool))
