"""FLEURS-R: FLEURS after speech restoration (Miipher); fake, for its waveforms come from a vocoder.

- Paper: Ma et al., "FLEURS-R: A Restored Multilingual Speech Corpus for Generation Tasks", Interspeech 2024.
- Publisher: https://huggingface.co/datasets/google/fleurs-r; licence CC BY 4.0.
- Size: 1,239 h, 24 kHz, most of the recordings of FLEURS.
- Expected in ROOT: `fleurs-r/data/LOCALE/audio/PART/NUMBER.wav` or `data/LOCALE/...`: the repository as
  published with its archives unpacked; LOCALE and PART as in FLEURS. Its tables of texts are not read.
- Keys: source as in FLEURS. The files are taken to keep their names there: both corpora name them by such
  numbers, but that they are the same is not documented.
- Labels: none, all counts as fake, as in AntiDeepfake.
- Prefix: AntiDeepfake's `FLEURS-R-` reads as `FLEURS` where IDs are grouped by the text before the first '-';
  here it is `FLEURSR-`.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.fleurs import PARTS, folders, language_of
from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "FLEURS-R"
LICENCE = "CC-BY-4.0"
SOURCE = "https://huggingface.co/datasets/google/fleurs-r"


def read(root: Path) -> Iterator[Utterance]:
    """All recordings; the source is that of the FLEURS recording that was restored.

    Raises:
        InputError: `bad-corpus`: no folder of data.
    """
    for locale, part, folder in folders(need(root, "fleurs-r/data", "data")):
        for path in audio_under(folder):
            yield Utterance(
                id=f"FLEURSR-{language_of(locale)}-{path.stem}",
                path=path,
                bona_fide=False,
                dataset=NAME,
                split=PARTS[part],
                generator="miipher",
                family="vocoder",
                language=language_of(locale),
                source=f"FLEURS:{locale}/{path.stem}",
                licence=LICENCE,
            )
