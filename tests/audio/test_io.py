import io
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio import io as audio_io
from earwitness.audio.io import load, open_file, open_path, open_recording, to_wav
from earwitness.errors import InputError


def code_of(source) -> str:
    with pytest.raises(InputError) as caught:
        load(source)
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.wav", {"subtype": "PCM_16"}, 1e-7),
        ("a.wav", {"subtype": "PCM_U8"}, 0.01),
        ("a.wav", {"subtype": "PCM_24"}, 1e-7),
        ("a.wav", {"subtype": "PCM_32"}, 1e-7),
        ("a.wav", {"subtype": "FLOAT"}, 1e-7),
        ("a.wav", {"subtype": "DOUBLE"}, 1e-7),
        ("a.wav", {"subtype": "ULAW"}, 0.04),
        ("a.wav", {"subtype": "ALAW"}, 0.04),
        ("a.wav", {"subtype": "PCM_16", "format": "WAVEX"}, 1e-7),
        ("a.flac", {"subtype": "PCM_16"}, 1e-7),
        ("a.flac", {"subtype": "PCM_24"}, 1e-7),
        ("a.aiff", {"subtype": "PCM_16"}, 1e-7),
        ("a.au", {"subtype": "PCM_16"}, 1e-7),
        ("a.caf", {"subtype": "PCM_16"}, 1e-7),
    ],
)
def test_decodes_what_libsndfile_writes(write, speech, name, options, tolerance):
    decoded = load(write(name, **options))
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, speech[:64_000], atol=tolerance)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.ogg", "VORBIS"), ("a.ogg", "OPUS"), ("a.mp3", "MPEG_LAYER_III")]
)
def test_decodes_lossy_formats_in_time(write, speech, name, subtype):
    decoded = load(write(name, subtype=subtype))
    assert len(decoded) == pytest.approx(64_000, abs=1_800)
    size = 1 << 18
    product = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(speech[:64_000], size)))
    delay = int(np.argmax(product))
    assert min(delay, size - delay) < 1_200  # encoder delay at most
    n = min(len(decoded) - delay, 64_000) if delay < size // 2 else 60_000
    if delay < size // 2:
        assert np.corrcoef(decoded[delay : delay + n], speech[:n])[0, 1] > 0.97


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 64])
def test_channels_are_averaged(write, speech, channels):
    rng = np.random.default_rng(0)
    audio = speech[:32_000, None] * rng.uniform(0.1, 1, channels)
    decoded = load(write("a.wav", audio.astype(np.float32), subtype="FLOAT"))
    np.testing.assert_allclose(decoded, audio.mean(1), atol=1e-6)


def test_channels_that_cancel_are_heard(write, speech):
    audio = np.stack([speech[:32_000], -speech[:32_000]], 1)
    decoded = load(write("a.wav", audio, subtype="FLOAT"))
    assert np.corrcoef(decoded, speech[:32_000])[0, 1] > 0.999


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_resampling_keeps_a_tone_and_removes_what_would_alias(write, rate):
    time = np.arange(rate * 2) / rate
    tone = 0.5 * np.sin(2 * np.pi * 1_000 * time)
    if rate > 24_000:
        tone += 0.3 * np.sin(2 * np.pi * 11_000 * time)  # would fold to 5 kHz
    decoded = load(write("a.wav", tone.astype(np.float32), rate, subtype="FLOAT"))
    assert len(decoded) == pytest.approx(32_000, abs=2)
    expected = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(len(decoded)) / 16_000)
    np.testing.assert_allclose(decoded[2_000:-2_000], expected[2_000:-2_000], atol=2e-3)


def test_path_bytes_file_and_pipe_give_the_same(write):
    path = write("a.flac")
    data = path.read_bytes()
    reference = load(path)
    np.testing.assert_array_equal(load(data), reference)
    np.testing.assert_array_equal(load(io.BytesIO(data)), reference)
    receiving, sending = os.pipe()
    feeder = threading.Thread(target=lambda: (os.write(sending, data), os.close(sending)))
    feeder.start()
    with os.fdopen(receiving, "rb") as pipe:
        np.testing.assert_array_equal(load(pipe), reference)
    feeder.join()


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 3_000),
    channels=st.integers(1, 8),
    seed=st.integers(0, 99),
    rate=st.sampled_from([8_000, 16_000, 48_000]),
)
def test_to_wav_is_read_back_by_libsndfile(frames, channels, seed, rate):
    audio = np.random.default_rng(seed).uniform(-1, 1, (channels, frames)).astype(np.float32)
    back, found = soundfile.read(io.BytesIO(to_wav(audio, rate)), dtype="float32", always_2d=True)
    assert found == rate
    np.testing.assert_array_equal(back.T, audio)


