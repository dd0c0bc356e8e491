"""VoxCeleb2-Vocoded: VoxCeleb2 analysed and synthesised again by neural vocoders; fake.

- Paper: Wang and Yamagishi, "Can large-scale vocoded spoofed data improve speech spoofing countermeasure with
  a self-supervised front end?", ICASSP 2024, arXiv 2309.06014.
- Publisher: none; whoever wants it makes it from VoxCeleb2 with the notebook that AntiDeepfake names
  (https://github.com/nii-yamagishilab/AntiDeepfake, protocols/). Licence of the material: CC BY 4.0.
- Size: 4,721 h as AntiDeepfake counts, four times its VoxCeleb2; two of the four vocoders are hifigan and
  hn_sinc_nsf.
- Expected in ROOT: `VOCODER/dev/aac/SPEAKER/VIDEO/NUMBER.wav`, below each vocoder the folders of VoxCeleb2.
- Labels: none, all is fake; the folder VOCODER is the generator. Splits as in VoxCeleb2.
- Prefix: AntiDeepfake's `VoxCeleb2-Vo-` reads as `VoxCeleb2` where IDs are grouped by the text before the
  first '-'; here it is `VoxCeleb2Vo-`.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.voxceleb2 import PARTS, recordings
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "VoxCeleb2-Vocoded"
LICENCE = "CC-BY-4.0"
SOURCE = "https://github.com/nii-yamagishilab/AntiDeepfake"


def read(root: Path) -> Iterator[Utterance]:
    """All utterances; speaker and source are those of the VoxCeleb2 utterance underneath.

    Raises:
        InputError: `bad-corpus`: no folder holds a part of VoxCeleb2.
    """
    vocoders = [path for path in sorted(root.glob("[!.]*/")) if any((path / part).is_dir() for part in PARTS)]
    if not vocoders:
        raise InputError(
            "bad-corpus",
            f"{root}: expected VOCODER/dev/aac or VOCODER/test/aac, found none; check the folder",
        )
    for vocoder in vocoders:
        for split, key, path in recordings(vocoder):
            yield Utterance(
                id=f"VoxCeleb2Vo-{vocoder.name}-{key.replace('/', '-')}",
                path=path,
                bona_fide=False,
                dataset=NAME,
                split=split,
                generator=vocoder.name,
                family="vocoder",
                speaker=f"VoxCeleb2:{key.partition('/')[0]}",
                source=f"VoxCeleb2:{key}",
                licence=LICENCE,
            )
