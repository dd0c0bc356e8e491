"""DEEP-VOICE, Fake-or-Real, Deepfake-Eval-2024 and AI4T."""

import pytest

from earwitness.audio.corpora import ai4t, deep_voice, deepfake_eval_2024, fake_or_real
from earwitness.errors import InputError

TABLE = (  # the three columns that are read, and one that is not
    "Filename,Finetuning Set,Ground Truth,Link\n"
    "a1.mp3,Train,Real,https://x.example/1\n"
    "b 2.m4a,Test,Fake,\n"
    "c3.mp4,test,fake,\n"
    "d4.wav,Test,Unknown,\n"
    "e5.wav,,Real,\n"
)
NORM = ".wav_16k.wav_norm.wav_mono.wav_silence.wav"


def grow(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_deep_voice(tmp_path):
    grow(
        tmp_path,
        "KAGGLE/AUDIO/REAL/biden-original.wav",
        "KAGGLE/AUDIO/FAKE/biden-to-linus.wav",
        "KAGGLE/AUDIO/FAKE/Obama-to-Biden.wav",
        "DEMONSTRATION/DEMONSTRATION/linus-to-musk-DEMO.mp3",
    )
    items = {item.id: item for item in deep_voice.read(tmp_path)}
    facts = {key: (i.bona_fide, i.generator, i.family, i.speaker, i.source) for key, i in items.items()}
    assert facts == {
        "DeepVoice-biden-original": (True, "-", "-", "DEEP-VOICE:biden", "DEEP-VOICE:biden-original"),
        "DeepVoice-biden-to-linus": (False, "RVC", "vc", "DEEP-VOICE:linus", "DEEP-VOICE:biden-original"),
        "DeepVoice-Obama-to-Biden": (False, "RVC", "vc", "DEEP-VOICE:biden", "DEEP-VOICE:obama-original"),
    }


def test_segments_of_deep_voice_go_first_and_keep_their_source(tmp_path):
    grow(
        tmp_path,
        "AUDIO/REAL/musk-original.wav",
        "AUDIO/FAKE/musk-to-ryan.wav",
        "AUDIO_SEGMENTS/REAL/musk-original_seg_99.wav",
        "AUDIO_SEGMENTS/FAKE/musk-to-ryan_seg_1.wav",
    )
    items = list(deep_voice.read(tmp_path))
    assert [item.id for item in items] == ["DeepVoice-musk-original_seg_99", "DeepVoice-musk-to-ryan_seg_1"]
    assert {item.source for item in items} == {"DEEP-VOICE:musk-original"}


@pytest.mark.parametrize(
    "name", ["REAL/biden-to-linus.wav", "FAKE/biden-original.wav", "FAKE/linus-DEMO.wav"]
)
def test_a_name_at_odds_with_its_folder_is_told(name, tmp_path):
    grow(tmp_path, "AUDIO/REAL/biden-original.wav", "AUDIO/FAKE/biden-to-linus.wav", f"AUDIO/{name}")
    with pytest.raises(InputError, match=f"AUDIO/{name}: expected a name such as biden-"):
        list(deep_voice.read(tmp_path))


def test_fake_or_real(tmp_path):
    grow(
        tmp_path,
        "for-original/for-original/training/fake/file1000.mp3",
        "for-original/for-original/training/real/file1000.wav",
        "for-original/for-original/validation/real/file5.wav",
        "for-original/for-original/testing/fake/file19.wav",
        f"for-norm/for-norm/training/fake/file1000.mp3{NORM}",
        f"for-2sec/for-2seconds/testing/fake/file19{NORM}_2sec.wav",
        "for-rerec/for-rerecorded/testing/fake/recording7.wav",
        "backup/training/fake/file1.wav",
    )
    items = {item.id: item for item in fake_or_real.read(tmp_path)}
    facts = {key: (item.bona_fide, item.split, item.codec, item.source) for key, item in items.items()}
    assert facts == {
        "FoR-training-fake-file1000.mp3": (False, "train", "-", "FoR:training/fake/file1000.mp3"),
        "FoR-training-real-file1000.wav": (True, "train", "-", "FoR:training/real/file1000.wav"),
        "FoR-validation-real-file5.wav": (True, "valid", "-", "FoR:validation/real/file5.wav"),
        "FoR-testing-fake-file19.wav": (False, "test", "-", "FoR:testing/fake/file19.wav"),
        f"FoRnorm-training-fake-file1000.mp3{NORM}": (
            False,
            "train",
            "norm",
            "FoR:training/fake/file1000.mp3",
        ),
        f"FoR2seconds-testing-fake-file19{NORM}_2sec.wav": (
            False,
            "test",
            "2seconds",
            "FoR:testing/fake/file19.wav",
        ),
        "FoRrerecorded-testing-fake-recording7.wav": (False, "test", "rerecorded", "-"),
    }
    assert {item.dataset for item in items.values()} == {"FakeOrReal"}
    assert {item.family for item in items.values() if not item.bona_fide} == {"tts"}


@pytest.mark.parametrize("inside", ["", "for-norm"])
def test_one_edition_may_be_the_root_or_stand_in_it(inside, tmp_path):
    root = grow(tmp_path / "FoR", f"for-norm/testing/real/file1{NORM}")
    (item,) = fake_or_real.read(root / inside)
    assert item.id == f"FoRnorm-testing-real-file1{NORM}"


def test_deepfake_eval_2024(tmp_path):
    (tmp_path / "audio-metadata-publish.csv").write_text(TABLE, encoding="utf-8-sig")
    items = list(deepfake_eval_2024.read(tmp_path))
    assert [(i.id, i.bona_fide, i.split) for i in items] == [
        ("DFEval2024-a1.mp3", True, "train"),
        ("DFEval2024-b 2.m4a", False, "test"),
        ("DFEval2024-c3.mp4", False, "test"),
    ]
    assert items[1].path == tmp_path / "audio-data" / "b 2.m4a"
    assert len({item.source for item in items}) == 3


@pytest.mark.parametrize("name", ["../a.wav", "..", "x/a.wav", ""])
def test_a_file_outside_of_the_audio_is_told(name, tmp_path):
    (tmp_path / "metadata.csv").write_text(TABLE + f"{name},Test,Real,\n")
    with pytest.raises(InputError, match=r"metadata.csv, row 7: expected the name of a file in audio-data"):
        list(deepfake_eval_2024.read(tmp_path))


def test_a_table_without_ground_truth_is_told(tmp_path):
    (tmp_path / "metadata.csv").write_text("Filename,Finetuning Set\na.wav,Test\n")
    with pytest.raises(InputError, match="the header lacks Ground Truth"):
        list(deepfake_eval_2024.read(tmp_path))


def test_ai4t(tmp_path):
    grow(
        tmp_path,
        "real/0GMM-JHjWrQ/0GMM-JHjWrQ_000.wav",
        "real/0GMM-JHjWrQ/0GMM-JHjWrQ_001.wav",
        "fake/-FipekPrxrk/-FipekPrxrk_000.wav",
        "fake/X_Kev0o9qAY.m4a",  # not cut
        "fake_audios_links.txt",
    )
    items = list(ai4t.read(tmp_path))
    assert [(i.id, i.bona_fide, i.source) for i in items] == [
        ("AI4T-real-0GMM-JHjWrQ_000", True, "AI4T:0GMM-JHjWrQ"),
        ("AI4T-real-0GMM-JHjWrQ_001", True, "AI4T:0GMM-JHjWrQ"),
        ("AI4T-fake--FipekPrxrk_000", False, "AI4T:-FipekPrxrk"),
        ("AI4T-fake-X_Kev0o9qAY", False, "AI4T:X_Kev0o9qAY"),
    ]
    assert {(i.split, i.language, i.dataset) for i in items} == {("-", "-", "AI4T")}


def test_ai4t_needs_both_classes(tmp_path):
    grow(tmp_path, "real/a/a_000.wav")
    with pytest.raises(InputError, match="expected fake in it"):
        list(ai4t.read(tmp_path))


@pytest.mark.parametrize(
    ("reader", "told"),
    [
        (deep_voice, "AUDIO_SEGMENTS"),
        (fake_or_real, "for-original/training"),
        (deepfake_eval_2024, "audio-metadata-publish.csv"),
        (ai4t, "real"),
    ],
)
def test_another_folder_is_told(reader, told, tmp_path):
    with pytest.raises(InputError, match=f"expected .*{told}.* check the folder") as caught:
        list(reader.read(tmp_path))
    assert caught.value.code == "bad-corpus"
