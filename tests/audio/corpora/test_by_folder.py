"""Corpora whose labels are their folders."""

import pytest
from corpus_tree import plant, read_all, refusal

from earwitness.audio.corpora import cfad, cvoicefake, dfadd, diffssd, diffuse_or_confuse, habla, voicemos


def test_dfadd(tmp_path):
    names = (
        "DATASET_PflowTTS/test/p345_251_pflow.wav",
        "DATASET_GradTTS/train/p225_001.flac",
        "DATASET_VCTK_BONAFIDE/valid/p345_251.wav",
        "DATASET_VCTK_BONAFIDE/train/s5_002.wav",
    )
    rows = read_all(dfadd, plant(tmp_path, {"DATASET_GradTTS/train.txt": "x"}, *names))
    assert {(r.id, r.bona_fide, r.split, r.generator, r.family, r.source) for r in rows.values()} == {
        ("DFADD-DATASET_PflowTTS-p345_251_pflow", False, "test", "PflowTTS", "tts", "VCTK:p345_251"),
        ("DFADD-DATASET_GradTTS-p225_001", False, "train", "GradTTS", "tts", "VCTK:p225_001"),
        ("DFADD-DATASET_VCTK_BONAFIDE-p345_251", True, "valid", "-", "-", "VCTK:p345_251"),
        ("DFADD-DATASET_VCTK_BONAFIDE-s5_002", True, "train", "-", "-", "VCTK:s5_002"),
    }
    assert rows["DFADD-DATASET_PflowTTS-p345_251_pflow"].speaker == "VCTK:p345"
    assert "DATASET_VCTK_BONAFIDE" in refusal(dfadd, tmp_path / "DATASET_GradTTS")


def test_diffuse_or_confuse(tmp_path):
    names = (
        "dataset_01/DiffGAN-TTS_aux/LJ044-0144.wav",
        "dataset_02/tacotron2-DCA_wavegrad/LJ044-0144.wav",
        "wavegrad/LJ001-0001.wav",
        "wavegrad/odd.wav",
    )
    rows = read_all(diffuse_or_confuse, plant(tmp_path, {"README.md": ""}, *names))
    assert {(r.id, r.generator, r.architecture, r.family, r.source) for r in rows.values()} == {
        (
            "DiffFake-DiffGAN-TTS_aux-LJ044-0144",
            "DiffGAN-TTS_aux",
            "DiffGAN-TTS",
            "tts",
            "LJSpeech:LJ044-0144",
        ),
        (
            "DiffFake-tacotron2-DCA_wavegrad-LJ044-0144",
            "tacotron2-DCA_wavegrad",
            "tacotron2-DCA",
            "tts",
            "LJSpeech:LJ044-0144",
        ),
        ("DiffFake-wavegrad-LJ001-0001", "wavegrad", "wavegrad", "vocoder", "LJSpeech:LJ001-0001"),
        ("DiffFake-wavegrad-odd", "wavegrad", "wavegrad", "vocoder", "-"),
    }
    assert {r.speaker for r in rows.values()} == {"LJSpeech"}
    assert not any(r.bona_fide for r in rows.values())


def test_diffuse_or_confuse_refuses(tmp_path):
    assert "a folder per model" in refusal(diffuse_or_confuse, tmp_path)


