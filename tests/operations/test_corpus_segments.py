"""`corpus prepare --segment`: the pieces of a recording are the recording."""

import json

import av
import numpy as np
import pytest
import soundfile

from earwitness.audio.io import to_wav
from earwitness.audio.protocol import read_protocol
from earwitness.errors import InputError
from earwitness.operations import corpus_segments
from earwitness.operations.corpus import prepare


@pytest.fixture
def mine(tmp_path):
    """A folder with one empty class folder for each label."""
    for name in ("real", "fake"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    return tmp_path / "mine"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.csv"


def whole(rng, shape, bits):
    """Samples of so many bits, as int32 with the bits on top."""
    return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape, dtype=np.int64).astype(np.int32) << (
        32 - bits
    )


def joined(out):
    """Samples of the pieces of a recording, one after the other, by the file they were cut from."""
    found = {}
    for item in read_protocol(out):
        origin = item.id.rpartition("_seg")[0]
        found.setdefault(origin, []).append(soundfile.read(item.path, dtype="int32", always_2d=True)[0])
    return {origin: np.concatenate(parts) for origin, parts in found.items()}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("name", "subtype", "bits"),
    [("a.wav", "PCM_16", 16), ("a.wav", "PCM_24", 24), ("a.flac", "PCM_16", 16), ("a.flac", "PCM_24", 24)],
)
def test_pieces_put_together_are_the_recording_bit_for_bit(mine, out, name, subtype, bits, channels):
    audio = whole(np.random.default_rng(0), (22_050 * 3 + 777, channels), bits)
    soundfile.write(mine / "real" / name, audio, 22_050, subtype=subtype)
    prepare("folder", mine, out, 1.0)
    (pieces,) = joined(out).values()
    np.testing.assert_array_equal(pieces, audio)
    rows = list(read_protocol(out))
    assert [row.duration_s for row in rows] == [1.0, 1.0, 1.0, round(777 / 22_050, 2)]
    assert {(row.sample_rate, row.channels, row.encoding, row.bits) for row in rows} == {
        (22_050, channels, "FLAC", bits)
    }
    infos = [soundfile.info(row.path) for row in rows]
    assert {(info.format, info.subtype, info.samplerate) for info in infos} == {
        ("FLAC", f"PCM_{bits}", 22_050)
    }


def test_samples_of_eight_bits_and_floats(mine, out):
    rng = np.random.default_rng(1)
    bytes_ = rng.integers(-128, 128, 10_000).astype(np.int32)
    soundfile.write(mine / "real" / "u8.wav", bytes_ << 24, 16_000, subtype="PCM_U8")
    floats = rng.uniform(-1.2, 1.2, 10_000).astype(np.float32)
    soundfile.write(mine / "fake" / "f.wav", floats, 16_000, subtype="FLOAT")
    prepare("folder", mine, out, 0.25)
    found = joined(out)
    np.testing.assert_array_equal(found["mine-real/u8.wav"][:, 0], bytes_ << 24)
    expected = np.clip(np.rint(floats.astype(float) * 2**23), -(2**23), 2**23 - 1).astype(np.int64) << 8
    np.testing.assert_array_equal(found["mine-fake/f.wav"][:, 0], expected)


def test_a_lossy_recording_is_what_its_decoder_gives(mine, out):
    audio = np.random.default_rng(2).normal(0, 0.1, 24_000 * 2)
    soundfile.write(mine / "fake" / "a.mp3", audio, 24_000)
    prepare("folder", mine, out, 0.5)
    (pieces,) = joined(out).values()
    with av.open(str(mine / "fake" / "a.mp3")) as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(pieces) == len(decoded)
    assert np.abs(pieces[:, 0] / 2**31 - decoded).max() <= 0.5 / 2**15 + 1e-9


def test_names_ids_and_what_keeps_pieces_together(mine, out):
    for name in ("a.wav", "a.flac"):
        soundfile.write(mine / "real" / name, np.zeros(16_000 * 2) + 0.1, 16_000)
    about = prepare("folder", mine, out, 1.5)
    rows = list(read_protocol(out))
    assert [row.id for row in rows] == [
        "mine-real/a.flac_seg1",
        "mine-real/a.flac_seg2",
        "mine-real/a.wav_seg1",
        "mine-real/a.wav_seg2",
    ]
    assert [row.source for row in rows] == [row.group for row in rows]
    assert [row.source for row in rows] == [row.id.rpartition("_seg")[0] for row in rows]
    assert rows[0].path == out.with_suffix(".segments") / "real" / "a.flac_seg1.flac"
    assert (about["segment_s"], about["cut_from"]) == (1.5, str(mine))
    assert about["root"] == str(out.with_suffix(".segments"))
    assert about["hours"]["real"] == round(4 / 3600, 4)


