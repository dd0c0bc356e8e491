import pytest

from earwitness.audio.corpora import aishell3, codecfake_wu, codecfake_xie
from earwitness.errors import InputError

LABELS = {  # lines as in the published label files
    "train": "SSB13650058.wav real 0\nF01_SSB13650058.wav fake 1\nF02_SSB13650058.wav fake 2\n",
    "dev": "p225_147.wav real 0\nF05_p225_147.wav fake 5\n",
    "C1": "p276_290.wav real 0\nF01_p276_290.wav fake 1\n",
    "C7": "p276_290.wav real 0\nF07_p276_290.wav fake 7\nF07_SSB13650058.wav fake 7\n",
    "A1": "p228_028.wav real L1\nL1_p261_412.wav fake L1\n",
    "A3": "YCsop4JzOMZ0.wav real L3\n14386.wav fake L3\n",  # sounds
}


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def grow_xie(root, absent=(), labels=LABELS):
    (root / "label").mkdir(parents=True)
    for part, text in labels.items():
        (root / "label" / f"{part}.txt").write_text(text)
        if part not in absent:
            where = root / "test" / part if part in ("C1", "A1", "A3") else root / part
            touch(*(where / line.split()[0] for line in text.splitlines()))
    return root


def grow_wu(root):
    names = (
        "encodec_24khz+p272_103",
        "descript-audio-codec-16khz+p225_273",
        "SpeechTokenizer+s5_400",
        "academicodec/academicodec_hifi_16k_320d_large_uni+p276_290",
        "genuine+p272_103",
    )
    touch(*(root / "processed" / f"{name}.wav" for name in names))
    return root


def grow_aishell3(root):
    train = "SSB13650058.wav\t广 guang3 州 zhou1 女 nv3\nSSB00050001.wav\t你 ni3 好 hao3\n"
    for part, text in (("train", train), ("test", "SSB06230001.wav\t再 zai4 见 jian4\n")):
        touch(root / part / "content.txt")
        (root / part / "content.txt").write_text(text, encoding="utf-8")
    return root


def test_codecfake_of_xie(tmp_path):
    items = {item.id: item for item in codecfake_xie.read(grow_xie(tmp_path))}
    facts = {key: (i.bona_fide, i.generator, i.family, i.split, i.language) for key, i in items.items()}
    assert facts == {
        "Codecf-train-SSB13650058": (True, "-", "-", "train", "ZH"),
        "Codecf-train-F01_SSB13650058": (False, "F01", "codec", "train", "ZH"),
        "Codecf-train-F02_SSB13650058": (False, "F02", "codec", "train", "ZH"),
        "Codecf-dev-p225_147": (True, "-", "-", "valid", "EN"),
        "Codecf-dev-F05_p225_147": (False, "F05", "codec", "valid", "EN"),
        "Codecf-C1-p276_290": (True, "-", "-", "test", "EN"),
        "Codecf-C1-F01_p276_290": (False, "F01", "codec", "test", "EN"),
        "Codecf-C7-p276_290": (True, "-", "-", "test", "EN"),
        "Codecf-C7-F07_p276_290": (False, "F07", "codec", "test", "EN"),
        "Codecf-C7-F07_SSB13650058": (False, "F07", "codec", "test", "ZH"),
        "Codecf-A1-p228_028": (True, "-", "-", "test", "EN"),
        "Codecf-A1-L1_p261_412": (False, "A1", "tts", "test", "EN"),
    }
    assert all(item.path.is_file() for item in items.values())
    item = items["Codecf-C7-F07_SSB13650058"]
    assert (item.speaker, item.source) == ("AISHELL3:SSB1365", "AISHELL3:SSB13650058")
    assert items["Codecf-dev-F05_p225_147"].source == items["Codecf-dev-p225_147"].source == "VCTK:p225_147"


def test_sets_that_were_not_downloaded_are_passed_over(tmp_path):
    items = list(codecfake_xie.read(grow_xie(tmp_path, absent=("train", "C1", "A1", "A3"))))
    assert {item.path.parent.name for item in items} == {"dev", "C7"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("F01_p1_1.wav spoof 1", "row 3: expected a line such as"),
        ("F01_p1_1.wav fake 8", "row 3: expected a line such as"),
        ("../p1_1.wav fake 1", "row 3: expected a line such as"),
        ("14386.wav fake 1", "row 3: expected a line such as"),
        ("F01_p1_1.wav fake", "line 3: expected 3 fields, found 2"),
    ],
)
def test_a_malformed_label_is_told(line, told, tmp_path):
    grow_xie(tmp_path, labels={"dev": LABELS["dev"] + line + "\n"})
    with pytest.raises(InputError, match=f"dev.txt, {told}"):
        list(codecfake_xie.read(tmp_path))


