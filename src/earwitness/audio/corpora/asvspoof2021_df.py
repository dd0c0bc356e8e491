"""ASVspoof 2021 DF: attacks of ASVspoof 2019 LA and of two voice-conversion challenges, lossily compressed.

- Paper: Liu et al., "ASVspoof 2021: Towards Spoofed and Deepfake Speech Detection in the Wild", IEEE/ACM
  TASLP 31, 2023.
- Publisher: https://zenodo.org/records/4835108 (audio), https://www.asvspoof.org/index2021.html (keys);
  licence ODC-By 1.0.
- Size: 20.7 h genuine, 487.0 h spoofed; 611,829 trials, more than 100 systems, 16 kHz FLAC, English.
- Expected in ROOT: `ASVspoof2021_DF_eval/flac/NAME.flac` (or `flac/` in ROOT itself), and the keys where the
  key package unpacks them, `keys/DF/CM/trial_metadata.txt`, or as `DF/CM/trial_metadata.txt`,
  `trial_metadata.txt` or `ASVspoof2021-DF.txt` (AntiDeepfake's name for the same file).
- Labels: lines of 13 fields `SPEAKER NAME CODEC CORPUS ATTACK KEY TRIM PHASE VOCODER TASK TEAM GENDER
  LANGUAGE`, as `LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -`
  and `TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive Task1
  team20 FF E` (one line); genuine trials have `bonafide` or `-` for ATTACK.
- Splits: as in ASVspoof 2021 LA: phase `eval` is `test`, `progress` and `hidden` are '-'.
- `codec` is CODEC (nocodec, low_mp3, high_mp3, low_m4a, high_m4a, low_ogg, high_ogg, mp3m4a, oggm4a);
  `architecture` is VOCODER, the kind of waveform generator; CORPUS stands before the names of the attacks of
  the two conversion challenges, whose families are vc.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.asvspoof2019_la import FAMILIES
from earwitness.audio.corpora.asvspoof2021_la import keys_and_audio, split_of_phase
from earwitness.audio.corpora.layout import fields_of
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "ASVspoof2021-DF"
LICENCE = "ODC-By-1.0"
SOURCE = "https://www.asvspoof.org/index2021.html"


def read(root: Path) -> Iterator[Utterance]:
    """All trials of the key file.

    Raises:
        InputError: `bad-corpus`: keys or audio are absent, or a line of the keys is none.
    """
    path, folder = keys_and_audio(root, "DF")
    for speaker, name, codec, corpus, attack, key, _, phase, vocoder, *_ in fields_of(path, 13):
        spoofed = not is_bona_fide(key, path, name)
        challenge = corpus.startswith("vcc")
        generator = f"{corpus}-{attack}" if challenge else attack
        yield Utterance(
            id=f"ASV21DF-{name}",
            path=inside(folder, f"{name}.flac", path),
            bona_fide=not spoofed,
            dataset=NAME,
            split=split_of_phase(phase),
            generator=generator if spoofed else "-",
            architecture=vocoder if spoofed else "-",
            family=("vc" if challenge else FAMILIES.get(attack, "-")) if spoofed else "-",
            speaker=speaker,
            language="EN",
            codec=codec,
            licence=LICENCE,
        )
