"""Watermarks on disk against what their tiny graphs compute, in numpy."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import watermark_folder as folder_of
from scipy.signal import istft, stft
from watermark_folder import LEVEL, NAMES, PERIOD, WIDTH, WORDS, codes, tilts

from earwitness.errors import ModelError
from earwitness.evidence import watermark as marks
from earwitness.evidence import watermark_bundle as bundle
from earwitness.evidence.shaping import shaped
from earwitness.evidence.watermark_bundle import open_scheme

KINDS = ("fakemark-a", "fakemark-t", "audioseal", "timbre")
LENGTHS = (1, 319, 320, 7_999, 8_001, 16_161)


@pytest.fixture(scope="module")
def schemes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schemes")
    return {kind: open_scheme(folder_of.make(folder / kind, kind)) for kind in KINDS}


def noise(samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def spectrum(audio):
    """As `spectra.stft(audio, 1024, 256)`, by scipy, (bins, frames)."""
    padded = np.pad(audio, (512, 512))
    return stft(padded, nperseg=1024, noverlap=768, boundary=None, padded=False, scaling="psd")[2]


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("kind", ["fakemark-a", "audioseal"])
def test_proposals_are_shaped_under_the_host(schemes, kind, samples):
    scheme, host = schemes[kind], noise(samples)
    added = scheme.residual(host, scheme.messages[1])
    table = codes(scheme.messages.shape[1])
    code = scheme.messages[1] @ table / np.sqrt(len(table))
    np.testing.assert_allclose(added, shaped(np.resize(code, samples), host), atol=1e-6)
    assert added.dtype == np.float32


@pytest.mark.parametrize("kind", ["fakemark-t", "timbre"])
def test_factors_change_magnitudes_and_keep_phases(schemes, kind):
    scheme, host = schemes[kind], noise(256 * 63)  # whole frames, for scipy
    added = scheme.residual(host, scheme.messages[2])
    factor = 0.2 * np.tanh(scheme.messages[2] @ tilts()[: scheme.messages.shape[1]])
    padded = np.pad(host, 1_024)
    spectra = stft(padded, nperseg=1024, noverlap=768)[2] * factor[:, None]
    wanted = istft(spectra, nperseg=1024, noverlap=768)[1][1_024:][: len(host)]
    inner = slice(1_024, len(host) - 1_024)  # the ends depend on what lies beyond them
    np.testing.assert_allclose(added[inner], wanted[inner], atol=1e-5)


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_length_is_marked_and_read(schemes, kind, samples):
    scheme, host = schemes[kind], noise(samples)
    added = scheme.residual(host, scheme.messages[0])
    assert added.shape == host.shape
    assert np.isfinite(added).all()
    window = scheme.read(host)
    assert window.says.shape == (3 if scheme.bits is None else 4,)
    assert np.isfinite([window.score, *window.says]).all()
    most = {"timbre": 0, "audioseal": samples}.get(kind, -(-samples // 320))
    assert most - 1 <= len(window.where) <= most


def test_a_gain_makes_the_same_mark_louder(tmp_path, schemes):
    louder, host = open_scheme(folder_of.make(tmp_path / "a", "timbre", gain=2.5)), noise(8_001)
    plain = schemes["timbre"].residual(host, louder.messages[0])
    np.testing.assert_allclose(louder.residual(host, louder.messages[0]), 2.5 * plain, atol=1e-6)


def test_of_nothing_comes_nothing(schemes):
    for scheme in schemes.values():
        assert scheme.residual(np.zeros(0, np.float32), scheme.messages[0]).shape == (0,)
        assert np.isfinite(scheme.read(np.zeros(0, np.float32)).score)


def alike(audio, table):
    frames = audio[: len(audio) // PERIOD * PERIOD].reshape(-1, PERIOD) @ table.T / PERIOD / LEVEL
    half = WIDTH // 2
    return np.stack([frames[max(0, i - half) : i + half + 1].mean(axis=0) for i in range(len(frames))])


def test_fakemark_reads_names_and_places(schemes):
    audio = noise(20_000)
    window, says = schemes["fakemark-a"].read(audio), alike(audio, codes(3))
    where = np.clip(says.max(axis=1) - 0.5, -8, 8)
    np.testing.assert_allclose(window.where, where, atol=1e-4)
    assert window.score == pytest.approx(where.mean(), abs=1e-4)
    np.testing.assert_allclose(window.says, says.mean(axis=0), atol=1e-4)
    assert schemes["fakemark-a"].step == 320


def test_audioseal_reads_samples(schemes):
    audio = noise(20_000)
    window = schemes["audioseal"].read(audio)
    np.testing.assert_allclose(window.where, np.clip(30 * audio, -8, 8), atol=1e-5)
    padded = np.pad(audio, (0, -len(audio) % PERIOD))
    np.testing.assert_allclose(window.says, alike(padded, codes(4)).mean(axis=0), atol=1e-4)
    assert schemes["audioseal"].step == 1


def test_timbre_is_there_where_bits_agree_with_a_word(schemes):
    audio = noise(256 * 63)
    magnitude = np.abs(spectrum(audio)) * 1.0
    scale = np.abs(np.fft.rfft(np.hanning(1025)[:-1] * audio[:1024])[3]) / magnitude[3, 2]  # scipy's own
    says = (np.log(magnitude * scale + 1e-3).T @ tilts().T / 513).mean(axis=0)
    window = schemes["timbre"].read(audio)
    np.testing.assert_allclose(window.says, says, atol=1e-3)
    assert window.score == pytest.approx(max(np.array(WORDS) @ says) / 4, abs=1e-3)
    assert len(window.where) == 0
    assert schemes["timbre"].step == 0


def test_a_short_clip_is_read_by_its_own_frames_alone(schemes):
    clip = noise(1_600)
    window = schemes["fakemark-a"].read(clip)
    assert len(window.where) == 5


def test_whom_a_mark_names(schemes, speech):
    scheme = schemes["fakemark-a"]
    for name, message in zip(NAMES, scheme.messages, strict=True):
        marked = marks.embed(scheme, speech[:96_000], 16_000, message, 3.0)
        assert marks.attribute(scheme, marks.listen(scheme, marked, 16_000)).name == name


def test_what_was_altered_is_refused(tmp_path):
    folder = folder_of.make(tmp_path / "a")
    for name in ("generator.onnx", "reader.onnx", "messages.npy"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError, match="altered"):
            open_scheme(folder)
        (folder / name).unlink()
        with pytest.raises(ModelError, match="no such file"):
            open_scheme(folder)
        (folder / name).write_bytes(whole)
    assert open_scheme(folder).names == NAMES


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"kind": "other"},
        {"names": ["a", "a", "b"]},
        {"names": ["a", "b", 3]},
        {"names": []},
        {"names": ["alpha", "beta"]},
        {"bits": WORDS},
        {"presence": {"threshold": 0, "tail": 0, "false_alarm": 0.1}},
        {"presence": {"threshold": float("nan"), "tail": 1, "false_alarm": 0.1}},
        {"presence": {"threshold": 0, "tail": 1, "false_alarm": 1}},
        {"presence": {"threshold": "0", "tail": 1, "false_alarm": 0.1}},
        {"presence": None},
        {"gain": 0},
        {"gain": 100},
        {"gain": float("nan")},
        {"gain": "2"},
        {"gain": True},
        {"scale": 0},
        {"scale": "1"},
        {"files": {}},
        {"files": {"../generator.onnx": ""}},
        {"name": "../x"},
        {"licence": None},
        {"kind": "timbre", "bits": [[1, -1], [1]]},
        {"kind": "timbre", "bits": [[1, 0]] * 3},
        {"kind": "timbre", "bits": [[1, True]] * 3},
        {"kind": "timbre", "bits": [[], [], []]},
        {"kind": "timbre", "bits": None},
    ],
)
def test_cards_that_cannot_be_are_refused(tmp_path, changes):
    with pytest.raises(ModelError):
        open_scheme(folder_of.make(tmp_path / "a", **changes))


def messages_of(kind):
    if kind == "objects":
        return np.array([[{}], [{}], [{}]], dtype=object)
    return {
        "doubles": np.eye(3),
        "flat": np.ones(3, np.float32),
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2)),
        "few": np.ones((2, 3), np.float32),
        "infinite": np.full((3, 2), np.inf, np.float32),
    }[kind]


@pytest.mark.parametrize("kind", ["objects", "doubles", "flat", "columns", "few", "infinite", "huge", "text"])
def test_messages_of_another_kind_are_refused(tmp_path, kind):
    path = tmp_path / "messages.npy"
    if kind == "text":
        path.write_bytes(b"no array")
    elif kind == "huge":  # a header that promises terabytes
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1099511627776), }"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    else:
        np.save(path, messages_of(kind), allow_pickle=True)
    with pytest.raises(ModelError, match=r"messages\.npy"):
        bundle.read_messages(path, 3)


def test_graphs_that_read_other_files_are_refused(tmp_path):
    import onnx

    folder = folder_of.make(tmp_path / "a")
    model = onnx.load(folder / "generator.onnx")
    onnx.save_model(
        model, folder / "generator.onnx", save_as_external_data=True, location="x.bin", size_threshold=0
    )
    card = json.loads((folder / "watermark.json").read_text())
    card["files"]["generator.onnx"] = hashlib.sha256((folder / "generator.onnx").read_bytes()).hexdigest()
    (folder / "watermark.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="another file"):
        open_scheme(folder)


def test_graphs_of_another_kind_are_refused(tmp_path):
    folder = folder_of.make(tmp_path / "a")
    card = json.loads((folder / "watermark.json").read_text()) | {"kind": "timbre", "bits": WORDS}
    (folder / "watermark.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="expected inputs"):
        open_scheme(folder)


def test_a_graph_that_gives_another_shape_is_told(tmp_path):
    folder = folder_of.make(tmp_path / "a")
    card = json.loads((folder / "watermark.json").read_text())
    folder_of.waveform_reader(folder / "reader.onnx", codes(2))
    del card["files"]
    folder_of.seal(folder, card)
    with pytest.raises(ModelError, match="says"):
        open_scheme(folder).read(noise(16_000))


def test_names_open_what_ships(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "SHIPPED", tmp_path)
    with pytest.raises(ModelError, match="no such watermark"):
        open_scheme("a")
    folder_of.make(tmp_path / "b", name="second")
    folder_of.make(tmp_path / "a", name="first")
    assert open_scheme("a").name == "first"
    assert open_scheme("b").name == "second"
    with pytest.raises(ModelError, match="no such watermark"):
        open_scheme("c")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no"):
        open_scheme(tmp_path / "empty")
    offers = {offer.name: offer for offer in bundle.list_schemes()}
    assert list(offers) == ["a", "b", "perth", "audioseal"]
    assert offers["a"].at_hand
    (tmp_path / "a" / "watermark.json").write_text("{}")
    (broken, *_) = bundle.list_schemes()
    assert not broken.at_hand
    assert "lacks" in broken.note


def test_what_is_at_hand_is_told_without_loading_it(monkeypatch):
    monkeypatch.setattr(bundle.adapters, "installed", lambda name: name != "pkg_resources")
    offers = {offer.name: offer for offer in bundle.list_schemes()}
    assert (offers["perth"].at_hand, offers["perth"].needs) == (False, "perth")
    assert (offers["audioseal"].at_hand, offers["audioseal"].needs) == (True, "")
    code = (
        "import sys; from earwitness.evidence import watermark_bundle as b; b.list_schemes();"
        "sys.exit(' '.join({'torch', 'perth', 'audioseal', 'onnxruntime'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
