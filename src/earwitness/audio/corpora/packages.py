"""packages: speech found in or made by software packages, that the embedded model was trained on.

- Publisher: none; collected for earwitness, not shipped: recorded prompts of telephone software, games and
  the like, and offline text-to-speech engines. The licence of each clip is in its manifest.
- Size: 970 genuine and 981 fake clips, of 26 engines.
- Expected in ROOT: `manifest.csv`, and the audio it names.
- Labels: a header with at least the columns below; `label` real or fake, `system` the recording set or engine
  (`group` here), `parent_id` of a fake the genuine clip that it was made from or whose text it speaks,
  `channel` the codec that it was stored with. Genuine clips of family codec went through ordinary codecs.
"""

from collections.abc import Iterator
from pathlib import Path

from earwitness.audio.corpora.demos import number
from earwitness.audio.corpora.layout import need, rows_of
from earwitness.audio.corpora.trials import inside, is_bona_fide
from earwitness.audio.protocol import Utterance

NAME = "packages"
LICENCE = "per clip"
SOURCE = "-"

COLUMNS = "id path label system family speaker licence duration_s".split()


def read(root: Path) -> Iterator[Utterance]:
    """All clips; `group` is the recording set or engine.

    Raises:
        InputError: `bad-corpus`: there is no manifest, or a row of it is none.
    """
    path = need(root, "manifest.csv")
    for row in rows_of(path, COLUMNS):
        bona_fide = is_bona_fide(row["label"], path, row["id"], "real", "fake")
        system = "-" if bona_fide else row["system"] or "-"
        yield Utterance(
            id=row["id"],
            path=inside(root, row["path"], path),
            bona_fide=bona_fide,
            dataset=NAME,
            generator=system,
            architecture=system,
            family="-" if row["family"] in ("", "none") else row["family"],
            speaker=row["speaker"] or "-",
            language=row.get("language", "").upper() or "-",
            source=row.get("parent_id") or row["id"],
            text=row.get("text") or "-",
            codec=row.get("channel") or "-",
            group=row["system"],
            duration_s=number(row, "duration_s", path),
            licence=row["licence"] or "-",
        )
