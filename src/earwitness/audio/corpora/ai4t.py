"""AI4T: deepfakes that circulated on YouTube, and genuine speech from there.

- Paper: Combei et al., "Unmasking real-world audio deepfakes: A data-centric approach", Interspeech 2025,
  arXiv 2506.09606.
- Publisher: https://github.com/davidcombei/AI4T, which lists links to the videos (as of February 2025) and no
  audio. The repository has no licence; the rights are those of the videos' owners.
- Size: about 160 genuine and 180 fake videos, about 2,900 chunks of 10 s in the paper's experiments.
- Expected in ROOT, as the authors' list of chunks (`processed_metadata/ai4trust_segm_systems.csv`) names
  them: `real/VIDEO/VIDEO_000.wav` and `fake/VIDEO/VIDEO_000.wav`, VIDEO being YouTube's key; or, not cut,
  `real/VIDEO.wav` and `fake/VIDEO.wav`.
- Labels: the folder. There is no split (the paper tests on all of it), and neither speaker, language nor
  generator is given.
- Keys: source `AI4T:VIDEO`, shared by the chunks of a video.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.layout import audio_under, need
from earwitness.audio.protocol import Utterance

NAME = "AI4T"
LICENCE = "none stated"
SOURCE = "https://github.com/davidcombei/AI4T"


def read(root: Path) -> Iterator[Utterance]:
    """All recordings or chunks.

    Raises:
        InputError: `bad-corpus`: a folder of one of the classes is absent.
    """
    for label, folder in [(label, need(root, label)) for label in ("real", "fake")]:
        for path in audio_under(folder):
            video = path.stem if path.parent == folder else path.parent.name
            yield Utterance(
                id=f"AI4T-{label}-{path.stem}",
                path=path,
                bona_fide=label == "real",
                dataset=NAME,
                source=f"AI4T:{video}",
                licence=LICENCE,
            )
