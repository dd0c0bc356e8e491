"""Sound as it is stored, against libsndfile."""

from contextlib import suppress

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.io import open_file, open_recording
from earwitness.audio.native import Form, Native, new_file
from earwitness.errors import InputError


def read(path):
    with open_file(path) as file, open_recording(file, path.name) as recording:
        track = Native(recording)
        return np.concatenate([*track.blocks()], axis=1), track.form


def noise(samples, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (samples, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "subtype", "bits", "rate", "channels"),
    [
        ("a.wav", "PCM_16", 16, 8_000, 1),
        ("a.wav", "PCM_24", 24, 44_100, 2),
        ("a.wav", "PCM_32", 32, 48_000, 2),
        ("a.wav", "FLOAT", 32, 11_025, 6),
        ("a.wav", "DOUBLE", 32, 22_050, 1),
        ("a.wav", "PCM_U8", 16, 16_000, 2),
        ("a.wav", "PCM_16", 16, 16_000, 12),
        ("a.flac", "PCM_16", 16, 96_000, 2),
        ("a.flac", "PCM_24", 24, 11_025, 3),
        ("a.aiff", "PCM_24", 24, 32_000, 2),
    ],
)
def test_every_channel_comes_as_it_is_and_goes_as_it_came(tmp_path, name, subtype, bits, rate, channels):
    path = tmp_path / name
    soundfile.write(path, noise(20_011, channels), rate, subtype=subtype)
    audio, form = read(path)
    assert (form.sample_rate, form.channels, form.bits) == (rate, channels, bits)
    np.testing.assert_array_equal(audio.T, soundfile.read(path, dtype="float32", always_2d=True)[0])
    for suffix in (".wav", ".flac"):
        if suffix == ".flac" and (channels > 8 or bits == 32):
            continue
        copy = tmp_path / f"copy{suffix}"
        with new_file(copy, form) as file:
            file.write(audio)
        again, found = soundfile.read(copy, dtype="float32", always_2d=True)
        np.testing.assert_array_equal(again.T, audio)
        assert found == rate
        subtypes = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}
        assert soundfile.info(copy).subtype == subtypes[bits]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 6_000), max_size=8), st.integers(1, 3), st.sampled_from((".wav", ".flac")))
def test_blocks_of_any_size_make_one_file(tmp_path_factory, sizes, channels, suffix):
    path = tmp_path_factory.mktemp("blocks") / f"a{suffix}"
    audio = noise(sum(sizes) + 1, channels).T
    with new_file(path, Form(16_000, channels, f"{channels} channels", 16)) as file:
        for block in np.split(audio, np.cumsum(sizes), axis=1):
            file.write(block)
    found = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    assert found.shape == audio.shape
    np.testing.assert_allclose(found, audio, atol=0.5001 / 32_768)


def test_what_integers_cannot_hold_is_cut_and_counted(tmp_path):
    audio = np.array([[0.5, 1.0, 1.5, -1.0, -2.0]], np.float32)
    with new_file(tmp_path / "a.wav", Form(8_000, 1, "mono", 16)) as file:
        file.write(audio)
    assert file.clipped == 2
    top = 32_767 / 32_768
    np.testing.assert_allclose(soundfile.read(tmp_path / "a.wav")[0], [0.5, top, top, -1, -1])
    with new_file(tmp_path / "b.wav", Form(8_000, 1, "mono", 32)) as file:
        file.write(audio)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.wav")[0], audio[0])


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path, form = tmp_path / "a.wav", Form(8_000, 1, "mono", 16)
    with suppress(RuntimeError), new_file(path, form) as file:
        file.write(np.zeros((1, 100), np.float32))
        raise RuntimeError("stop")
    assert [*tmp_path.iterdir()] == []
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="--force"), new_file(path, form):
        pass
    assert path.read_bytes() == b"mine"
    with new_file(path, form, replace=True) as file:
        file.write(np.zeros((1, 100), np.float32))
    assert soundfile.info(path).frames == 100
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("name", "channels", "code"),
    [("a.mp3", 1, "usage"), ("a.flac", 9, "usage"), ("no/a.wav", 1, "unwritable")],
)
def test_what_cannot_be_written_is_told(tmp_path, name, channels, code):
    with (
        pytest.raises(InputError) as caught,
        new_file(tmp_path / name, Form(8_000, channels, f"{channels} channels", 16)),
    ):
        pass
    assert caught.value.code == code


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e6])
def test_samples_that_are_no_audio_are_refused(tmp_path, bad):
    audio = noise(1_000)
    audio[500] = bad
    soundfile.write(tmp_path / "a.wav", audio, 8_000, subtype="FLOAT")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.wav")
    assert caught.value.code == "bad-samples"


@pytest.mark.parametrize(
    ("rate", "channels", "code"), [(2_000, 1, "unsupported"), (8_000, 65, "unsupported")]
)
def test_rates_and_channels_are_bounded(tmp_path, rate, channels, code):
    soundfile.write(tmp_path / "a.wav", noise(500, channels), rate)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.wav")
    assert caught.value.code == code


def test_no_samples_are_told(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8_000)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.wav")
    assert caught.value.code in ("no-samples", "damaged", "not-audio")
