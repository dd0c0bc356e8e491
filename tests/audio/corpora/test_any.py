"""Corpora of no known name: folders of either kind, and tables."""

import pytest
from corpus_tree import plant, read_all, refusal

from earwitness.audio.corpora import folder, table

THEIRS = (
    "ID,Label,Duration,SampleRate,Path,Attack,Speaker,Proportion,AudioChannel,AudioEncoding,AudioBitSample,"
    "Language\n"
)


def test_folder(tmp_path):
    names = (
        "train/real/1.wav",
        "Human/valid/2.flac",
        "dev/Bona-Fide/a/3.mp3",
        "fake/VITS/eval/4.wav",
        "test/Deepfake/5.wav",
        "train/generated/train/xtts_v2/speaker/6.wav",
        "train/generated/.cache/7.wav",
        "notes.txt",
    )
    rows = read_all(folder, plant(tmp_path / "my-set", {}, *names))
    assert {(r.id, r.bona_fide, r.split, r.generator, r.dataset) for r in rows.values()} == {
        ("my_set-train/real/1.wav", True, "train", "-", "my_set"),
        ("my_set-Human/valid/2.flac", True, "valid", "-", "my_set"),
        ("my_set-dev/Bona-Fide/a/3.mp3", True, "valid", "-", "my_set"),
        ("my_set-fake/VITS/eval/4.wav", False, "test", "VITS", "my_set"),
        ("my_set-test/Deepfake/5.wav", False, "test", "-", "my_set"),
        ("my_set-train/generated/train/xtts_v2/speaker/6.wav", False, "train", "xtts_v2", "my_set"),
    }


@pytest.mark.parametrize("word", "real GENUINE bonafide bona-fide original human".split())
def test_words_for_genuine(tmp_path, word):
    (item,) = folder.read(plant(tmp_path, {}, f"{word}/1.wav"))
    assert item.bona_fide


@pytest.mark.parametrize("word", "fake Spoof deepfake generated synthetic".split())
def test_words_for_fake(tmp_path, word):
    (item,) = folder.read(plant(tmp_path, {}, f"{word}/1.wav"))
    assert not item.bona_fide


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1.wav", "found neither kind"),
        ("really/1.wav", "found neither kind"),
        ("real/fake/1.wav", "found both real and fake"),
        ("train/real/test/1.wav", "stands in the parts test and train"),
    ],
)
def test_folder_refuses(tmp_path, name, said):
    assert "found none" in refusal(folder, tmp_path)
    plant(tmp_path, {}, "real/0.wav", "fake/0.wav", name)
    text = refusal(folder, tmp_path)
    assert said in text
    assert name in text


@pytest.mark.parametrize(("ending", "sign"), [("csv", ","), ("tsv", "\t"), ("csv", ";"), ("txt", "|")])
def test_table(tmp_path, ending, sign):
    lines = [
        "Utt_ID,FileName,Target,spk,model,Subset,lang,duration",
        "u1,a/1.wav,bonafide,s1,natural,dev,en,2.0",
        "u2,$ROOT/a/2.wav,Spoof,unknown,vits,evaluation,pt-br,2.0",
        "u3,./a/3.wav,deepfake,s1,,,,",
    ]
    text = "\ufeff" + "\r\n".join(lines).replace(",", sign) + "\r\n\r\n"
    plant(tmp_path, {f"my-list.{ending}": text}, "a/1.wav", "a/2.wav", "a/3.wav")
    rows = read_all(table, tmp_path / f"my-list.{ending}")
    found = [(r.id, r.bona_fide, r.split, r.generator, r.speaker, r.language) for r in rows.values()]
    assert found == [
        ("my_list-u1", True, "valid", "-", "s1", "EN"),
        ("my_list-u2", False, "test", "vits", "-", "PT-BR"),
        ("my_list-u3", False, "-", "-", "s1", "-"),
    ]
    assert all(r.path.is_file() for r in rows.values())
    assert {r.dataset for r in rows.values()} == {"my_list"}