@pytest.mark.parametrize("inner", [".", "CFAD"])
def test_cfad(tmp_path, inner):
    names = (
        "clean_version/train_clean/fake_clean/lpcnet/SSB09660003_lpcnet.wav",
        "clean_version/dev_clean/real_clean/aishell1/BAC009S0764W0123.wav",
        "clean_version/test_unseen_clean/fake_clean/partiallyfake/xyz_001.wav",
        "codec_version/test_seen_codec/fake_codec/lpcnet/SSB09660003_lpcnet_m4a.wav",
        "noisy_version/test_unseen_noise/real_noise/magicconversa/14_3466_20170826171159_babble_snr10.wav",
        "noisy_version/train_noise/real_noise/thchs30/A2_33_car_snr-5.wav",
        "clean_version/notes/real_clean/x/y.wav",
    )
    rows = read_all(cfad, plant(tmp_path / inner, {}, *names))
    found = {
        r.id: (r.bona_fide, r.split, r.generator, r.family, r.speaker, r.source, r.codec)
        for r in rows.values()
    }
    shengbei = ("AISHELL3:SSB0966", "AISHELL3:SSB09660003")
    assert found == {
        "CFAD-clean_version-train-fake-SSB09660003_lpcnet": (
            *(False, "train", "lpcnet", "vocoder"),
            *(*shengbei, "-"),
        ),
        "CFAD-clean_version-dev-real-BAC009S0764W0123": (
            *(True, "valid", "-", "-"),
            *("AISHELL1:0764", "AISHELL1:BAC009S0764W0123", "-"),
        ),
        "CFAD-clean_version-test_unseen-fake-xyz_001": (
            *(False, "test", "partiallyfake", "edit"),
            *("-", "xyz_001", "-"),
        ),
        "CFAD-codec_version-test_seen-fake-SSB09660003_lpcnet_m4a": (
            *(False, "test", "lpcnet", "vocoder"),
            *(*shengbei, "m4a"),
        ),
        "CFAD-noisy_version-test_unseen-real-14_3466_20170826171159_babble_snr10": (
            *(True, "test", "-", "-"),
            *("MagicData:14_3466", "MagicData:14_3466_20170826171159", "babble_snr10"),
        ),
        "CFAD-noisy_version-train-real-A2_33_car_snr-5": (
            *(True, "train", "-", "-"),
            *("THCHS30:A2", "THCHS30:A2_33", "car_snr-5"),
        ),
    }


def test_cfad_refuses(tmp_path):
    assert "clean_version" in refusal(cfad, tmp_path)


DIFFSSD = (
    "generated_speech/grad_tts/sentence_7.wav",
    "generated_speech/playht/speaker_1272/sentence_7_british.mp3",
    "generated_speech/your_tts/speaker_1272/sentence_8.wav",
)
DIFFSSD_REAL = (
    "real_speech/librispeech/dev-clean/1272/128104/1272-128104-0000.flac",
    "real_speech/ljspeech/LJ001-0001.wav",
)
DIFFSSD_TABLE = (
    "Splits of DiffSSD\n\nsee the paper,,\nfilename,method_name,category,source,set,target\n"
    "generated_speech/grad_tts/sentence_7.wav,grad_tts,open,ljspeech,train,1\n"
    "generated_speech/playht/speaker_1272/sentence_7_british.mp3,playht,commercial,librispeech,test,1\n"
    f"{DIFFSSD_REAL[0]},real,real,librispeech,val,0\n"
    f"{DIFFSSD_REAL[1]},real,real,ljspeech,train,0\n"
)


def test_diffssd_without_the_table(tmp_path):
    rows = read_all(diffssd, plant(tmp_path, {}, *DIFFSSD))
    assert [(r.id, r.split, r.generator, r.speaker, r.text) for r in rows.values()] == [
        ("DiffSSD-grad_tts---EN-sentence_7", "-", "grad_tts", "LJSpeech", "sentence_7"),
        ("DiffSSD-playht-speaker_1272-EN-sentence_7_british", "-", "playht", "LibriTTS:1272", "sentence_7"),
        ("DiffSSD-your_tts-speaker_1272-EN-sentence_8", "-", "your_tts", "LibriTTS:1272", "sentence_8"),
    ]
    assert not any(r.bona_fide for r in rows.values())
    assert len(read_all(diffssd, plant(tmp_path, {}, *DIFFSSD_REAL))) == 5


def test_diffssd_with_the_table(tmp_path):
    plant(tmp_path, {"train_val_test_splits.csv": DIFFSSD_TABLE}, *DIFFSSD)
    rows = read_all(diffssd, tmp_path)
    assert [(r.id, r.split) for r in rows.values()] == [
        ("DiffSSD-grad_tts---EN-sentence_7", "train"),
        ("DiffSSD-playht-speaker_1272-EN-sentence_7_british", "test"),
    ]
    *_, libri, lj = read_all(diffssd, plant(tmp_path, {}, *DIFFSSD_REAL)).values()
    assert (libri.bona_fide, libri.split, libri.speaker) == (True, "valid", "LibriTTS:1272")
    assert (libri.source, lj.source) == ("LibriSpeech:1272-128104-0000", "LJSpeech:LJ001-0001")
    assert (lj.bona_fide, lj.split, lj.speaker) == (True, "train", "LJSpeech")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("generated_speech/x/a.wav,x,open,lj,train,2\n", "row 9 is labelled '2', expected 0 or 1"),
        ("generated_speech/x/a.wav,x,open,lj,train\n", "row 9: expected 6 fields, found 5"),
        ("generated_speech/x/a.wav,x,open,lj,later,1\n", "row 9 is in the part 'later'"),
        ("../x/a.wav,x,open,lj,train,1\n", "does not lead into"),
        ("elsewhere/x/a.wav,x,open,lj,train,1\n", "expected it in generated_speech/SYSTEM/"),
    ],
)
def test_diffssd_refuses_a_row(tmp_path, row, said):
    plant(tmp_path, {"train_val_test_splits.csv": DIFFSSD_TABLE + row}, DIFFSSD[0])
    assert said in refusal(diffssd, tmp_path)


