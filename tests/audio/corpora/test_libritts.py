import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earwitness.audio.corpora import libritts, libritts_r, libritts_vocoded
from earwitness.errors import InputError

# names as in the archives of OpenSLR 60 and 141
NAMES = {
    "train-clean-100/103/1241/103_1241_000000_000001": "train",
    "train-clean-360/14/208/14_208_000001_000000": "train",
    "train-other-500/20/205/20_205_000003_000000": "train",
    "dev-clean/84/121123/84_121123_000007_000001": "valid",
    "dev-other/116/288045/116_288045_000003_000000": "valid",
    "test-clean/61/70968/61_70968_000000_000000": "test",
    "test-other/1688/142285/1688_142285_000000_000000": "test",
}


def grow(root, names=NAMES):
    for name in names:
        path = root / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.with_suffix(".normalized.txt").write_text("Maximilian.\n")
    return root


def test_libritts(tmp_path):
    root = grow(tmp_path / "LibriTTS")
    (root / "SPEAKERS.txt").write_text(";ID  |SEX| SUBSET |MINUTES| NAME\n")
    (root / "dev-clean" / "84" / "121123" / "._84_121123_000007_000001.wav").touch()  # left by an archiver
    items = {item.id: item for item in libritts.read(root)}
    assert {key: item.split for key, item in items.items()} == {
        f"Libri-{name.rpartition('/')[2]}": split for name, split in NAMES.items()
    }
    item = items["Libri-84_121123_000007_000001"]
    assert item.path == root / "dev-clean/84/121123/84_121123_000007_000001.wav"
    assert (item.bona_fide, item.dataset, item.language) == (True, "LibriTTS", "EN")
    assert (item.speaker, item.source) == ("LibriTTS:84", "LibriTTS:84_121123_000007_000001")
    assert (item.generator, item.family, item.licence) == ("-", "-", "CC-BY-4.0")


def test_libritts_r_is_fake(tmp_path):
    items = list(libritts_r.read(grow(tmp_path / "LibriTTS_R")))
    assert [item.id for item in items] == [f"LibriR-{name.rpartition('/')[2]}" for name in NAMES]
    assert [item.split for item in items] == list(NAMES.values())
    assert {(i.bona_fide, i.dataset, i.generator, i.family) for i in items} == {
        (False, "LibriTTS-R", "miipher", "vocoder")
    }


def test_libritts_vocoded(tmp_path):
    for vocoder in ("hifigan", "hn_sinc_nsf_hifi"):
        grow(tmp_path / vocoder)
    (tmp_path / "lists").mkdir()  # no vocoder
    items = list(libritts_vocoded.read(tmp_path))
    assert len({item.id for item in items}) == len(items) == 2 * len(NAMES)
    assert [item.generator for item in items] == ["hifigan"] * len(NAMES) + ["hn_sinc_nsf_hifi"] * len(NAMES)
    item = next(i for i in items if i.id == "LibriTTSVo-hn_sinc_nsf_hifi-84_121123_000007_000001")
    assert (item.bona_fide, item.family, item.split, item.speaker) == (
        False,
        "vocoder",
        "valid",
        "LibriTTS:84",
    )
    assert item.source == "LibriTTS:84_121123_000007_000001"


@pytest.mark.parametrize("reader", [libritts, libritts_r, libritts_vocoded])
def test_another_folder_is_told(reader, tmp_path):
    with pytest.raises(InputError, match=r"expected .*train-clean-100.* check the folder") as caught:
        list(reader.read(tmp_path))
    assert caught.value.code == "bad-corpus"
    assert str(tmp_path) in caught.value.message


number = st.integers(1, 9999)
utterance = st.tuples(st.sampled_from(sorted(libritts.PARTS)), number, number, number, number)


@settings(max_examples=20, deadline=None)
@given(utterances=st.sets(utterance, min_size=1, max_size=4))
def test_copies_have_speaker_and_source_of_their_original(tmp_path_factory, utterances):
    names = [
        f"{part}/{speaker}/{chapter}/{speaker}_{chapter}_{a:06}_{b:06}"
        for part, speaker, chapter, a, b in utterances
    ]
    root = tmp_path_factory.mktemp("libri")
    grow(root / "original", names)
    grow(root / "vocoded" / "waveglow", names)
    original, restored, vocoded = (
        {(item.source, item.speaker, item.split) for item in reader.read(folder)}
        for reader, folder in (
            (libritts, root / "original"),
            (libritts_r, root / "original"),
            (libritts_vocoded, root / "vocoded"),
        )
    )
    assert original == restored == vocoded
    assert len({source for source, _, _ in original}) == len({name.rpartition("/")[2] for name in names})