def test_a_known_source_and_group_stay(tmp_path, out):
    soundfile.write(tmp_path / "x.wav", np.zeros(16_000) + 0.1, 16_000)
    (tmp_path / "t.csv").write_text("path,label,source,group\nx.wav,fake,LJ001,page\n")
    prepare("csv", tmp_path / "t.csv", tmp_path / "out" / "o.csv", 0.5)
    rows = list(read_protocol(tmp_path / "out" / "o.csv"))
    assert {(row.source, row.group) for row in rows} == {("LJ001", "page")}


def test_only_what_is_new_is_cut(mine, out, monkeypatch):
    cut, done = corpus_segments.cut, []

    def counted(path, *others):
        done.append(path.name)
        return cut(path, *others)

    monkeypatch.setattr(corpus_segments, "cut", counted)
    for name in ("a.wav", "b.wav"):
        soundfile.write(mine / "real" / name, np.zeros(16_000) + 0.1, 16_000)
    prepare("folder", mine, out, 0.25)
    before = out.read_bytes()
    done.clear()
    prepare("folder", mine, out, 0.25)
    assert (done, out.read_bytes()) == ([], before)
    (out.with_suffix(".segments") / "real" / "b.wav_seg3.flac").unlink()
    prepare("folder", mine, out, 0.25)
    assert done == ["b.wav"]
    assert out.read_bytes() == before
    done.clear()
    assert prepare("folder", mine, out, 0.5)["rows"] == 4
    assert sorted(done) == ["a.wav", "b.wav"]


def test_a_damaged_recording_leaves_no_rows_and_no_piece_without_its_name(mine, out):
    audio = np.random.default_rng(0).normal(0, 0.1, 16_000 * 3)
    soundfile.write(mine / "real" / "good.wav", audio, 16_000)
    path = mine / "real" / "cut.flac"
    soundfile.write(path, audio, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    audio[20_000] = np.nan
    (mine / "fake" / "nan.wav").write_bytes(to_wav(audio, 16_000))
    about = prepare("folder", mine, out, 1.0)
    assert (about["rows"], about["left_out"]) == (3, 2)
    reasons = out.with_name("out.left-out.csv").read_text()
    assert "NaN or infinite" in reasons
    assert "cut off" in reasons or "cannot be decoded" in reasons
    assert not [path for path in out.with_suffix(".segments").rglob("*.part")]


def test_more_channels_than_flac_holds(mine, out):
    soundfile.write(mine / "real" / "a.wav", np.zeros((16_000, 9)) + 0.1, 16_000)
    assert prepare("folder", mine, out, 1.0)["left_out"] == 1
    assert "8 channels at most" in out.with_name("out.left-out.csv").read_text()


def test_pieces_inside_the_corpus_would_be_taken_for_recordings(mine):
    soundfile.write(mine / "real" / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(InputError, match="lies in the corpus"):
        prepare("folder", mine, mine / "out.csv", 1.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01, float("nan"), float("inf")])
def test_lengths_that_are_none(mine, out, seconds):
    soundfile.write(mine / "real" / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(InputError, match="expected seconds"):
        prepare("folder", mine, out, seconds)


def test_memory_does_not_grow_with_the_recording(mine, out, monkeypatch):
    soundfile.write(mine / "real" / "a.flac", np.random.default_rng(0).normal(0, 0.1, 16_000 * 60), 16_000)
    longest = []
    split_at = corpus_segments.split_at

    def watched(blocks, size):
        return split_at((longest.append(len(block)) or block for block in blocks), size)

    monkeypatch.setattr(corpus_segments, "split_at", watched)
    prepare("folder", mine, out, 50.0)
    assert [row.duration_s for row in read_protocol(out)] == [50.0, 10.0]
    assert max(longest) <= 16_000  # a frame of the codec, not the recording
    assert json.loads(out.with_suffix(".json").read_text())["rows"] == 2
