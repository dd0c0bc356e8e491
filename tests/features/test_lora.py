"""Adapters on every family: each tensor matters and learns; merging and saving lose nothing."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny import ARCHITECTURES, shake  # noqa: E402

from earwitness.errors import ModelError  # noqa: E402
from earwitness.features.encoders import FrontEnd  # noqa: E402
from earwitness.features.lora import (  # noqa: E402
    LoraOptions,
    adapter_tensors,
    add_adapters,
    continue_adapters,
    merge_adapters,
    read_adapters,
    save_adapters,
)

OPTIONS = LoraOptions(rank=4, alpha=8)
WAVEFORM = torch.randn(2, 6_000, generator=torch.Generator().manual_seed(1)) * 0.1
LENGTHS = torch.tensor([6_000, 4_500])


def make(name: str, **options) -> FrontEnd:
    torch.manual_seed(0)
    front_end = FrontEnd(ARCHITECTURES[name], **options).eval()
    shake(front_end)
    return front_end


def frames(front_end: FrontEnd):
    states, mask = front_end(WAVEFORM, LENGTHS)
    return states[:, -1][mask]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_adapter_tensor_changes_the_output_and_gets_a_gradient(name):
    front_end = make(name)
    with torch.no_grad():
        before = frames(front_end)
    add_adapters(front_end, OPTIONS)
    with torch.no_grad():
        torch.testing.assert_close(frames(front_end), before)  # an adapter begins as zero
    tensors = adapter_tensors(front_end)
    modules = 7 if name == "w2v-bert" else 5  # query, key, value and the feed-forward matrices
    assert len(tensors) == 2 * modules * front_end.architecture.layers
    shake_adapters(front_end)
    found = frames(front_end)
    torch.manual_seed(2)
    (found * torch.randn_like(found)).sum().backward()
    for parameter_name, parameter in front_end.named_parameters():
        if parameter_name in tensors:
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.abs().max() > 1e-6, parameter_name
        else:
            assert parameter.grad is None, parameter_name
    with torch.no_grad():
        for tensor_name, tensor in tensors.items():
            kept = tensor.clone()
            tensor.add_(torch.randn_like(tensor) * 0.3)  # a shift of all channels alike would be normed away
            assert (frames(front_end) - found).abs().max() > 1e-5, tensor_name
            tensor.copy_(kept)


def shake_adapters(front_end: FrontEnd) -> None:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in adapter_tensors(front_end).values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_merging_keeps_the_output_and_leaves_a_plain_front_end(name):
    front_end = make(name)
    plain = set(front_end.state_dict())
    add_adapters(front_end, OPTIONS)
    shake_adapters(front_end)
    with torch.no_grad():
        adapted = frames(front_end)
        merge_adapters(front_end)
        torch.testing.assert_close(frames(front_end), adapted, atol=2e-5, rtol=1e-4)
    assert set(front_end.state_dict()) == plain
    assert (adapted - frames(make(name))).abs().max() > 1e-3
    assert merge_adapters(front_end) is None


def test_adapters_are_saved_alone_and_come_out_of_the_weights_to_go_on(tmp_path):
    front_end = make("wavlm-large")
    count = add_adapters(front_end, OPTIONS)
    assert count == 2 * (3 * 4 * (64 + 64) + 2 * 4 * (64 + 96))  # rank * (inputs + outputs), two layers
    shake_adapters(front_end)
    own = {name: tensor.clone() for name, tensor in adapter_tensors(front_end).items()}
    with torch.no_grad():
        adapted = frames(front_end)
    adapters = merge_adapters(front_end)
    assert adapters
    path = tmp_path / "adapters.safetensors"
    save_adapters(adapters, path, "abc")
    assert path.stat().st_size < 4 * count + 8_000
    continue_adapters(front_end, read_adapters(path, "abc"), OPTIONS)
    for name, tensor in adapter_tensors(front_end).items():
        assert torch.equal(tensor, own[name])
    with torch.no_grad():
        torch.testing.assert_close(frames(front_end), adapted, atol=2e-5, rtol=1e-4)
        for tensor in adapter_tensors(front_end).values():
            tensor.zero_()
        torch.testing.assert_close(frames(front_end), frames(make("wavlm-large")), atol=2e-5, rtol=1e-4)
    with pytest.raises(ModelError, match="belong to weights abc"):
        read_adapters(path, "def")
    with pytest.raises(ModelError, match="another front end"):
        continue_adapters(make("w2v-bert"), adapters, OPTIONS)
    with pytest.raises(ModelError, match="rank 4 and alpha 8"):
        continue_adapters(make("wavlm-large"), adapters, LoraOptions())
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="not a file of adapters"):
        read_adapters(path, "abc")


def test_layers_that_are_no_longer_run_keep_their_adapters_in_the_weights():
    front_end = make("wavlm-large")
    add_adapters(front_end, OPTIONS)
    shake_adapters(front_end)
    adapters = merge_adapters(front_end)
    assert adapters
    merged = front_end.state_dict()
    front_end.states = (1,)
    continue_adapters(front_end, adapters, OPTIONS)
    kept = "body.encoder.layers.1.attention.q_proj.weight"
    assert torch.equal(front_end.state_dict()[kept], merged[kept])


def test_layers_above_the_last_state_wanted_get_no_adapters():
    front_end = make("wav2vec2-large", states=[1])
    add_adapters(front_end, OPTIONS)
    assert all(".layers.0." in name for name in adapter_tensors(front_end))


def test_the_rank_of_mix_frame_post_training_has_its_parameters():
    # methods: 524,288 a layer of WavLM-Large at rank 32 on query, key, value and feed-forward.
    from earwitness.features.frontends import FRONT_ENDS

    with torch.device("meta"):
        front_end = FrontEnd(FRONT_ENDS["wavlm-large"].architecture)
        assert add_adapters(front_end) == 24 * 524_288
