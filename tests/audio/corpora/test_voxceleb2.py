import pytest

from earwitness.audio.corpora import voxceleb2, voxceleb2_vocoded
from earwitness.errors import InputError


def grow(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_voxceleb2(tmp_path):
    grow(
        tmp_path,
        "dev/aac/id00082/lXxPuqI6Yac/00146.m4a",
        "dev/aac/id00082/lXxPuqI6Yac/00147.m4a",
        "dev/aac/id00082/lXxPuqI6Yac/00147.wav",  # decoded beside the original: one utterance
        "dev/aac/id05541/-0CI7YNicBF/00001.wav",
        "test/aac/id00017/01dfn2spqyE/00001.m4a",
        "dev/mp4/id00082/lXxPuqI6Yac/00146.mp4",  # the pictures
        "vox2_meta.csv",
    )
    items = {item.id: item for item in voxceleb2.read(tmp_path)}
    assert {key: (item.split, item.path.name) for key, item in items.items()} == {
        "VoxCeleb2-id00082-lXxPuqI6Yac-00146": ("train", "00146.m4a"),
        "VoxCeleb2-id00082-lXxPuqI6Yac-00147": ("train", "00147.wav"),
        "VoxCeleb2-id05541--0CI7YNicBF-00001": ("train", "00001.wav"),
        "VoxCeleb2-id00017-01dfn2spqyE-00001": ("test", "00001.m4a"),
    }
    item = items["VoxCeleb2-id00082-lXxPuqI6Yac-00146"]
    assert (item.bona_fide, item.language, item.dataset) == (True, "-", "VoxCeleb2")
    assert (item.speaker, item.source) == ("VoxCeleb2:id00082", "VoxCeleb2:id00082/lXxPuqI6Yac/00146")


def test_voxceleb2_vocoded(tmp_path):
    grow(
        tmp_path,
        "hifigan/dev/aac/id04972/f9crVjbT1Eg/00255.wav",
        "hn_sinc_nsf/dev/aac/id04972/f9crVjbT1Eg/00255.wav",
        "hn_sinc_nsf/test/aac/id00017/01dfn2spqyE/00001.wav",
        "log/hifigan.txt",
    )
    items = list(voxceleb2_vocoded.read(tmp_path))
    assert [(i.id, i.generator, i.split) for i in items] == [
        ("VoxCeleb2Vo-hifigan-id04972-f9crVjbT1Eg-00255", "hifigan", "train"),
        ("VoxCeleb2Vo-hn_sinc_nsf-id04972-f9crVjbT1Eg-00255", "hn_sinc_nsf", "train"),
        ("VoxCeleb2Vo-hn_sinc_nsf-id00017-01dfn2spqyE-00001", "hn_sinc_nsf", "test"),
    ]
    assert {(i.bona_fide, i.family, i.dataset) for i in items} == {(False, "vocoder", "VoxCeleb2-Vocoded")}


def test_copies_have_speaker_and_source_of_their_original(tmp_path):
    grow(tmp_path / "original", "dev/aac/id04972/f9crVjbT1Eg/00255.m4a")
    grow(tmp_path / "vocoded", "hifigan/dev/aac/id04972/f9crVjbT1Eg/00255.wav")
    (original,) = voxceleb2.read(tmp_path / "original")
    (vocoded,) = voxceleb2_vocoded.read(tmp_path / "vocoded")
    assert (original.source, original.speaker) == (vocoded.source, vocoded.speaker)


@pytest.mark.parametrize("reader", [voxceleb2, voxceleb2_vocoded])
def test_another_folder_is_told(reader, tmp_path):
    with pytest.raises(InputError, match=r"expected .*dev/aac.* check the folder") as caught:
        list(reader.read(tmp_path))
    assert caught.value.code == "bad-corpus"
