"""LibriTTS-Vocoded: LibriTTS analysed and synthesised again by neural vocoders; fake.

- Paper: Ge et al., "Post-training for Deepfake Speech Detection" (AntiDeepfake), arXiv 2506.21090; the method
  is that of Wang and Yamagishi, arXiv 2309.06014.
- Publisher: none; whoever wants it makes it from LibriTTS with the notebook that AntiDeepfake names
  (https://github.com/nii-yamagishilab/AntiDeepfake, protocols/). Licence of the material: CC BY 4.0.
- Size: 2,345 h, four times LibriTTS; two of the four vocoders are hifigan and hn_sinc_nsf_hifi.
- Expected in ROOT: `VOCODER/PART/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav`, below each vocoder
  the folders of LibriTTS.
- Labels: none, all is fake; the folder VOCODER is the generator.
- Prefix: AntiDeepfake's `LibriTTS-Vo-` reads as `LibriTTS` where IDs are grouped by the text before the first
  '-'; here it is `LibriTTSVo-`.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.libritts import PARTS, recordings
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "LibriTTS-Vocoded"
LICENCE = "CC-BY-4.0"
SOURCE = "https://github.com/nii-yamagishilab/AntiDeepfake"


def read(root: Path) -> Iterator[Utterance]:
    """All utterances; speaker and source are those of the LibriTTS utterance underneath.

    Raises:
        InputError: `bad-corpus`: no folder holds a part of LibriTTS.
    """
    vocoders = [path for path in sorted(root.glob("[!.]*/")) if any((path / part).is_dir() for part in PARTS)]
    if not vocoders:
        raise InputError(
            "bad-corpus",
            f"{root}: expected VOCODER/train-clean-100 or the like, found none; check the folder",
        )
    for vocoder in vocoders:
        for split, speaker, path in recordings(vocoder):
            yield Utterance(
                id=f"LibriTTSVo-{vocoder.name}-{path.stem}",
                path=path,
                bona_fide=False,
                dataset=NAME,
                split=split,
                generator=vocoder.name,
                family="vocoder",
                speaker=f"LibriTTS:{speaker}",
                language="EN",
                source=f"LibriTTS:{path.stem}",
                licence=LICENCE,
            )
