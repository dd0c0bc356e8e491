import pytest
from corpus_tree import plant, read_all, refusal

from earwitness.audio.corpora import (
    asvspoof5,
    asvspoof2019_la,
    asvspoof2021_df,
    asvspoof2021_la,
    partialspoof,
)

# Lines as in the published protocols.
PROTOCOLS_2019 = {
    "train.trn": "LA_0079 LA_T_1138215 - - bonafide\nLA_0079 LA_T_1271820 - A01 spoof\n",
    "dev.trl": "LA_0069 LA_D_1047731 - - bonafide\nLA_0069 LA_D_1105538 - A06 spoof\n",
    "eval.trl": "LA_0039 LA_E_2834763 - A11 spoof\nLA_0014 LA_E_8877452 - A14 spoof\n"
    "LA_0031 LA_E_5849185 - - bonafide\n",
}
KEYS_2021_LA = (
    "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n"
    "LA_0020 LA_E_6866159 gsm ita_tx bonafide bonafide notrim progress\n"
    "LA_0013 LA_E_4581379 none - A18 spoof trim hidden\n"
    "\n"
)
KEYS_2021_DF = (
    "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
    "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive "
    "Task1 team20 FF E\n"
    "LA_0043 DF_E_2000026 mp3m4a asvspoof - bonafide notrim eval bonafide - - - -\n"
)
PROTOCOLS_5 = {
    "ASVspoof5.train.tsv": "T_4850 T_0000000000 F - - - AC3 A05 spoof -\n",
    "ASVspoof5.dev.track_1.tsv": "D_0461 D_0000000190 M - - - - bonafide bonafide -\n"
    "D_4461 D_0000000169 F - - - AC1 A14 spoof -\nD_4462 D_0000000170 F - - - AC1 A13 spoof -\n",
    "ASVspoof5.eval.track_1.tsv": "E_1607 E_0009538969 M C05 2 E_0009486171 AC1 A26 spoof -\n",
}


def tree_2019(root, changes=()):
    folder = "ASVspoof2019_LA_cm_protocols"
    texts = {**PROTOCOLS_2019, **dict(changes)}
    return plant(root, {f"{folder}/ASVspoof2019.LA.cm.{part}.txt": text for part, text in texts.items()})


@pytest.mark.parametrize("inner", [".", "LA"])
def test_asvspoof_2019(tmp_path, inner):
    tree_2019(tmp_path / inner)
    rows = read_all(asvspoof2019_la, tmp_path)
    assert [(r.id, r.bona_fide, r.split, r.generator, r.family, r.speaker) for r in rows.values()] == [
        ("ASV19LA-LA_T_1138215", True, "train", "-", "-", "LA_0079"),
        ("ASV19LA-LA_T_1271820", False, "train", "A01", "tts", "LA_0079"),
        ("ASV19LA-LA_D_1047731", True, "valid", "-", "-", "LA_0069"),
        ("ASV19LA-LA_D_1105538", False, "valid", "A06", "vc", "LA_0069"),
        ("ASV19LA-LA_E_2834763", False, "test", "A11", "tts", "LA_0039"),
        ("ASV19LA-LA_E_8877452", False, "test", "A14", "vc", "LA_0014"),
        ("ASV19LA-LA_E_5849185", True, "test", "-", "-", "LA_0031"),
    ]
    audio = tmp_path / inner / "ASVspoof2019_LA_dev" / "flac" / "LA_D_1047731.flac"
    assert rows["ASV19LA-LA_D_1047731"].path == audio


def test_asvspoof_2019_refuses(tmp_path):
    assert "ASVspoof2019_LA_cm_protocols" in refusal(asvspoof2019_la, tmp_path)
    tree_2019(tmp_path, {"dev.trl": "LA_0069 LA_D_1047731 - - bonafide\nLA_0069 LA_D_1105538 A06 spoof\n"})
    assert "cm.dev.trl.txt, line 2: expected 5 fields, found 4" in refusal(asvspoof2019_la, tmp_path)
    tree_2019(tmp_path, {"dev.trl": "LA_0069 LA_D_1047731 - - genuine\n"})
    said = refusal(asvspoof2019_la, tmp_path)
    assert "cm.dev.trl.txt: LA_D_1047731 is labelled 'genuine', expected bonafide or spoof" in said
    tree_2019(tmp_path, {"dev.trl": "LA_0069 ../../x - - bonafide\n"})
    assert "'../../x.flac' does not lead into" in refusal(asvspoof2019_la, tmp_path)


@pytest.mark.parametrize("keys", ["keys/LA/CM/trial_metadata.txt", "ASVspoof2021-LA.txt"])
def test_asvspoof_2021_la(tmp_path, keys):
    plant(tmp_path, {keys: KEYS_2021_LA}, "ASVspoof2021_LA_eval/flac/LA_E_9332881.flac")
    rows = read_all(asvspoof2021_la, tmp_path)
    assert [(r.id, r.bona_fide, r.split, r.generator, r.family, r.codec) for r in rows.values()] == [
        ("ASV21LA-LA_E_9332881", False, "test", "A07", "tts", "alaw"),
        ("ASV21LA-LA_E_6866159", True, "-", "-", "-", "gsm"),
        ("ASV21LA-LA_E_4581379", False, "-", "A18", "vc", "none"),
    ]
    assert rows["ASV21LA-LA_E_9332881"].path.is_file()
    assert rows["ASV21LA-LA_E_9332881"].speaker == "LA_0009"


