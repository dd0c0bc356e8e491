"""Front ends: exact in padded batches, equal to transformers' own walk and its feature extractors."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tiny import ARCHITECTURES, DEEPER, shake  # noqa: E402

from earwitness.features.encoders import FrontEnd, count_frames, normalise_waveform  # noqa: E402
from earwitness.features.frontends import FRONT_ENDS, Architecture, make_body  # noqa: E402

GENERATOR = torch.Generator().manual_seed(5)
LONG = torch.randn(24_001, generator=GENERATOR) * 0.1
SHORT = torch.randn(8_123, generator=GENERATOR) * 0.1


def make(architecture: Architecture, states=None) -> FrontEnd:
    torch.manual_seed(0)
    front_end = FrontEnd(architecture, states).eval()
    shake(front_end)
    return front_end


@torch.no_grad()
def alone(front_end: FrontEnd, clip: torch.Tensor) -> torch.Tensor:
    states, mask = front_end(clip[None], torch.tensor([len(clip)]))
    return states[0][:, mask[0]]


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.no_grad()
def test_a_clip_in_a_padded_batch_gives_what_it_gives_alone(name):
    front_end = make(ARCHITECTURES[name], states=[0, 1, 2])
    waveform = torch.full((2, len(LONG)), 0.7)  # what lies beyond a clip must not matter
    waveform[0], waveform[1, : len(SHORT)] = LONG, SHORT
    states, mask = front_end(waveform, torch.tensor([len(LONG), len(SHORT)]))
    assert states.shape[1:2] == (3,)
    for row, clip in enumerate((LONG, SHORT)):
        torch.testing.assert_close(states[row][:, mask[row]], alone(front_end, clip), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("whisper", "w2v-bert")])
@torch.no_grad()
def test_every_state_is_that_of_transformers(name):
    front_end = make(ARCHITECTURES[name], states=[0, 1, 2])
    normalised = normalise_waveform(LONG[None], torch.tensor([len(LONG)]))
    given = normalised if front_end.architecture.normalise else LONG[None]
    expected = front_end.body(given, output_hidden_states=True)
    states = [*expected.hidden_states[:-1], expected.last_hidden_state]
    found = alone(front_end, LONG)
    for i, state in enumerate(states):
        torch.testing.assert_close(found[i], state[0], atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_w2v_bert_hears_and_answers_as_transformers():
    front_end = make(ARCHITECTURES["w2v-bert"], states=[0, 1, 2])
    features = transformers.SeamlessM4TFeatureExtractor()(
        LONG.numpy(), sampling_rate=16_000, return_tensors="pt"
    )
    expected = front_end.body(**features, output_hidden_states=True).hidden_states
    found = alone(front_end, LONG)
    count = int(features["attention_mask"].sum())
    assert found.shape[1] == count
    for i, state in enumerate(expected):
        torch.testing.assert_close(found[i], state[0, :count], atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_whisper_hears_and_answers_as_transformers_on_thirty_seconds():
    front_end = make(ARCHITECTURES["whisper"], states=[0, 1, 2])
    clip = torch.randn(480_000, generator=torch.Generator().manual_seed(1)) * 0.1
    logmel = transformers.WhisperFeatureExtractor()(clip.numpy(), sampling_rate=16_000, return_tensors="pt")
    expected = front_end.body(logmel["input_features"], output_hidden_states=True).hidden_states
    found = alone(front_end, clip)
    assert found.shape[1] == 1_500
    for i, state in enumerate(
        expected[:-1]
    ):  # transformers mirrors the end, where ours is followed by silence
        torch.testing.assert_close(found[i], state[0], atol=3e-3, rtol=1e-3)


@torch.no_grad()
def test_layers_above_the_last_wanted_are_not_run_and_states_come_in_the_order_asked():
    everything = alone(make(DEEPER, states=[0, 1, 2, 3, 4]), LONG)
    front_end = make(DEEPER, states=[3, 1])
    front_end.body.encoder.layers[3].forward = None  # would raise if called
    found = alone(front_end, LONG)
    torch.testing.assert_close(found[0], everything[3])
    torch.testing.assert_close(found[1], everything[1])
    with pytest.raises(ValueError, match="states must be within 0 to 4"):
        make(DEEPER, states=[5])


def test_frames_are_counted_as_the_literature_does():
    lengths = torch.tensor([400, 16_000, 64_600, 160_000])
    assert count_frames(ARCHITECTURES["hubert"], lengths).tolist() == [1, 49, 201, 499]


@torch.no_grad()
def test_normalisation_is_torchs_layer_norm_over_the_clip():
    quiet = SHORT * 1e-3  # where another epsilon would show
    padded = torch.cat([quiet, torch.zeros(5_000)])
    found = normalise_waveform(padded[None], torch.tensor([len(quiet)]))[0]
    expected = torch.nn.functional.layer_norm(quiet, quiet.shape)
    np.testing.assert_allclose(found[: len(quiet)], expected, atol=2e-5)
    assert not found[len(quiet) :].any()


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_the_table_builds_networks_of_the_published_size(name):
    with torch.device("meta"):
        body = make_body(FRONT_ENDS[name].architecture)
    millions = sum(parameter.numel() for parameter in body.parameters()) / 1e6
    assert millions == pytest.approx(FRONT_ENDS[name].parameters, abs=0.006)


@torch.no_grad()
def test_half_precision_under_autocast_stays_close():
    front_end = make(ARCHITECTURES["wavlm-base"])
    exact = alone(front_end, LONG)
    with torch.autocast("cpu", torch.bfloat16):
        found = alone(front_end, LONG)
    assert (found.float() - exact).abs().mean() < 0.05 * exact.abs().mean()