def test_diffssd_refuses(tmp_path):
    assert "generated_speech" in refusal(diffssd, tmp_path)
    (tmp_path / "generated_speech").mkdir()
    assert "found none" in refusal(diffssd, tmp_path)
    plant(tmp_path, {"train_val_test_splits.csv": "filename,target\n"}, DIFFSSD[0])
    assert "lacks the header filename,method_name" in refusal(diffssd, tmp_path)
    (tmp_path / "train_val_test_splits.csv").unlink()
    plant(tmp_path, {}, "generated_speech/stray.wav")
    assert "stray.wav: expected it in generated_speech/SYSTEM/" in refusal(diffssd, tmp_path)


@pytest.mark.parametrize("inner", [".", "FinalDataset_16khz"])
def test_habla(tmp_path, inner):
    names = (
        "Real/Chile/clf_07508/clf_07508_00799857148.wav",
        "CycleGAN/Venezuela-Argentina/vem_02484-arm_01523/"
        "CycleGAN-vem_02484_00993837010-arm_01523_020267.wav",
        "TTS/Peru/TTS-pem_01234_12.wav",
        "TTS-VC/TTS-StarGAN/Peru-Chile/TTS-StarGAN-pem_01234_00000000001_TTS-clf_07508_3.wav",
        "TTS-Diff/Peru-Chile/TTS-Diff-pem_01234_00000000001_TTS-clf_07508_4.wav",
    )
    rows = read_all(habla, plant(tmp_path / inner, {"protocol.txt": ""}, *names))
    assert [(r.id, r.bona_fide, r.generator, r.family, r.speaker, r.source) for r in rows.values()] == [
        (
            "HABLA-fake-CycleGAN-vem_02484_00993837010-arm_01523_020267",
            *(False, "CycleGAN", "vc", "arm_01523", "vem_02484_00993837010"),
        ),
        (
            "HABLA-real-clf_07508_00799857148",
            *(True, "-", "-", "clf_07508", "clf_07508_00799857148"),
        ),
        ("HABLA-fake-TTS-pem_01234_12", False, "TTS", "tts", "pem_01234", "-"),
        (
            "HABLA-fake-TTS-Diff-pem_01234_00000000001_TTS-clf_07508_4",
            *(False, "TTS-Diff", "vc", "clf_07508", "pem_01234_00000000001"),
        ),
        (
            "HABLA-fake-TTS-StarGAN-pem_01234_00000000001_TTS-clf_07508_3",
            *(False, "TTS-StarGAN", "vc", "clf_07508", "pem_01234_00000000001"),
        ),
    ]


def test_habla_refuses(tmp_path):
    assert "FinalDataset_16khz/Real or Real" in refusal(habla, tmp_path)
    (tmp_path / "Real").mkdir()
    assert "Real/COUNTRY/SPEAKER/*.wav" in refusal(habla, tmp_path)