def test_a_table_of_path_and_label_is_enough(tmp_path, monkeypatch):
    plant(tmp_path, {"list.csv": "path,label\na b.wav,real\nc.wav,fake\n"}, "a b.wav")
    monkeypatch.chdir(tmp_path)
    real, fake = table.read(table.Path("list.csv"))
    assert (real.id, real.bona_fide, real.path) == ("list-a b.wav", True, table.Path("a b.wav"))
    assert (fake.id, fake.bona_fide, fake.path) == ("list-c.wav", False, table.Path("c.wav"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\na.wav,real\n", "no column for the path; name it one of path, filepath"),
        ("path,kind\na.wav,real\n", "no column for the label; name it one of label"),
        ("path,label\na.wav,real\nb.wav,1\n", "row 3: label '1' is a number"),
        ("path,label\na.wav,0.0\n", "row 2: label '0.0' is a number"),
        ("path,label\na.wav,maybe\n", "row 2: label 'maybe' is unknown; write real or fake"),
        ("path,label\n../a.wav,real\n", "row 2: Path '../a.wav' leads outside"),
        ("path,label\n,real\n", "row 2: has no Path"),
        ("path,label,split\na.wav,real,later\n", "row 2: split 'later' is unknown"),
        ("path,label\na.wav,real\na.wav,fake\n", "row 3: ID 'list-a.wav' stands in row 2 already"),
        ("path,label\na.wav,real,more\n", "row 2: expected 2 fields, found 3"),
        ("path,label\na.wav\n", "row 2: expected 2 fields, found 1"),
        ("path,label,fold\na.wav,real,x\n", "row 2: fold 'x' is no number"),
    ],
)
def test_table_refuses(tmp_path, text, said):
    assert said in refusal(table, plant(tmp_path, {"list.csv": text}) / "list.csv")


def test_table_that_is_none(tmp_path):
    assert "name the file itself" in refusal(table, tmp_path)
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe,real\n")
    assert "cannot be read as a table" in refusal(table, tmp_path / "list.csv")


def test_antideepfakes_own_csv(tmp_path):
    rows = (
        "ASV5-A05-T_1,fake,3.25,16000,$ROOT//flac_T/T_1.flac,A05,T_4850,train,1,FLAC,16,EN\n"
        "ASV5-bonafide-D_1,real,-1,-1,$ROOT/flac_D/D_1.flac,-,D_1,dev,-1,-1,-1,-1\n"
        "ASV5-A30-E_1,fake,-1,-1,,A30,E_1,test,-1,-1,-1,EN\n"
    )
    plant(tmp_path, {"asvspoof5.csv": THEIRS + rows}, "flac_T/T_1.flac", "flac_D/D_1.flac")
    whole, unmeasured, missing = read_all(table, tmp_path / "asvspoof5.csv").values()
    assert (whole.id, whole.dataset, whole.bona_fide, whole.duration_s) == (
        "ASV5-A05-T_1",
        "ASV5",
        False,
        3.25,
    )
    assert (whole.generator, whole.speaker, whole.sample_rate, whole.bits) == ("A05", "T_4850", 16_000, 16)
    assert (unmeasured.bona_fide, unmeasured.split, unmeasured.duration_s) == (True, "valid", None)
    assert (unmeasured.channels, unmeasured.encoding, unmeasured.language) == (None, None, "-")
    assert whole.path.is_file()
    assert unmeasured.path.is_file()
    assert not missing.path.exists()
    assert missing.path.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("X-1,spoof,1,-1,a.wav,-,-,train,-1,-1,-1,EN\n", "row 2: label 'spoof' is neither real nor fake"),
        (",real,1,-1,a.wav,-,-,train,-1,-1,-1,EN\n", "row 2: has no ID"),
        ("X-1,real,1,-1,../a.wav,-,-,train,-1,-1,-1,EN\n", "row 2: Path '../a.wav' leads outside"),
        ("../../X,real,1,-1,,-,-,train,-1,-1,-1,EN\n", "row 2: Path 'no-path/../../X' leads outside"),
        ("X-1,real,1,-1,a.wav,-,-,train,-1,-1,-1\n", "row 2: expected 12 fields, found 11"),
        ("X-1,real,0,-1,a.wav,-,-,train,-1,-1,-1,EN\n", "row 2: Duration '0' is not above zero"),
    ],
)
def test_antideepfakes_own_csv_refuses(tmp_path, row, said):
    assert said in refusal(table, plant(tmp_path, {"x.csv": THEIRS + row}) / "x.csv")
