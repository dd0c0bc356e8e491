"""Corpora whose labels stand in a file."""

import pytest
from corpus_tree import plant, read_all, refusal

from earwitness.audio.corpora import add2023, decro, dsd, in_the_wild, mlaad, spoofceleb

DECRO = {
    "en_train.txt": "p225 1001 - vctk bonafide \nunknown 1002 - fastspeech2 spoof\n",
    "en_dev.txt": "unknown 1003 - starganv2 spoof\n",
    "en_eval.txt": "unknown 1004 - hifigan spoof\n",
    "ch_train.txt": "SSB0005 2001 - aishell3 bonafide\n",
    "ch_dev.txt": "unknown 2002 - baidu spoof\n",
    "ch_eval.txt": "SSB0005 2001 - something spoof\n",  # the names of the halves may be the same
}
DSD_HEADER = (
    "Utterence name (file name),TTS or VC,Is multi-speaker?,Language,Noise type 1,Source link,utt,group,"
    "Speaker name,Gender,Age,label,Model,subset,duration\n"
)
MLAAD_HEADER = (
    "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|"
    "transcript"
)


@pytest.mark.parametrize("inner", [".", "petrichorwq-DECRO-dataset-b9c6a39"])
def test_decro(tmp_path, inner):
    plant(tmp_path / inner, DECRO, "en_train/1001.wav")
    rows = read_all(decro, tmp_path)
    assert [(r.id, r.bona_fide, r.generator, r.family, r.speaker, r.language) for r in rows.values()] == [
        ("DECRO-train-ZH-2001", True, "-", "-", "SSB0005", "ZH"),
        ("DECRO-valid-ZH-2002", False, "baidu", "tts", "-", "ZH"),
        ("DECRO-test-ZH-2001", False, "something", "-", "SSB0005", "ZH"),
        ("DECRO-train-EN-1001", True, "-", "-", "p225", "EN"),
        ("DECRO-train-EN-1002", False, "fastspeech2", "tts", "-", "EN"),
        ("DECRO-valid-EN-1003", False, "starganv2", "vc", "-", "EN"),
        ("DECRO-test-EN-1004", False, "hifigan", "vocoder", "-", "EN"),
    ]
    assert [r.split for r in rows.values()] == "train valid test train train valid test".split()
    assert rows["DECRO-train-EN-1001"].path.is_file()


def test_decro_refuses(tmp_path):
    assert "en_train.txt" in refusal(decro, tmp_path)
    plant(tmp_path, {**DECRO, "ch_train.txt": "SSB0005 2001 - bonafide\n"})
    assert "ch_train.txt, line 1: expected 5 fields, found 4" in refusal(decro, tmp_path)
    plant(tmp_path, {**DECRO, "ch_train.txt": "SSB0005 2001 - aishell3 real\n"})
    assert "ch_train.txt: 2001 is labelled 'real'" in refusal(decro, tmp_path)


def test_dsd(tmp_path):
    table = (
        f"{DSD_HEADER}"
        "ko_0001.wav,,N,Korean,none,link,u1,g1,spk1,F,30,bonafide,,train,3.1\n"
        "en_0002,TTS,Y,English,none,link,u2,g1,spk2,M,40,spoof,VITS,dev,2.0\n"
        'ja_0003.wav,VC,Y,Japanese,"street, rain",link,u3,g2,,M,,spoof,FreeVC,eval,4.5\n'
    )
    plant(tmp_path, {"DSD_corpus_v1.csv": table}, "ko_0001.wav", "en_0002.wav")
    rows = read_all(dsd, tmp_path)
    found = [
        (r.id, r.bona_fide, r.split, r.generator, r.family, r.speaker, r.language) for r in rows.values()
    ]
    assert found == [
        ("DSD-ko_0001", True, "train", "-", "-", "spk1", "KO"),
        ("DSD-en_0002", False, "valid", "VITS", "tts", "spk2", "EN"),
        ("DSD-ja_0003", False, "test", "FreeVC", "vc", "-", "JA"),
    ]
    assert rows["DSD-ko_0001"].path.is_file()
    assert rows["DSD-en_0002"].path.is_file()