def test_blocks_do_not_grow_with_the_file(tmp_path):
    longest = []
    for seconds in (20, 600):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, np.zeros(16_000 * seconds, np.int16), 16_000)
        with open_file(path) as file, open_recording(file) as recording:
            longest.append(max(len(block) for block in recording.blocks()))
        assert recording.decoded_s == pytest.approx(seconds)
    assert longest[0] == longest[1] <= 5 * 16_000


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=3_000))
def test_arbitrary_bytes_never_crash(data):
    with suppress(InputError):
        load(data)


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(1, 60_000), flips=st.lists(st.integers(0, 59_999), max_size=30))
@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.ogg", "a.wav"])
def test_damaged_files_never_crash(name, cut, flips):
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    kind = name.split(".")[1].upper()
    soundfile.write(file, rng.standard_normal(24_000) * 0.1, 16_000, format=kind)
    data = bytearray(file.getvalue()[:cut])
    for flip in flips:
        data[flip % len(data)] ^= 0xFF
    with suppress(InputError):
        load(bytes(data))


def test_codes_of_bad_files(tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("hello, this is not audio\n" * 50)
    (tmp_path / "riff.wav").write_bytes(b"RIFF\x00\x00")
    (tmp_path / "random.mp3").write_bytes(np.random.default_rng(1).bytes(100))
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    expected = {
        "empty.wav": "empty-file",
        "text.wav": "not-audio",
        "riff.wav": "damaged",
        "random.mp3": "not-audio",
        "loop.wav": "unreadable",
        "gone.wav": "not-found",
        "missing.wav": "not-found",
        "pipe.wav": "not-a-file",
        ".": "not-a-file",
    }
    assert {name: code_of(tmp_path / name) for name in expected} == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 30_000.0])
def test_impossible_samples_are_named(write, speech, bad):
    audio = speech[:16_000].copy()
    audio[5_000] = bad
    assert code_of(write("a.wav", audio, subtype="FLOAT")) == "bad-samples"


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code = f"from earwitness.audio.io import load; load({str(tmp_path / 'pipe')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert "named pipe" in done.stderr


def wav_header(data_size: int, rate: int = 16_000) -> bytes:
    layout = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    riff = b"RIFF" + struct.pack("<I", min(0xFFFFFFFF, 36 + data_size)) + b"WAVE"
    return riff + b"fmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", data_size)


def test_a_header_that_promises_more_is_noticed(speech):
    data = (speech[:48_000] * 32_767).astype("<i2").tobytes()
    with open_file(wav_header(10 * 3600 * 32_000) + data) as file, open_recording(file) as recording:
        list(recording.blocks())
        assert recording.missing_s() == pytest.approx(10 * 3600 - 3, abs=1)


def test_a_streamed_wav_without_a_length_is_whole(speech):
    data = (speech[:48_000] * 32_767).astype("<i2").tobytes()
    with open_file(wav_header(0xFFFFFFFF) + data) as file, open_recording(file) as recording:
        assert sum(map(len, recording.blocks())) == 48_000
        assert recording.missing_s() == 0


def test_rates_out_of_bounds_are_refused(speech):
    data = (speech[:48_000] * 32_767).astype("<i2").tobytes()
    assert code_of(wav_header(len(data), 50) + data) in ("unsupported", "damaged")
    assert code_of(wav_header(len(data), 2_000_000_000) + data) in ("unsupported", "damaged")


def test_a_playlist_cannot_make_it_read_other_files(tmp_path, write):
    secret = write("secret.wav")
    for name in ("list.wav", "list.mp3", "list.m3u8"):
        playlist = tmp_path / name
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{secret}\n#EXT-X-ENDLIST\n")
        assert code_of(playlist) == "not-audio"
    concat = tmp_path / "concat.wav"
    concat.write_text(f"ffconcat version 1.0\nfile {secret.name}\n")
    assert code_of(concat) == "not-audio"


def test_names_are_never_protocols(tmp_path, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert code_of("concat:a.wav|b.wav") == "not-found"
    assert code_of("http://localhost/a.wav") == "not-found"
    os.rename(write("a.wav"), tmp_path / "data:x.wav")
    assert len(load("data:x.wav")) == 64_000


def test_too_long_is_stopped(monkeypatch, write):
    monkeypatch.setattr(audio_io, "MAX_DURATION_S", 2.0)
    assert code_of(write("a.wav")) == "too-long"


def test_directories_and_devices_are_named():
    with pytest.raises(InputError, match="a device"):
        open_path(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.aiff"])
def test_files_cut_off_are_noticed_and_whole_ones_are_not(write, speech, name):
    data = write(name, np.tile(speech, 2)).read_bytes()
    for share, cut in ((1.0, False), (0.6, True)):
        part = data[: int(share * len(data))]
        with open_file(part) as file, open_recording(file, name) as recording:
            assert sum(map(len, recording.blocks())) > 0
            assert (recording.missing_s() > 0) is cut


def test_stretches_lost_inside_are_counted(speech):
    file = io.BytesIO()
    soundfile.write(file, np.tile(speech, 2), 16_000, format="FLAC")
    data = bytearray(file.getvalue())
    with open_file(bytes(data)) as whole, open_recording(whole) as recording:
        list(recording.blocks())
        assert recording.skipped_s == 0
    for place in range(len(data) // 3, len(data) // 2):
        data[place] ^= 0x5A
    with open_file(bytes(data)) as damaged, open_recording(damaged) as recording:
        list(recording.blocks())
        assert recording.skipped_s + recording.missing_s() + recording.bad_packets > 0