def test_codecfake_of_wu(tmp_path):
    items = {item.id: item for item in codecfake_wu.read(grow_wu(tmp_path))}
    assert {key: (item.generator, item.speaker, item.source) for key, item in items.items()} == {
        "CodecF-encodec_24khz+p272_103": ("encodec_24khz", "VCTK:p272", "VCTK:p272_103"),
        "CodecF-descript-audio-codec-16khz+p225_273": (
            "descript-audio-codec-16khz",
            "VCTK:p225",
            "VCTK:p225_273",
        ),
        "CodecF-SpeechTokenizer+s5_400": ("SpeechTokenizer", "VCTK:s5", "VCTK:s5_400"),
        "CodecF-academicodec_hifi_16k_320d_large_uni+p276_290": (
            "academicodec_hifi_16k_320d_large_uni",
            "VCTK:p276",
            "VCTK:p276_290",
        ),
        "CodecF-genuine+p272_103": ("-", "VCTK:p272", "VCTK:p272_103"),
    }
    genuine = items.pop("CodecF-genuine+p272_103")
    assert (genuine.bona_fide, genuine.family) == (True, "-")
    assert {(i.bona_fide, i.family, i.split) for i in items.values()} == {(False, "codec", "-")}


def test_a_name_without_codec_is_told(tmp_path):
    touch(grow_wu(tmp_path) / "processed" / "valle_1.wav")
    with pytest.raises(InputError, match=r"valle_1.wav: expected a name such as encodec_24khz\+p272_103.wav"):
        list(codecfake_wu.read(tmp_path))


def test_aishell3(tmp_path):
    first, second, third = aishell3.read(grow_aishell3(tmp_path))
    assert (first.id, first.split, first.bona_fide) == ("AIShell3-SSB1365-SSB13650058", "train", True)
    assert first.path == tmp_path / "train/wav/SSB1365/SSB13650058.wav"
    assert (first.speaker, first.source) == ("AISHELL3:SSB1365", "AISHELL3:SSB13650058")
    assert (first.text, first.language) == ("广州女", "ZH")
    assert (second.split, third.split) == ("train", "test")


@pytest.mark.parametrize(
    ("line", "told"),
    [("SSB1.wav\t你 ni3\n", "row 2: expected a file"), ("SSB00050001.wav 你\n", "line 2: expected 2 fields")],
)
def test_a_malformed_list_of_aishell3_is_told(line, told, tmp_path):
    table = grow_aishell3(tmp_path) / "test" / "content.txt"
    table.write_text(table.read_text(encoding="utf-8") + line, encoding="utf-8")
    with pytest.raises(InputError, match=f"content.txt, {told}"):
        list(aishell3.read(tmp_path))


def test_copies_have_speaker_and_source_of_their_original(tmp_path):
    originals = {item.source: item.speaker for item in aishell3.read(grow_aishell3(tmp_path / "aishell3"))}
    xie = list(codecfake_xie.read(grow_xie(tmp_path / "xie")))
    chinese = [item for item in xie if item.language == "ZH"]
    assert len(chinese) == 4
    assert all(originals[item.source] == item.speaker for item in chinese)
    wu = {item.source: item.speaker for item in codecfake_wu.read(grow_wu(tmp_path / "wu"))}
    shared = [item for item in xie if item.source in wu]
    assert {item.source for item in shared} == {"VCTK:p276_290"}
    assert all(wu[item.source] == item.speaker for item in shared)


@pytest.mark.parametrize(
    ("reader", "told"), [(codecfake_wu, "processed"), (codecfake_xie, "label"), (aishell3, "train or test")]
)
def test_another_folder_is_told(reader, told, tmp_path):
    with pytest.raises(InputError, match=f"expected .*{told}.* check the folder") as caught:
        list(reader.read(tmp_path))
    assert caught.value.code == "bad-corpus"


def test_labels_without_recordings_are_told(tmp_path):
    grow_xie(tmp_path, absent=LABELS)
    with pytest.raises(InputError, match="expected train, dev, C7 or the like"):
        list(codecfake_xie.read(tmp_path))