def test_asvspoof_2021_df(tmp_path):
    plant(tmp_path, {"keys/DF/CM/trial_metadata.txt": KEYS_2021_DF}, "flac/DF_E_2000011.flac")
    rows = read_all(asvspoof2021_df, tmp_path)
    assert [(r.id, r.bona_fide, r.split, r.generator, r.family, r.codec) for r in rows.values()] == [
        ("ASV21DF-DF_E_2000011", False, "-", "A14", "vc", "nocodec"),
        ("ASV21DF-DF_E_2000013", False, "test", "vcc2020-Task1-team20", "vc", "low_m4a"),
        ("ASV21DF-DF_E_2000026", True, "test", "-", "-", "mp3m4a"),
    ]
    architectures = [r.architecture for r in rows.values()]
    assert architectures == ["traditional_vocoder", "neural_vocoder_nonautoregressive", "-"]
    assert rows["ASV21DF-DF_E_2000013"].speaker == "TEF2"


@pytest.mark.parametrize(
    ("corpus", "track", "good"),
    [(asvspoof2021_la, "LA", KEYS_2021_LA), (asvspoof2021_df, "DF", KEYS_2021_DF)],
)
def test_asvspoof_2021_refuses(tmp_path, corpus, track, good):
    keys = f"keys/{track}/CM/trial_metadata.txt"
    assert "trial_metadata.txt" in refusal(corpus, tmp_path)
    plant(tmp_path, {keys: good})
    assert f"ASVspoof2021_{track}_eval/flac" in refusal(corpus, tmp_path)  # keys without audio
    first, second, *_ = good.splitlines()
    plant(tmp_path, {keys: f"{first}\n{second} more\n"}, "flac/x.flac")
    assert "trial_metadata.txt, line 2: expected" in refusal(corpus, tmp_path)


@pytest.mark.parametrize(
    ("protocols", "audio"), [("", "flac_D"), ("ASVspoof5_protocols/", "ASVspoof5_dev/flac_D")]
)
def test_asvspoof_5(tmp_path, protocols, audio):
    tables = {f"{protocols}{name}": text for name, text in PROTOCOLS_5.items()}
    plant(tmp_path, tables, f"{audio}/D_0000000169.flac")
    rows = read_all(asvspoof5, tmp_path)
    assert [(r.id, r.bona_fide, r.split, r.generator, r.family, r.speaker) for r in rows.values()] == [
        ("ASV5-A05-T_0000000000", False, "train", "A05", "tts", "T_4850"),
        ("ASV5-bonafide-D_0000000190", True, "valid", "-", "-", "D_0461"),
        ("ASV5-A14-D_0000000169", False, "valid", "A14", "tts", "D_4461"),
        ("ASV5-A13-D_0000000170", False, "valid", "A13", "vc", "D_4462"),
        ("ASV5-A26-E_0009538969", False, "test", "A26", "vc", "E_1607"),
    ]
    assert rows["ASV5-A14-D_0000000169"].path.is_file()
    coded, plain = rows["ASV5-A26-E_0009538969"], rows["ASV5-bonafide-D_0000000190"]
    assert (coded.codec, coded.source) == ("C05", "E_0009486171")
    assert (plain.codec, plain.source) == ("-", "D_0000000190")


def test_asvspoof_5_refuses(tmp_path):
    assert "ASVspoof5.train.tsv" in refusal(asvspoof5, tmp_path)
    plant(tmp_path, {**PROTOCOLS_5, "ASVspoof5.train.tsv": "T_4850 T_0000000000 F AC3 A05 spoof\n"})
    assert "ASVspoof5.train.tsv, line 1: expected 10 fields, found 6" in refusal(asvspoof5, tmp_path)


@pytest.mark.parametrize("inner", [".", "database"])
def test_partialspoof(tmp_path, inner):
    folder = f"{inner}/protocols/PartialSpoof_LA_cm_protocols"
    texts = {
        "train": "LA_0079 LA_T_1138215 - - bonafide\nLA_0079 CON_T_0000029 - CON spoof\n",
        "dev": "LA_0069 CON_D_0000002 - CON spoof\n",
        "eval": "LA_0001 CON_E_0000012 - CON spoof\nLA_0031 LA_E_5849185 - - bonafide\n",
    }
    tables = {f"{folder}/PartialSpoof.LA.cm.{part}.trl.txt": text for part, text in texts.items()}
    plant(tmp_path, tables, f"{inner}/eval/con_wav/CON_E_0000012.wav")
    rows = read_all(partialspoof, tmp_path)
    assert [(r.id, r.bona_fide, r.split, r.generator, r.family, r.speaker) for r in rows.values()] == [
        ("PartialSpoof-LA_T_1138215", True, "train", "-", "-", "LA_0079"),
        ("PartialSpoof-CON_T_0000029", False, "train", "CON", "edit", "LA_0079"),
        ("PartialSpoof-CON_D_0000002", False, "valid", "CON", "edit", "LA_0069"),
        ("PartialSpoof-CON_E_0000012", False, "test", "CON", "edit", "LA_0001"),
        ("PartialSpoof-LA_E_5849185", True, "test", "-", "-", "LA_0031"),
    ]
    assert rows["PartialSpoof-CON_E_0000012"].path.is_file()
    plant(tmp_path, {f"{folder}/PartialSpoof.LA.cm.dev.trl.txt": "LA_0069 CON_D_0000002 spoof\n"})
    assert "cm.dev.trl.txt, line 1: expected 5 fields, found 3" in refusal(partialspoof, tmp_path)


def test_partialspoof_elsewhere(tmp_path):
    assert "protocols/PartialSpoof_LA_cm_protocols" in refusal(partialspoof, tmp_path)
