"""The watermark inside, on real speech: found and named where it was put, and nowhere else."""

import numpy as np
import pytest
import soundfile

from earwitness.audio.augment.distortions import distort
from earwitness.evidence.origin import found_mark
from earwitness.evidence.watermark import embed, listen
from earwitness.evidence.watermark_bundle import open_scheme, shipped

RATE = 16_000
CLIPS = (
    "generated-style-melgan.flac",
    "generated-tortoise.flac",
    "generated-vocos-bark.flac",
    "genuine-librispeech.flac",
    "genuine-ljspeech.flac",
)


@pytest.fixture(scope="module")
def scheme():
    return open_scheme("timbre")


@pytest.fixture(scope="module", params=CLIPS)
def clip(request, samples):
    return soundfile.read(samples / request.param, dtype="float32")[0][: 8 * RATE]


def name_of(scheme, audio):
    found = found_mark(scheme, listen(scheme, audio, RATE))
    return found.name if found.marked else None


def test_it_is_found_and_named_cut_and_through_codecs(scheme, clip):
    for number in (0, 7):
        marked = embed(scheme, clip, RATE, scheme.messages[number])
        rng = np.random.default_rng(0)
        for heard in (marked, marked[16_123:], *(distort(marked, how, rng) for how in ("mp3-64k", "phone"))):
            assert name_of(scheme, heard) == scheme.names[number]


def test_unmarked_speech_has_none(scheme, clip):
    assert name_of(scheme, clip) is None


def test_it_lies_far_under_the_speech_and_keeps_its_sign(scheme, clip):
    marked = embed(scheme, clip, RATE, scheme.messages[3])
    added = marked - clip
    assert 15 < 10 * np.log10(np.mean(clip**2) / np.mean(added**2)) < 27
    assert np.dot(marked, clip) > 0.98 * np.linalg.norm(marked) * np.linalg.norm(clip)


def test_it_is_small():
    sizes = [file.stat().st_size for folder in shipped().values() for file in folder.iterdir()]
    assert 0 < sum(sizes) <= 1e6
