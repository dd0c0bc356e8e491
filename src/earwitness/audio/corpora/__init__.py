"""Corpora that can be prepared: one file each, with its provenance and licence on top.

A file holds `NAME` (the Dataset column), `LICENCE`, `SOURCE` (where it is published) and
`read(root) -> Iterator[Utterance]`.
"""

from importlib import import_module
from types import ModuleType

from earwitness.errors import InputError

# Name on the command line -> file here.
CORPORA: dict[str, str] = {
    "asvspoof2019-la": "asvspoof2019_la",
    "asvspoof2021-la": "asvspoof2021_la",
    "asvspoof2021-df": "asvspoof2021_df",
    "asvspoof5": "asvspoof5",
    "cfad": "cfad",
    "decro": "decro",
    "dfadd": "dfadd",
    "diffuse-or-confuse": "diffuse_or_confuse",
    "diffssd": "diffssd",
    "dsd": "dsd",
    "habla": "habla",
    "mlaad": "mlaad",
    "spoofceleb": "spoofceleb",
    "voicemos": "voicemos",
    "cvoicefake": "cvoicefake",
    "libritts": "libritts",
    "libritts-r": "libritts_r",
    "libritts-vocoded": "libritts_vocoded",
    "ljspeech": "ljspeech",
    "voxceleb2": "voxceleb2",
    "voxceleb2-vocoded": "voxceleb2_vocoded",
    "wavefake": "wavefake",
    "fleurs": "fleurs",
    "fleurs-r": "fleurs_r",
    "codecfake-wu": "codecfake_wu",
    "codecfake-xie": "codecfake_xie",
    "aishell3": "aishell3",
    "cnceleb2": "cnceleb2",
    "mls": "mls",
    "add2023": "add2023",
    "deep-voice": "deep_voice",
    "fake-or-real": "fake_or_real",
    "in-the-wild": "in_the_wild",
    "deepfake-eval-2024": "deepfake_eval_2024",
    "ai4t": "ai4t",
    "partialspoof": "partialspoof",
    "folder": "folder",
    "csv": "table",
    "demos": "demos",
    "packages": "packages",
}


def find_corpus(name: str) -> ModuleType:
    """The module of a corpus.

    Raises:
        InputError: `not-found`: no corpus has that name; the nearest ones are named.
    """
    from difflib import get_close_matches

    if name not in CORPORA:
        near = get_close_matches(name, CORPORA, 3) or sorted(CORPORA)
        raise InputError("not-found", f"no corpus is called {name!r}; perhaps {', '.join(near)}")
    return import_module(f"earwitness.audio.corpora.{CORPORA[name]}")