@pytest.mark.parametrize(
    ("inner", "german", "chinese"),
    [("CVoiceFake_Large", "DE", "CN"), ("CVoiceFake_small", "de", "zh-CN"), (".", "DE", "CN")],
)
def test_cvoicefake(tmp_path, inner, german, chinese):
    names = (
        f"{german}/Bonafide/common_voice_de_36934985.mp3",
        f"{german}/vctk_parallel_wavegan.v1_generated/common_voice_de_36934985_Gen.mp3",
        f"{chinese}/griffin_lim_generated/common_voice_zh-CN_1_Gen.wav",
        "notes/Bonafide/x.mp3",
    )
    rows = read_all(cvoicefake, plant(tmp_path / inner, {}, *names))
    assert {(r.id, r.bona_fide, r.generator, r.family, r.language, r.source) for r in rows.values()} == {
        (
            f"CVoice-{german}-Bonafide-common_voice_de_36934985",
            *(True, "-", "-", "DE", "CommonVoice:common_voice_de_36934985"),
        ),
        (
            f"CVoice-{german}-vctk_parallel_wavegan.v1_generated-common_voice_de_36934985_Gen",
            *(False, "vctk_parallel_wavegan.v1", "vocoder", "DE", "CommonVoice:common_voice_de_36934985"),
        ),
        (
            f"CVoice-{chinese}-griffin_lim_generated-common_voice_zh-CN_1_Gen",
            *(False, "griffin_lim", "vocoder", "ZH", "CommonVoice:common_voice_zh-CN_1"),
        ),
    }


def test_cvoicefake_refuses(tmp_path):
    assert "CVoiceFake_Large/EN" in refusal(cvoicefake, tmp_path)


def test_hidden_names_of_voicemos():
    # Names that the challenge's own table of systems gives for these.
    known = {"sys64e2f": "BC2008-A", "sys7ab3c": "BC2008-B", "sys91caa": "BC2009-D", "sys6c11c": "BC2009-I"}
    assert {hidden: voicemos.BLIZZARD[hidden] for hidden in known} == known
    assert len(voicemos.BLIZZARD) == 6 * 26  # none clashes


@pytest.mark.parametrize("inner", [".", "main"])
def test_voicemos(tmp_path, inner):
    tables = {
        "DATA/sets/train_mos_list.txt": "sys64e2f-utt0a1b2c3.wav,4.875\nsys7ab3c-utt0000001.wav,2.0\n",
        "DATA/sets/val_mos_list.txt": "sys00000-utt0000002.wav,3.125\n",
        "DATA/sets/test_mos_list.txt": "sys91caa-utt0000003.wav,1\n",
    }
    year = "blizzard/blizzard_wavs_and_scores_2010_release_version_1"
    names = (
        f"{year}/N/submission_directory/mandarin/MH1/2010/news/wav/news_0001.wav",
        f"{year}/A/submission_directory/english/EH1/2010/news/wav/news_0001.wav",
        "blizzard/blizzard_wavs_and_scores_2011/C/submission_directory/x.wav",
        "DATA/wav/sys64e2f-utt0a1b2c3.wav",
    )
    rows = read_all(voicemos, plant(tmp_path / inner, tables, *names))
    assert [(r.id, r.bona_fide, r.split, r.generator, r.family, r.language) for r in rows.values()] == [
        ("VoiceMOS-sys64e2f-utt0a1b2c3", True, "train", "-", "-", "-"),
        ("VoiceMOS-sys7ab3c-utt0000001", False, "train", "BC2008-B", "tts", "-"),
        ("VoiceMOS-sys00000-utt0000002", False, "valid", "sys00000", "-", "-"),
        ("VoiceMOS-sys91caa-utt0000003", False, "test", "BC2009-D", "tts", "-"),
        ("VoiceMOS-BC2010-A-english-EH1-2010-news-wav-news_0001", True, "-", "-", "-", "EN"),
        ("VoiceMOS-BC2010-N-mandarin-MH1-2010-news-wav-news_0001", False, "-", "BC2010-N", "tts", "ZH"),
        ("VoiceMOS-BC2011-C-x", False, "-", "BC2011-C", "tts", "EN"),
    ]
    assert rows["VoiceMOS-sys64e2f-utt0a1b2c3"].path.is_file()


def test_voicemos_refuses(tmp_path):
    assert "DATA/sets" in refusal(voicemos, tmp_path)
    lists = {
        f"one/DATA/sets/{part}_mos_list.txt": "sys64e2f-utt0a1b2c3.wav\n" for part in ("train", "val", "test")
    }
    plant(tmp_path, lists, "two/blizzard/blizzard_wavs_and_scores_2010/team/a.wav")
    assert "train_mos_list.txt, line 1: expected 2 fields" in refusal(voicemos, tmp_path / "one")
    assert "TEAM one letter" in refusal(voicemos, tmp_path / "two")
