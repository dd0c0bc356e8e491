"""ASVspoof 5: English audiobook speech of 2,000 volunteers (MLS), 32 attacks, some adversarial, and codecs.

- Paper: Wang et al., "ASVspoof 5: Design, collection and validation of resources for spoofing, deepfake, and
  adversarial attack detection using crowdsourced speech", Computer Speech & Language, 2025; arXiv 2502.08857.
- Publisher: https://zenodo.org/records/14498691; licence ODC-By 1.0, the genuine speech CC BY 4.0.
- Size: 413.5 h genuine, 1,808.5 h spoofed; 1,004,081 utterances in track 1, 16 kHz FLAC, English.
- Expected in ROOT: `ASVspoof5.train.tsv`, `ASVspoof5.dev.track_1.tsv` and `ASVspoof5.eval.track_1.tsv`, or
  these in `ASVspoof5_protocols/`; audio as the archives unpack, `flac_T/`, `flac_D/`, `flac_E_eval/`, or each
  in a folder `ASVspoof5_train/`, `ASVspoof5_dev/`, `ASVspoof5_eval/` as AntiDeepfake keeps them.
- Labels: no header, ten fields with spaces between them in spite of the ending: `SPEAKER NAME GENDER CODEC
  CODEC_Q CODEC_SEED ATTACK_TAG ATTACK KEY TMP`, as `D_4461 D_0000000169 F - - - AC1 A14 spoof -`, `E_1607
  E_0009538969 M C05 2 E_0009486171 AC1 A26 spoof -` and `D_0461 D_0000000190 M - - - - bonafide bonafide -`.
  AntiDeepfake's script loses the first line of each file.
- Attacks: A01 to A08 in train, A09 to A16 in dev, A17 to A32 in eval. Voice conversion: A13 (StarGANv2-VC),
  A15 (VAE-GAN), A16, A24 (by ASR), A25 (DiffVC) and what adds to them, A26, A27, A32; the others are text to
  speech.
- `codec` is CODEC (C01 to C11, '-' for none); `source` is CODEC_SEED, the trial before the codec, else NAME.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "ASVspoof5"
LICENCE = "ODC-By-1.0 AND CC-BY-4.0"
SOURCE = "https://zenodo.org/records/14498691"

CONVERSION = frozenset("A13 A15 A16 A24 A25 A26 A27 A32".split())

# Protocol, folder of the audio, AntiDeepfake's folder around it, split.
PARTS = (
    ("ASVspoof5.train.tsv", "flac_T", "ASVspoof5_train", "train"),
    ("ASVspoof5.dev.track_1.tsv", "flac_D", "ASVspoof5_dev", "valid"),
    ("ASVspoof5.eval.track_1.tsv", "flac_E_eval", "ASVspoof5_eval", "test"),
)


def read(root: Path) -> Iterator[Utterance]:
    """All trials of track 1.

    Raises:
        InputError: `bad-corpus`: a protocol is absent, or a line of it is none.
    """
    for protocol, audio, around, split in PARTS:
        path = need(root, protocol, f"ASVspoof5_protocols/{protocol}")
        folder = root / around / audio if (root / around / audio).is_dir() else root / audio
        for speaker, name, _, codec, _, seed, _, attack, key, _ in fields_of(path, 10):
            bona_fide = is_bona_fide(key, path, name)
            yield Utterance(
                id=f"ASV5-{attack}-{name}",
                path=inside(folder, f"{name}.flac", path),
                bona_fide=bona_fide,
                dataset=NAME,
                split=split,
                generator="-" if bona_fide else attack,
                family="-" if bona_fide else "vc" if attack in CONVERSION else "tts",
                speaker=speaker,
                language="EN",
                source=name if seed == "-" else seed,
                codec=codec,
                licence=LICENCE,
            )
