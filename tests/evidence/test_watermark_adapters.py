"""Watermarks of packages, by stand-ins that keep to the packages' published interfaces."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from earwitness.errors import MissingExtra, ModelError
from earwitness.evidence import watermark as marks
from earwitness.evidence import watermark_adapters as adapters
from earwitness.evidence.watermark_bundle import open_scheme

torch = pytest.importorskip("torch")


def speechlike(seconds, rate, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


class Weights(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(3))


class Perth(SimpleNamespace):
    """Marks by a constant, which it hears as the mean; keeps whole hops alone, as the package does."""

    def __init__(self):
        print("loaded")  # as the package does
        network = Weights()
        network.ap = SimpleNamespace(signal_to_magphase=self.spectrum)
        network.decoder = lambda magnitude: 20 * magnitude.mean(dim=(1, 2))
        super().__init__(perth_net=network)

    def spectrum(self, audio):
        if len(audio) <= 1024:
            raise RuntimeError("padding size should be less than the input")
        return (audio[None] * (torch.nan if not audio.any() else 1)), None

    def apply_watermark(self, audio, sample_rate):
        assert sample_rate == 32_000
        assert len(audio) > 1024
        return (audio + 0.05)[: len(audio) // 320 * 320]


@pytest.fixture
def perth(monkeypatch):
    monkeypatch.setitem(sys.modules, "perth", SimpleNamespace(PerthImplicitWatermarker=Perth))
    return open_scheme("perth")


def test_perth_is_present_or_not_and_names_nobody(perth, capsys):
    audio = speechlike(12.0, 16_000)
    marked = marks.embed(perth, audio, 16_000, perth.messages[0])
    assert marks.detect(perth, marks.listen(perth, marked, 16_000)).marked
    heard = marks.listen(perth, audio, 16_000)
    assert not marks.detect(perth, heard).marked
    assert marks.attribute(perth, heard) is None
    assert marks.decode(perth, heard) == ()
    assert capsys.readouterr().out == ""
    assert len(perth.digest) == 64


def test_perth_on_little_and_on_silence(perth):
    for samples in (1, 100, 319, 321, 20_000):
        host = speechlike(samples / 32_000, 32_000)
        added = perth.residual(host, perth.messages[0])
        assert added.shape == host.shape
        whole = max(samples // 320 * 320, samples if samples < 16_000 else 0)
        np.testing.assert_allclose(added[:whole], 0.05, atol=1e-6)
        assert not added[whole:].any()
        assert np.isfinite(perth.read(host).score)
    assert not marks.detect(perth, marks.listen(perth, np.zeros(32_000), 32_000)).marked


@pytest.mark.parametrize(
    ("absent", "error", "words"),
    [("librosa", MissingExtra, "librosa"), (None, ModelError, "setuptools<80")],
)
def test_perth_that_set_itself_to_nothing_is_told(monkeypatch, absent, error, words):
    monkeypatch.setitem(sys.modules, "perth", SimpleNamespace(PerthImplicitWatermarker=None))
    monkeypatch.setattr(adapters, "installed", lambda name: name != absent)
    with pytest.raises(error, match=words):
        open_scheme("perth")


@pytest.mark.parametrize("name", ["perth", "audioseal"])
def test_absent_packages_name_their_extra(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"earwitness\[{name}\]"):
        open_scheme(name)


class AudioSealGenerator(Weights):
    def get_watermark(self, x, sample_rate=None, message=None):
        assert x.ndim == 3
        assert x.shape[:2] == (1, 1)
        assert sample_rate == 16_000
        assert message.shape == (1, 16)
        assert set(message.ravel().tolist()) <= {0, 1}
        return 0.02 * torch.ones_like(x) + 0.001 * message.sum()


class AudioSealDetector(Weights):
    """Present where samples are above 0; sixteen bits of the mean."""

    def forward(self, x, sample_rate=None):
        present = torch.sigmoid(1_000 * x[:, 0])
        message = torch.full((1, 16), 0.25)
        message[0, ::3] = 1.0
        return torch.stack([1 - present, present], dim=1), message


def package(generator=AudioSealGenerator, detector=AudioSealDetector):
    names = {"audioseal_wm_16bits": generator, "audioseal_detector_16bits": detector}
    loader = SimpleNamespace(
        load_generator=lambda name: names[name](), load_detector=lambda name: names[name]()
    )
    return SimpleNamespace(AudioSeal=loader)


def test_audioseal_has_sixteen_bits_and_tells_the_sample(monkeypatch):
    monkeypatch.setitem(sys.modules, "audioseal", package())
    scheme = open_scheme("audioseal")
    message = np.array([1, -1] * 8, np.float32)
    host = np.full(100, 0.01, np.float32)
    np.testing.assert_allclose(scheme.residual(host, message), 0.028, atol=1e-6)
    audio = np.full(32_000, -0.1, np.float32)
    audio[8_000:24_000] = 0.1
    window = scheme.read(audio)
    np.testing.assert_allclose(window.where[[0, 7_999, 8_000, 23_999, 24_000]], [-8, -8, 8, 8, -8], atol=1e-4)
    assert window.score == pytest.approx(0.0, abs=1e-3)
    heard = marks.listen(scheme, np.full(16_000, 0.1), 16_000)
    assert marks.decode(scheme, heard) == tuple(int(i % 3 == 0) for i in range(16))
    assert heard.says[1] == pytest.approx(np.log(0.25 / 0.75), abs=1e-5)
    assert marks.attribute(scheme, heard) is None
    assert marks.detect(scheme, heard).spans == ((0.0, 1.0),)


def test_audioseal_without_its_weights_says_where_to_put_them(monkeypatch):
    def unreachable():
        raise OSError("name resolution\nfailed")

    monkeypatch.setitem(sys.modules, "audioseal", package(unreachable))
    with pytest.raises(ModelError, match="could not be fetched") as caught:
        open_scheme("audioseal")
    assert "$AUDIOSEAL_CACHE_DIR" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_log_odds_are_bounded_and_finite():
    found = adapters.log_odds(np.array([0.0, 0.25, 0.5, 1.0, 7.0, -3.0, np.nan]))
    np.testing.assert_allclose(found, [-8, np.log(1 / 3), 0, 8, 8, -8, 0], atol=1e-6)


def test_the_real_perth_marks_speech(speech):
    """Runs where the package and all that it needs are installed."""
    try:
        scheme = open_scheme("perth")
    except (MissingExtra, ModelError) as error:
        pytest.skip(str(error))
    audio = speech[:64_000]
    marked = marks.embed(scheme, audio, 16_000, scheme.messages[0])
    assert marks.detect(scheme, marks.listen(scheme, marked, 16_000)).marked
    assert not marks.detect(scheme, marks.listen(scheme, audio, 16_000)).marked
    assert float(marked @ audio) > 0
