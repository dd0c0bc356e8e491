import pytest

from earwitness.audio.corpora.development import read_demos, read_packages
from earwitness.errors import InputError


def test_a_miniature_manifest(tmp_path):
    (tmp_path / "manifest.csv").write_text(
        "id,path,label,system,arch,family,source_corpus,speaker,page,page_fold,duration_s,licence_class\n"
        "x1,audio/x1.flac,fake,vits-large,vits,tts,VCTK,p225,some/page,2,3.5,open\n"
        "x2,audio/x2.flac,real,ground-truth,ground-truth,none,VCTK,p225,some/page,2,2.5,open\n"
    )
    fake, real = read_demos(tmp_path)
    assert (fake.bona_fide, fake.architecture, fake.group, fake.fold) == (False, "vits", "some/page", 2)
    assert (real.bona_fide, real.duration_s) == (True, 2.5)
    assert fake.path == tmp_path / "audio" / "x1.flac"


def test_a_missing_manifest_says_so(tmp_path):
    with pytest.raises(InputError, match="expected a corpus manifest"):
        list(read_demos(tmp_path))


@pytest.mark.shared
def test_the_development_corpora(shared):
    demos = list(read_demos(shared / "corpus" / "demos"))
    packages = list(read_packages(shared / "corpus" / "packages"))
    # counts of the corpora's own README
    assert (sum(r.bona_fide for r in demos), sum(not r.bona_fide for r in demos)) == (919, 865)
    assert (sum(r.bona_fide for r in packages), sum(not r.bona_fide for r in packages)) == (970, 981)
    pages = {row.group: row.fold for row in demos}
    assert len(pages) == 37
    assert all(row.fold == pages[row.group] for row in demos)
    assert all(row.path.is_file() for row in demos + packages)
