import pytest

torch = pytest.importorskip("torch")

from tiny import ARCHITECTURES  # noqa: E402

from earwitness.features.encoders import FrontEnd  # noqa: E402
from earwitness.features.frontends import FRONT_ENDS  # noqa: E402
from earwitness.features.regularise import Drops, set_drops, usual_drops  # noqa: E402

AUDIO, LENGTHS = (
    torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0)),
    torch.tensor([8_000, 6_000]),
)


def test_the_authors_values():
    drops = {name: usual_drops(row.architecture) for name, row in FRONT_ENDS.items()}
    assert drops["w2v-small"] == Drops(0.1, 0.1, 0.1, 0.05, 0.1)
    assert drops["mms-300m"] == drops["w2v-large"] == drops["hubert-xl"] == Drops()
    assert drops["mms-1b"] == drops["xls-r-2b"] == Drops(projected=0.1)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("part", ["hidden", "attention"])
def test_what_is_dropped_is_dropped_in_training_only(name, part):
    torch.manual_seed(0)
    front_end = FrontEnd(ARCHITECTURES[name])
    with torch.no_grad():
        before = front_end.eval()(AUDIO, LENGTHS)[0]
        set_drops(front_end, Drops(**{part: 0.5}))
        torch.testing.assert_close(front_end.eval()(AUDIO, LENGTHS)[0], before)
        front_end.train()
        assert (front_end(AUDIO, LENGTHS)[0] - front_end(AUDIO, LENGTHS)[0]).abs().max() > 1e-4


def test_blocks_are_left_out_in_training_only():
    torch.manual_seed(0)
    front_end = FrontEnd(ARCHITECTURES["wav2vec2-base"])
    set_drops(front_end, Drops(layers=0.999999))
    with torch.no_grad():
        entered = front_end.embed(AUDIO, LENGTHS)[0]
        torch.testing.assert_close(front_end.train()(AUDIO, LENGTHS)[0][:, 0], entered)
        assert (front_end.eval()(AUDIO, LENGTHS)[0][:, 0] - entered).abs().max() > 1e-3


def test_the_gradient_of_the_convolutions_shrinks_and_their_values_stay():
    torch.manual_seed(0)
    gradients, outputs = [], []
    for share in (1.0, 0.1):
        torch.manual_seed(1)
        front_end = FrontEnd(ARCHITECTURES["wav2vec2-base"]).train()
        front_end.conv_gradient = share
        found = front_end(AUDIO, LENGTHS)[0]
        (found**2).sum().backward()
        outputs.append(found.detach())
        gradients.append(front_end.body.feature_extractor.conv_layers[0].conv.weight.grad)
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(gradients[1], 0.1 * gradients[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_recomputed_activations_give_the_same_gradients(name):
    found = []
    for recompute in (False, True):
        torch.manual_seed(1)
        front_end = FrontEnd(ARCHITECTURES[name]).train()
        front_end.recompute = recompute
        front_end(AUDIO, LENGTHS)[0].pow(2).mean().backward()
        found.append({k: p.grad for k, p in front_end.named_parameters() if p.grad is not None})
    assert set(found[0]) == set(found[1])
    for key, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][key])
