"""Fixtures: the samples that ship with the repository, and the development corpora if present."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

# Nothing that was imported or tuned on this machine; nothing is made there unless a test does.
os.environ["EARWITNESS_MODELS"] = f"{tempfile.gettempdir()}/earwitness-tests-{os.getpid()}/models"
gc.set_threshold(50_000, 20, 20)  # or an eighth of the time goes into looking through torch for cycles


def pytest_collection_modifyitems(config, items):
    """Leave out what needs the development corpora where they are absent."""
    if SHARED.is_dir():
        return
    left_out = [item for item in items if "shared" in item.keywords]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if "shared" not in item.keywords]


@pytest.fixture(scope="session")
def samples() -> Path:
    return ROOT / "samples"


@pytest.fixture(scope="session")
def shared() -> Path:
    return SHARED


@pytest.fixture(scope="session")
def speech(samples) -> np.ndarray:
    """About ten seconds of genuine speech, (samples,)."""
    import soundfile

    return soundfile.read(samples / "genuine-librispeech.flac", dtype="float32")[0]


@pytest.fixture(scope="session")
def detector():
    from earwitness import load_detector

    return load_detector()


@pytest.fixture
def write(tmp_path, speech):
    """Write audio (frames, channels) or (frames,) through soundfile, not through our own code."""

    def write_file(name, audio=None, rate=16_000, **options):
        import soundfile

        path = tmp_path / name
        soundfile.write(path, speech[:64_000] if audio is None else audio, rate, **options)
        return path

    return write_file
