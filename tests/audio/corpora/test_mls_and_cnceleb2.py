import pytest

from earwitness.audio.corpora import cnceleb2, mls
from earwitness.errors import InputError


def grow_mls(root, name="mls_italian", part="train", text="1595_5616_000327\tnel mezzo del cammin\n"):
    folder = root / name / part
    folder.mkdir(parents=True)
    (folder / "transcripts.txt").write_text(text, encoding="utf-8")
    return root


def test_mls(tmp_path):
    grow_mls(tmp_path)
    grow_mls(tmp_path, part="dev", text="4974_4338_000000\tcosì\n")
    grow_mls(tmp_path, "mls_polish", "test", "6892_9912_000007\tpan tadeusz\n")
    grow_mls(tmp_path, "mls_lm_italian", "train")  # language models
    items = {item.id: item for item in mls.read(tmp_path)}
    assert {key: (item.language, item.split) for key, item in items.items()} == {
        "MLS-IT-1595_5616_000327": ("IT", "train"),
        "MLS-IT-4974_4338_000000": ("IT", "valid"),
        "MLS-PL-6892_9912_000007": ("PL", "test"),
    }
    item = items["MLS-IT-1595_5616_000327"]
    assert item.path == tmp_path / "mls_italian/train/audio/1595/5616/1595_5616_000327.flac"
    assert (item.bona_fide, item.speaker, item.source) == (True, "MLS:1595", "MLS:1595_5616_000327")
    assert item.text == "nel mezzo del cammin"


def test_the_edition_in_opus_is_read_where_the_other_is_absent(tmp_path):
    grow_mls(tmp_path, "mls_dutch_opus")
    grow_mls(tmp_path, "mls_italian_opus")
    grow_mls(tmp_path, "mls_italian")
    dutch, italian = (
        item.path.relative_to(tmp_path) for item in sorted(mls.read(tmp_path), key=lambda i: i.path)
    )
    assert (dutch.parts[0], dutch.suffix) == ("mls_dutch_opus", ".opus")
    assert (italian.parts[0], italian.suffix) == ("mls_italian", ".flac")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("../../x_1_2\ttext\n", "row 2: expected an utterance"),
        ("1595_5616_000328 text\n", "line 2: expected 2"),
    ],
)
def test_a_malformed_transcript_is_told(line, told, tmp_path):
    grow_mls(tmp_path, text="1595_5616_000327\tnel\n" + line)
    with pytest.raises(InputError, match=f"transcripts.txt, {told}"):
        list(mls.read(tmp_path))


def test_cnceleb2(tmp_path):
    data = tmp_path / "CN-Celeb2_flac" / "data"
    for name in ("id10936/recitation-02-028.flac", "id10936/singing-01-002.flac", "id10802/vlog-01-001.flac"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    (data / "id10936" / "README.txt").touch()
    items = list(cnceleb2.read(tmp_path))
    assert [item.id for item in items] == [
        "CNCeleb2-id10802-vlog-01-001",
        "CNCeleb2-id10936-recitation-02-028",
        "CNCeleb2-id10936-singing-01-002",
    ]
    assert items[1].path == data / "id10936" / "recitation-02-028.flac"
    assert items[1].source == "CNCeleb2:id10936/recitation-02-028"
    assert {(i.bona_fide, i.split, i.language) for i in items} == {(True, "-", "ZH")}
    assert [item.speaker for item in items] == ["CNCeleb2:id10802", "CNCeleb2:id10936", "CNCeleb2:id10936"]


@pytest.mark.parametrize(("reader", "told"), [(mls, "mls_dutch"), (cnceleb2, "CN-Celeb2_flac/data")])
def test_another_folder_is_told(reader, told, tmp_path):
    with pytest.raises(InputError, match=f"expected .*{told}.* check the folder") as caught:
        list(reader.read(tmp_path))
    assert caught.value.code == "bad-corpus"
