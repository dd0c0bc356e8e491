"""CFAD: Chinese speech and twelve ways to fake it, each clean, noisy and through lossy codecs.

- Paper: Ma et al., "CFAD: A Chinese Dataset for Fake Audio Detection", Speech Communication 164, 2024; arXiv
  2207.12308.
- Publisher: https://zenodo.org/records/8122764; licence CC BY 4.0.
- Size: 171.3 h genuine, 224.6 h fake, 16 kHz; Mandarin.
- Expected in ROOT, or in `CFAD/` in it: `{clean,noisy,codec}_version/PART/{fake,real}_*/MAKER/NAME.wav` with
  PART as `train_clean`, `dev_noise`, `test_seen_codec` or `test_unseen_clean`, and MAKER the generator of the
  fakes or the corpus of the genuine recordings. A version may be absent.
- Labels: the folder fake_* or real_*. Names end in what was done to a recording: `SSB09660003_lpcnet_m4a` is
  AISHELL-3's SSB09660003, by LPCNet, through AAC; noise is written as `_babble_snr10`.
- Families: tacohifigan and fasthifigan are tts, partiallyfake is edit, the others are vocoders.
- Splits: train, dev (`valid`), test_seen and test_unseen (`test`).
- Keys: `AISHELL3:SSB0966` and `AISHELL3:SSB09660003`, as AISHELL-3 and Codecfake of Xie et al. have them;
  `AISHELL1:0764`, `THCHS30:A2` and `MagicData:14_3466` are read off the names by the rules of these corpora.
- BAC009S0764W0123.wav among the clean test is 97 minutes long, an accident of the publisher's.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "CFAD"
LICENCE = "CC-BY-4.0"
SOURCE = "https://zenodo.org/records/8122764"

VERSIONS = ("clean_version", "noisy_version", "codec_version")
SPLITS = {"train": "train", "dev": "valid", "test_seen": "test", "test_unseen": "test"}
FAMILIES = {"tacohifigan": "tts", "fasthifigan": "tts", "partiallyfake": "edit"}
CODEC = re.compile(r"_(mp3|flac|ogg|m4a|aac|wma)$")
NOISE = re.compile(r"_([^_]+_snr-?\d+)$", re.I)

# Corpus -> pattern of its utterances; the first group is the speaker.
UTTERANCES = {
    "AISHELL3": re.compile(r"(SSB\d{4})\d{4}"),
    "AISHELL1": re.compile(r"BAC009S(\d{4})W\d{4}"),
    "THCHS30": re.compile(r"([ABCD]\d+)_\d+"),
    "MagicData": re.compile(r"(\d+_\d+)_\d{14}"),
}


def utterance_of(name: str, maker: str) -> tuple[str, str, str]:
    """Speaker, source and condition that a clip's name tells; '-' for what it does not."""
    condition = CODEC.search(name) or NOISE.search(name)
    key = name[: condition.start()] if condition else name
    key = key.removesuffix(f"_{maker}")
    for corpus, pattern in UTTERANCES.items():
        if found := pattern.match(key):
            return f"{corpus}:{found[1]}", f"{corpus}:{found[0]}", condition[1] if condition else "-"
    return "-", key, condition[1] if condition else "-"


def read(root: Path) -> Iterator[Utterance]:
    """All clips of all versions.

    Raises:
        InputError: `bad-corpus`: none of the versions is there.
    """
    base = need(root, *VERSIONS, *(f"CFAD/{version}" for version in VERSIONS)).parent
    for folder in sorted(base.glob("*_version/*/*_*/*/")):
        version, part, kind, maker = folder.relative_to(base).parts
        part, kind = part.rpartition("_")[0], kind.partition("_")[0]
        if version not in VERSIONS or part not in SPLITS or kind not in ("real", "fake"):
            continue
        bona_fide = kind == "real"
        for path in audio_under(folder):
            speaker, source, condition = utterance_of(path.stem, maker)
            yield Utterance(
                id=f"CFAD-{version}-{part}-{kind}-{path.stem}",
                path=path,
                bona_fide=bona_fide,
                dataset=NAME,
                split=SPLITS[part],
                generator="-" if bona_fide else maker,
                family="-" if bona_fide else FAMILIES.get(maker, "vocoder"),
                speaker=speaker,
                language="ZH",
                source=source,
                codec=condition,
                licence=LICENCE,
            )
