"""A made-up verdict record and its file: a tone of four seconds."""

import hashlib
import math

import numpy as np

from earwitness.audio.io import to_wav
from earwitness.evidence.report import FileFacts, build

SECONDS = 4
LLR = -math.log(64)  # 64 to 1 for synthetic speech
VERSIONS = {"earwitness": "9.9", "numpy": "2"}
EVIL = '<b>&"\x00</script><script>alert(1)</script>\u202e' + "x" * 10_000


def tone():
    """Louder from second to second, (samples,)."""
    times = np.arange(SECONDS * 16_000) / 16_000
    return (0.2 * np.ceil(times + 1e-9) * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def write_tone(path):
    path.write_bytes(to_wav(tone(), 16_000))
    return path


def record_of(path, **changes):
    """A record as `earwitness scan --json --timeline` prints it."""
    p_fake = 1 / (1 + math.exp(LLR))
    windows = [{"start_s": 0.0, "end_s": 4.0, "score": -1.2, "llr": LLR}]
    return {
        "schema": 1,
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "duration_s": 4.0,
        "sample_rate": 16_000,
        "channels": 1,
        "codec": "pcm_f32le",
        "model": {"name": "made-up", "version": "3", "digest": "d" * 64},
        "verdict": "fake",
        "score": -1.2,
        "llr": LLR,
        "p_fake": round(p_fake, 6),
        "prior": 0.5,
        "thresholds": {"fake": 0.9, "genuine": 0.1},
        "calibrated": True,
        "rule": "p_fake 0.985 >= 0.900",
        "quality": {
            "duration_s": 4.0,
            "speech_s": 3.5,
            "level_dbfs": -20.0,
            "peak_dbfs": -1.0,
            "clipped": 0.0,
            "digital_silence": 0.0,
            "bandwidth_hz": 8000.0,
        },
        "windows": windows,
        "spans": [{"start_s": 1.0, "end_s": 2.5, "p_fake": 0.95}],
        "worst": {"start_s": 1.0, "end_s": 2.5, "p_fake": 0.96},
        "warnings": [],
        "error": None,
        "timeline": {"step_s": 0.5, "p_fake": [None, 0.5, 0.95, 0.96, 0.94, 0.3, 0.2, 0.1]},
        **changes,
    }


CARD = {
    "name": "made-up",
    "version": "3",
    "files": {"model.onnx": "d" * 64},
    "thresholds": {"fake": 0.9, "genuine": 0.1},
    "windowing": {},
    "input": {},
    "output": {},
    "calibration": {"fitted_on": "held-out pages"},
    "training": {"genuine": 1234, "fake": 567, "hours": 8.5},
    "metrics": {
        "eer": {"value": 0.125, "low": 0.1, "high": 0.15},
        "cllr_bit": {"value": 0.5, "low": 0.4, "high": 0.6},
        "genuine_recordings_called_fake": {"value": 0.0321, "low": 0.01, "high": 0.05},
        "subgroups": [
            {"by": "codec", "name": "PCM_F32LE", "eer": {"value": 0.0777, "low": 0.05, "high": 0.1}},
            {"by": "codec", "name": "opus", "eer": {"value": 0.3456, "low": 0.3, "high": 0.4}},
            {"by": "length", "name": "4 to 8 s", "eer": {"value": 0.2222, "low": 0.2, "high": 0.25}},
        ],
    },
    "limits": ["Only tones."],
}


def made(record, pictures=(), credentials=None, card=CARD, **facts):
    """The report of a record, by version 9.9."""
    return build(record, FileFacts(**facts), card, pictures, credentials, VERSIONS)
