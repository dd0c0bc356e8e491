"""folder: any folder that keeps genuine and fake recordings apart in sub-folders; no label file needed.

- Publisher and licence: yours; the Dataset column and the IDs have the name of the folder.
- Expected in ROOT, at any depth: a folder called real, genuine, bonafide, bona-fide, original or human, and
  one called fake, spoof, deepfake, generated or synthetic, in any case, with the audio below them.
- Labels: those folders. The next folder below a fake one is the generator, as `fake/vits/1.wav`.
- Splits: a folder called train, valid, val, dev, test, eval (or the long forms) anywhere on the way, as
  `train/real/1.wav` or `real/train/1.wav`; else '-'.
- IDs are the paths from ROOT on. What lies in no folder of either kind, or in both, is refused: nothing is
  guessed.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.trials import SPLIT_WORDS, some_audio
from earwitness.audio.protocol import Utterance
from earwitness.errors import InputError

NAME = "folder"
LICENCE = "-"
SOURCE = "-"

GENUINE = frozenset("real genuine bonafide bona-fide original human".split())
FAKE = frozenset("fake spoof deepfake generated synthetic".split())
EXPECTED = (
    "a folder real/ (genuine, bonafide, original, human) and fake/ (spoof, deepfake, generated, synthetic)"
)


def place_of(folders: tuple[str, ...], path: Path) -> tuple[bool, str, str]:
    """Label, generator and split that the folders above a recording tell.

    Raises:
        InputError: `bad-corpus`: they tell no label, or both, or several splits.
    """
    words = [name.lower() for name in folders]
    genuine, fake = ([word for word in words if word in kind] for kind in (GENUINE, FAKE))
    if bool(genuine) == bool(fake):
        found = f"both {genuine[0]} and {fake[0]}" if genuine else "neither kind"
        raise InputError("bad-corpus", f"{path}: expected it below {EXPECTED}, found {found}; move it")
    splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    if len(splits) > 1:
        raise InputError("bad-corpus", f"{path}: stands in the parts {' and '.join(sorted(splits))}; move it")
    makers = []
    if fake:
        below = folders[words.index(fake[0]) + 1 :]
        makers = [name for name in below if name.lower() not in SPLIT_WORDS.keys() | FAKE]
    return bool(genuine), makers[0] if makers else "-", splits.pop() if splits else "-"


def read(root: Path) -> Iterator[Utterance]:
    """All recordings below ROOT.

    Raises:
        InputError: `bad-corpus`: there are none, or one whose label its place does not tell.
    """
    name = root.resolve().name.replace("-", "_") or NAME
    for path in some_audio(root, EXPECTED):
        relative = path.relative_to(root)
        bona_fide, generator, split = place_of(relative.parts[:-1], path)
        yield Utterance(
            id=f"{name}-{relative.as_posix()}",
            path=path,
            bona_fide=bona_fide,
            dataset=name,
            split=split,
            generator=generator,
        )
