import csv

import numpy as np
import pytest
from corpus_tree import plant, read_all, refusal

from earwitness.audio.corpora import demos, packages
from earwitness.audio.io import load

DEMOS = (
    "id,path,label,system,arch,family,source_corpus,speaker,language,utt_key,page,page_fold,duration_s,"
    "licence_class\n"
    "x1,audio/x1.flac,fake,vits-large,vits,tts,VCTK,p225,en,k1,some/page,2,3.5,open\n"
    "x2,audio/x2.flac,real,ground-truth,ground-truth,none,VCTK,,,k1,some/page,2,2.5,open\n"
)
PACKAGES = (
    "id,path,label,system,family,source,speaker,language,text,licence,duration_s,parent_id,channel\n"
    "y1,audio/y1.flac,real,asterisk-en,none,deb,Allison,en,Activated.,CC-BY-SA-3.0,1.064,,g722\n"
    "y2,audio/y2.flac,fake,espeak,tts,deb,rms,en,Activated.,GPL-3.0,1.5,y1,pcm\n"
    "y3,audio/y3.flac,real,asterisk-en,codec,deb,Allison,en,Activated.,CC-BY-SA-3.0,1.064,y1,codec-gsm\n"
)


def test_demos(tmp_path):
    fake, real = read_all(demos, plant(tmp_path, {"manifest.csv": DEMOS})).values()
    assert (fake.bona_fide, fake.generator, fake.architecture, fake.family) == (
        *(False, "vits-large", "vits", "tts"),
    )
    assert (fake.group, fake.fold, fake.source, fake.language) == ("some/page", 2, "k1", "EN")
    assert fake.path == tmp_path / "audio" / "x1.flac"
    assert (real.bona_fide, real.generator, real.architecture, real.family) == (True, "-", "-", "-")
    assert (real.duration_s, real.speaker, real.language, real.licence) == (2.5, "-", "-", "open")


def test_tones_are_left_out_of_demos(tmp_path):
    tone = "15d34fae8b6c,audio/t.flac,real,ground-truth,ground-truth,none,,,en,k2,tones,1,2.5,open\n"
    assert list(read_all(demos, plant(tmp_path, {"manifest.csv": DEMOS + tone}))) == ["x1", "x2"]


def test_packages(tmp_path):
    prompt, engine, coded = read_all(packages, plant(tmp_path, {"manifest.csv": PACKAGES})).values()
    assert (prompt.bona_fide, prompt.generator, prompt.family, prompt.source) == (True, "-", "-", "y1")
    assert (prompt.group, prompt.speaker, prompt.codec, prompt.text) == (
        *("asterisk-en", "Allison", "g722", "Activated."),
    )
    assert (engine.bona_fide, engine.generator, engine.architecture) == (False, "espeak", "espeak")
    assert (engine.family, engine.source, engine.fold, engine.duration_s) == ("tts", "y1", None, 1.5)
    assert (coded.bona_fide, coded.family, coded.codec) == (True, "codec", "codec-gsm")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("x1,audio/x1.flac,fake", "x1,audio/x1.flac,spoof", "x1 is labelled 'spoof', expected real or fake"),
        ("audio/x1.flac", "../x1.flac", "'../x1.flac' does not lead into"),
        ("2,3.5", "two,3.5", "page_fold of x1 is 'two', expected a number"),
        (",2.5,", ",,", "duration_s of x2 is '', expected a number"),
        ("page_fold", "fold", "the header lacks page_fold"),
    ],
)
def test_demos_refuse(tmp_path, good, bad, said):
    assert "manifest.csv" in refusal(demos, tmp_path)
    assert DEMOS.count(good)
    text = refusal(demos, plant(tmp_path, {"manifest.csv": DEMOS.replace(good, bad)}))
    assert "manifest.csv" in text
    assert said in text


def test_packages_refuse(tmp_path):
    assert "expected manifest.csv in it" in refusal(packages, tmp_path)
    plant(tmp_path, {"manifest.csv": PACKAGES.replace("1.5,y1", "long,y1")})
    assert "duration_s of y2 is 'long', expected a number" in refusal(packages, tmp_path)


@pytest.mark.shared
def test_the_development_corpora(shared):
    pages = list(demos.read(shared / "corpus" / "demos"))
    prompts = list(packages.read(shared / "corpus" / "packages"))
    # counts of the corpora's own README, less the ten tones and their page
    assert (sum(r.bona_fide for r in pages), sum(not r.bona_fide for r in pages)) == (919 - 10, 865)
    assert (sum(r.bona_fide for r in prompts), sum(not r.bona_fide for r in prompts)) == (970, 981)
    folds = {row.group: row.fold for row in pages}
    assert len(folds) == 37 - 1
    assert all(row.fold == folds[row.group] for row in pages)
    assert all(row.path.is_file() for row in pages + prompts)


@pytest.mark.shared
def test_the_tones_are_tones(shared):
    """What is left out is no speech: the ten strongest of 16,001 lines hold most of its power."""
    root = shared / "corpus" / "demos"
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] in demos.TONES]
    assert len(rows) == len(demos.TONES) == 10

    def share(path):
        samples = load(path)[:32_000]
        power = np.sort(np.abs(np.fft.rfft(samples)) ** 2)
        return power[-10:].sum() / power.sum()

    speech = next(row for row in demos.read(root) if row.bona_fide)
    tones = [share(root / row["path"]) for row in rows]
    assert min(tones) > 0.8 > 0.4 > share(speech.path)
