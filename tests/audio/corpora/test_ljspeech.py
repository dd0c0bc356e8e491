import pytest

from earwitness.audio.corpora import ljspeech, wavefake
from earwitness.errors import InputError

# two lines as in LJSpeech-1.1/metadata.csv: a quotation mark that opens no quotation, numbers spelled out
METADATA = (
    "LJ001-0001|Printing, in the only sense|Printing, in the only sense\n"
    'LJ001-0007|the earliest book, the "42-line Bible" of 1455,|the earliest book, the forty-two line Bible\n'
)
SYSTEMS = {
    "ljspeech_melgan/LJ001-0001_gen.wav": ("melgan", "vocoder", "EN", "LJSpeech:LJ001-0001"),
    "ljspeech_hifiGAN/LJ001-0001_generated.wav": ("hifiGAN", "vocoder", "EN", "LJSpeech:LJ001-0001"),
    "ljspeech_waveglow/LJ001-0007.wav": ("waveglow", "vocoder", "EN", "LJSpeech:LJ001-0007"),
    "jsut_multi_band_melgan/BASIC5000_0001_gen.wav": (
        "multi_band_melgan",
        "vocoder",
        "JA",
        "JSUT:BASIC5000_0001",
    ),
    "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech/gen_0.wav": ("-", "tts", "EN", "-"),
}


def grow_ljspeech(folder, metadata=METADATA):
    folder.mkdir(parents=True)
    (folder / "metadata.csv").write_text(metadata, encoding="utf-8")
    return folder


def grow_wavefake(root):
    for name in SYSTEMS:
        path = root / "generated_audio" / name
        path.parent.mkdir(parents=True)
        path.touch()
    nested = root / "generated_audio" / list(SYSTEMS)[-1].replace("/", "/generated/")
    nested.parent.mkdir()
    nested.touch()
    return root


@pytest.mark.parametrize("folder", ["LJSpeech/LJSpeech-1.1", "LJSpeech"])
def test_ljspeech(folder, tmp_path):
    grow_ljspeech(tmp_path / folder)
    first, second = ljspeech.read(tmp_path / "LJSpeech")
    assert (first.id, first.path) == ("LJ-LJ001-0001", tmp_path / folder / "wavs" / "LJ001-0001.wav")
    assert (first.bona_fide, first.split, first.speaker, first.language) == (True, "-", "LJSpeech", "EN")
    assert (second.source, second.text) == (
        "LJSpeech:LJ001-0007",
        "the earliest book, the forty-two line Bible",
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("LJ001-0002|in being\n", "line 3: expected 3 fields, found 2"),
        ("../x|a|a\n", "row 3: expected a name"),
    ],
)
def test_a_malformed_line_is_told(line, told, tmp_path):
    grow_ljspeech(tmp_path / "LJ", METADATA + line)
    with pytest.raises(InputError, match=f"metadata.csv, {told}"):
        list(ljspeech.read(tmp_path / "LJ"))


def test_wavefake(tmp_path):
    items = {
        item.path.relative_to(tmp_path / "generated_audio").as_posix(): item
        for item in wavefake.read(grow_wavefake(tmp_path))
    }
    assert {
        name: (i.architecture, i.family, i.language, i.source) for name, i in items.items()
    } == SYSTEMS  # the copy in `generated` is left out
    assert {item.bona_fide for item in items.values()} == {False}
    for name, item in items.items():
        system, _, file = name.partition("/")
        assert item.generator == system
        assert item.id == f"WF-{system}_{file.removesuffix('.wav')}"
        assert item.speaker == ("JSUT" if system.startswith("jsut") else "LJSpeech")


def test_copies_have_speaker_and_source_of_their_original(tmp_path):
    originals = {item.source: item.speaker for item in ljspeech.read(grow_ljspeech(tmp_path / "LJ"))}
    copies = [i for i in wavefake.read(grow_wavefake(tmp_path / "WF")) if i.source.startswith("LJ")]
    assert len(copies) == 3
    assert all(originals[item.source] == item.speaker for item in copies)


@pytest.mark.parametrize(("reader", "told"), [(ljspeech, "metadata.csv"), (wavefake, "generated_audio")])
def test_another_folder_is_told(reader, told, tmp_path):
    with pytest.raises(InputError, match=f"expected .*{told}.* check the folder") as caught:
        list(reader.read(tmp_path))
    assert caught.value.code == "bad-corpus"