def test_dsd_refuses(tmp_path):
    assert "DSD_corpus_v1.csv" in refusal(dsd, tmp_path)
    plant(tmp_path, {"DSD_corpus_v1.csv": "name,label\nx,spoof\n"})
    assert "DSD_corpus_v1.csv: the header lacks Utterence name" in refusal(dsd, tmp_path)
    row = "a.wav,TTS,Y,English,none,link,u2,g1,spk2,M,40,spoof,VITS,later,2.0\n"
    plant(tmp_path, {"DSD_corpus_v1.csv": DSD_HEADER + row})
    assert "DSD_corpus_v1.csv: a is in the part 'later', expected one of train" in refusal(dsd, tmp_path)


@pytest.mark.parametrize("inner", [".", "release_in_the_wild"])
def test_in_the_wild(tmp_path, inner):
    table = "file,speaker,label\n0.wav,Alec Guinness,spoof\n4.wav,Christopher Hitchens,bona-fide\n"
    plant(tmp_path / inner, {"meta.csv": table}, "0.wav", "4.wav")
    rows = read_all(in_the_wild, tmp_path)
    assert [(r.id, r.bona_fide, r.split, r.speaker, r.path.is_file()) for r in rows.values()] == [
        ("ItW-0", False, "-", "Alec Guinness", True),
        ("ItW-4", True, "-", "Christopher Hitchens", True),
    ]


def test_in_the_wild_refuses(tmp_path):
    assert "meta.csv" in refusal(in_the_wild, tmp_path)
    plant(tmp_path, {"meta.csv": "file,speaker,label\n0.wav,Alec Guinness,bonafide\n"})
    assert "meta.csv: 0.wav is labelled 'bonafide', expected bona-fide" in refusal(in_the_wild, tmp_path)
    plant(tmp_path, {"meta.csv": "file,speaker,label\n/etc/passwd,Alec Guinness,spoof\n"})
    assert "'/etc/passwd' does not lead into" in refusal(in_the_wild, tmp_path)
    plant(tmp_path, {"meta.csv": "file,speaker,label\n0.wav,Guinness, Alec,spoof\n"})
    assert "meta.csv, row 2: more fields" in refusal(in_the_wild, tmp_path)


@pytest.mark.parametrize("inner", [".", "spoofceleb"])
def test_spoofceleb(tmp_path, inner):
    header = "file,speaker,attack\n"
    tables = {
        "metadata/train.csv": f"{header}a00/id10318/YYsxcZ5saac-00002-006.flac,id10318,a00\n"
        "a05/id10318/YYsxcZ5saac-00002-006.flac,id10318,a05\n",
        "metadata/development.csv": f"{header}a08/id10009/x-00001-000.flac,id10009,a08\n",
        "metadata/evaluation.csv": f"{header}a23/id10270/y-00001-001.flac,id10270,a23\n",
    }
    plant(tmp_path / inner, tables, "flac/train/a00/id10318/YYsxcZ5saac-00002-006.flac")
    rows = read_all(spoofceleb, tmp_path)
    assert [(r.id, r.bona_fide, r.split, r.generator, r.family, r.speaker) for r in rows.values()] == [
        ("SpoofCeleb-a00/id10318/YYsxcZ5saac-00002-006", True, "train", "-", "-", "VoxCeleb1:id10318"),
        ("SpoofCeleb-a05/id10318/YYsxcZ5saac-00002-006", False, "train", "a05", "tts", "VoxCeleb1:id10318"),
        ("SpoofCeleb-a08/id10009/x-00001-000", False, "valid", "a08", "tts", "VoxCeleb1:id10009"),
        ("SpoofCeleb-a23/id10270/y-00001-001", False, "test", "a23", "tts", "VoxCeleb1:id10270"),
    ]
    genuine, fake, *_ = rows.values()
    assert genuine.path.is_file()
    assert (genuine.source, fake.source) == ("VoxCeleb1:id10318/YYsxcZ5saac-00002-006", "-")


def test_spoofceleb_refuses(tmp_path):
    assert "metadata" in refusal(spoofceleb, tmp_path)
    plant(tmp_path, {"metadata/train.csv": "file,speaker,attack\na/b.flac,id1,a01\nc/d.flac,id1\n"})
    assert "train.csv, row 3: c/d has no attack" in refusal(spoofceleb, tmp_path)


