import pytest

from earwitness.audio.corpora import fleurs, fleurs_r
from earwitness.errors import InputError

FILES = {
    "af_za/audio/train/10587240206760547719.wav": ("AF", "train"),
    "af_za/audio/dev/11396016054233400000.wav": ("AF", "valid"),
    "cmn_hans_cn/audio/test/1003119935936341070.wav": ("ZH", "test"),
    "ceb_ph/audio/test/10008484582190612270.wav": ("CEB", "test"),  # no ISO 639-1 code
    "yue_hant_hk/audio/train/9994.wav": ("YUE", "train"),
}
# columns of FLEURS: sentence, file, raw text, text, characters, samples, gender; no header
TRAIN = (
    "1189\t10587240206760547719.wav\tDit is nog nie bekend nie.\tdit is nog nie bekend nie\t"
    "d i t | i s | n o g | n i e |\t172800\tFEMALE\n"
)


def grow(data):
    for name in FILES:
        (data / name).parent.mkdir(parents=True)
        (data / name).touch()
    (data / "af_za" / "train.tsv").write_text(TRAIN, encoding="utf-8")
    return data.parents[1]


@pytest.mark.parametrize(
    ("reader", "folder", "prefix", "fact"),
    [
        (fleurs, "fleurs", "FLEURS", (True, "FLEURS", "-", "-")),
        (fleurs_r, "fleurs-r", "FLEURSR", (False, "FLEURS-R", "miipher", "vocoder")),
    ],
)
def test_each_recording(reader, folder, prefix, fact, tmp_path):
    root = grow(tmp_path / folder / "data")
    items = {item.path.relative_to(root / folder / "data").as_posix(): item for item in reader.read(root)}
    assert {name: (item.language, item.split) for name, item in items.items()} == FILES
    assert {(i.bona_fide, i.dataset, i.generator, i.family) for i in items.values()} == {fact}
    item = items["cmn_hans_cn/audio/test/1003119935936341070.wav"]
    assert item.id == f"{prefix}-ZH-1003119935936341070"
    assert item.source == "FLEURS:cmn_hans_cn/1003119935936341070"
    assert item.speaker == "-"


def test_texts_where_there_is_a_table(tmp_path):
    texts = {
        item.language: item.text
        for item in fleurs.read(grow(tmp_path / "fleurs" / "data"))
        if item.split == "train"
    }
    assert texts == {"AF": "dit is nog nie bekend nie", "YUE": "-"}


def test_the_folder_of_data_may_stand_in_the_root(tmp_path):
    grow(tmp_path / "fleurs" / "data")
    assert len(list(fleurs.read(tmp_path / "fleurs"))) == len(FILES)
    assert len(list(fleurs_r.read(tmp_path / "fleurs"))) == len(FILES)


def test_a_malformed_table_is_told(tmp_path):
    root = grow(tmp_path / "fleurs" / "data")
    table = tmp_path / "fleurs" / "data" / "af_za" / "train.tsv"
    table.write_text(TRAIN + "1189\t1.wav\tDit\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"train.tsv, line 2: expected 7 fields, found 3"):
        list(fleurs.read(root))


def test_restored_recordings_have_the_source_of_their_original(tmp_path):
    grow(tmp_path / "fleurs" / "data")
    root = grow(tmp_path / "fleurs-r" / "data")
    originals = {item.source for item in fleurs.read(root)}
    restored = {item.source for item in fleurs_r.read(root)}
    assert originals == restored
    assert len(originals) == len(FILES)


@pytest.mark.parametrize("reader", [fleurs, fleurs_r])
def test_another_folder_is_told(reader, tmp_path):
    with pytest.raises(InputError, match=r"expected .*data.* check the folder") as caught:
        list(reader.read(tmp_path))
    assert caught.value.code == "bad-corpus"
