"""ASVspoof 2021 LA: the evaluation trials of ASVspoof 2019 LA's attacks, sent over telephone channels.

- Paper: Liu et al., "ASVspoof 2021: Towards Spoofed and Deepfake Speech Detection in the Wild", IEEE/ACM
  TASLP 31, 2023.
- Publisher: https://zenodo.org/records/4837263 (audio), https://www.asvspoof.org/index2021.html (keys);
  licence ODC-By 1.0.
- Size: 16.4 h genuine, 116.1 h spoofed; 181,566 trials, 16 kHz FLAC, English.
- Expected in ROOT: `ASVspoof2021_LA_eval/flac/NAME.flac` (or `flac/` in ROOT itself), and the keys where the
  key package unpacks them, `keys/LA/CM/trial_metadata.txt`, or as `LA/CM/trial_metadata.txt`,
  `trial_metadata.txt` or `ASVspoof2021-LA.txt` (AntiDeepfake's name for the same file).
- Labels: lines `SPEAKER NAME CODEC TRANSMISSION ATTACK KEY TRIM PHASE`, as
  `LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval`; genuine trials have `bonafide` or `-` for ATTACK.
- Splits: published error rates are those of the phase `eval`, which is `test` here. The phases `progress` and
  `hidden` (trimmed of silence) are no part of them and get '-'.
- `codec` is CODEC: none, alaw, pstn, g722, ulaw, gsm, opus (conditions C1 to C7); attacks as in 2019.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.asvspoof2019_la import FAMILIES
from earwitness.audio.corpora.layout import fields_of, need
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "ASVspoof2021-LA"
LICENCE = "ODC-By-1.0"
SOURCE = "https://www.asvspoof.org/index2021.html"


def keys_and_audio(root: Path, track: str) -> tuple[Path, Path]:
    """The key file of a track (LA or DF) and the folder of its audio.

    Raises:
        InputError: `bad-corpus`: one of them is not there.
    """
    inner = f"{track}/CM/trial_metadata.txt"
    names = (f"keys/{inner}", f"{track}-keys-full/keys/{inner}", inner, "trial_metadata.txt")
    keys = need(root, *names, f"ASVspoof2021-{track}.txt")
    return keys, need(root, f"ASVspoof2021_{track}_eval/flac", "flac")


def split_of_phase(phase: str) -> str:
    """`test` for the phase that published results are of."""
    return "test" if phase == "eval" else "-"


def read(root: Path) -> Iterator[Utterance]:
    """All trials of the key file.

    Raises:
        InputError: `bad-corpus`: keys or audio are absent, or a line of the keys is none.
    """
    path, folder = keys_and_audio(root, "LA")
    for speaker, name, codec, _, attack, key, _, phase in fields_of(path, 8):
        bona_fide = is_bona_fide(key, path, name)
        yield Utterance(
            id=f"ASV21LA-{name}",
            path=inside(folder, f"{name}.flac", path),
            bona_fide=bona_fide,
            dataset=NAME,
            split=split_of_phase(phase),
            generator="-" if bona_fide else attack,
            family=FAMILIES.get(attack, "-"),
            speaker=speaker,
            language="EN",
            codec=codec,
            licence=LICENCE,
        )