def test_mlaad(tmp_path):
    english = (
        f"{MLAAD_HEADER}\n"
        "./fake/en/tts_models_en_ljspeech_glow-tts/hard_times_0001.wav"
        "|en_US/by_book/female/judy_bieber/hard_times/wavs/hard_times_0001.wav"
        '|en|True|2.63|ljspeech|tts_models/en/ljspeech/glow-tts|glow-tts|He said, "Now."\n'
    )
    chinese = (
        f"{MLAAD_HEADER}|reference_speaker\n"
        "./fake/zh-cn/xtts_v2/a.wav|en_US/by_book/x/a.wav|zh-cn|False|1.0|multi|xtts_v2|xtts||ref7\n"
    )
    tables = {
        "fake/en/tts_models_en_ljspeech_glow-tts/meta.csv": english,
        "fake/zh-cn/xtts_v2/meta.csv": chinese,
    }
    plant(tmp_path, tables, "fake/zh-cn/xtts_v2/a.wav")
    first, second = read_all(mlaad, tmp_path).values()
    assert first.id == "MLAAD-EN-tts_models_en_ljspeech_glow-tts-hard_times_0001"
    assert (first.generator, first.architecture) == ("tts_models/en/ljspeech/glow-tts", "glow-tts")
    assert first.source == "M-AILABS:en_US/by_book/female/judy_bieber/hard_times/wavs/hard_times_0001.wav"
    assert (first.text, first.speaker, first.language) == ('He said, "Now."', "-", "EN")
    assert (second.id, second.language, second.speaker) == ("MLAAD-ZH-xtts_v2-a", "ZH", "ref7")
    assert (second.text, second.split, second.path.is_file()) == ("-", "-", True)
    assert (first.bona_fide, second.bona_fide) == (False, False)


def test_mlaad_refuses(tmp_path):
    assert "fake/*/*/meta.csv" in refusal(mlaad, tmp_path)
    plant(tmp_path, {"fake/de/vits/meta.csv": f"{MLAAD_HEADER}\nx.wav|b|c|d|e|f|g|h|i|j\n"})
    assert "meta.csv, row 2: more fields" in refusal(mlaad, tmp_path)
    plant(tmp_path, {"fake/de/vits/meta.csv": f"{MLAAD_HEADER}\n|b|c|d|e|f|g|h|i\n"})
    assert "meta.csv: the name '' does not lead into" in refusal(mlaad, tmp_path)


@pytest.mark.parametrize("inner", [".", "testR2", "Track1.2/testR2"])
def test_add2023(tmp_path, inner):
    lines = "ADD2023_T1.2R2_E_00000003.wav genuine\nADD2023_T1.2R2_E_00000004.wav fake\n"
    plant(tmp_path / inner, {"label.txt": lines}, "wav/ADD2023_T1.2R2_E_00000003.wav")
    genuine, fake = read_all(add2023, tmp_path).values()
    assert (genuine.id, genuine.bona_fide) == ("ADD2023-ADD2023_T1.2R2_E_00000003.wav", True)
    assert (fake.id, fake.bona_fide) == ("ADD2023-ADD2023_T1.2R2_E_00000004.wav", False)
    assert (genuine.split, genuine.language, genuine.path.is_file()) == ("test", "ZH", True)


def test_add2023_parts(tmp_path):
    tables = {
        "Track1.2/train/label.txt": "ADD2023_T1.2_T_00000000.wav fake\n",
        "Track1.2/dev/label.txt": "ADD2023_T1.2_D_00000000.wav genuine\n",
    }
    rows = read_all(add2023, plant(tmp_path, tables))
    assert sorted((r.split, r.bona_fide) for r in rows.values()) == [("train", False), ("valid", True)]


def test_add2023_refuses(tmp_path):
    assert "label.txt" in refusal(add2023, tmp_path)
    plant(tmp_path, {"label.txt": "ADD2023_T1.2_T_00000000.wav spoof\n"})
    assert "labelled 'spoof', expected genuine or fake" in refusal(add2023, tmp_path)
    plant(tmp_path, {"label.txt": "ADD2023_T1.2_T_00000000.wav\n"})
    assert "label.txt, line 1: expected 2 fields, found 1" in refusal(add2023, tmp_path)
