"""What comes before scoring, on one core: decoding of each format and the speech check; and scoring."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.errors import EarwitnessError
from earwitness.operations.bench_apart import apart, cpu_times
from earwitness.operations.bench_audio import FORMATS, speech_of, write_format
from earwitness.operations.bench_setup import Setup, Step

AUDIO_S = 30.0
CLIP_S = 5.0
TURNS = 20  # of one thread and of several, one after the other


def measure(setup: Setup, found: dict[str, Any], step: Step) -> None:
    """Fill `decoding`, a row for each format, `speech_check` and `scoring`.

    A core that decodes and checks feeds `feeds_cores` that score: decoding keeps ahead where that is more
    than one.

    Raises:
        Unmeasured: the model cannot be used.
    """
    audio = speech_of(setup.audio, AUDIO_S)
    clip = setup.work / "thirty.npy"
    np.save(clip, audio)
    seconds = 1.0 if setup.quick else 4.0
    rows: dict[str, dict[str, Any]] = {}
    found["decoding"] = rows
    for kind, (_, encoder, rate, channels, _) in FORMATS.items():
        step(f"decoding: {kind}")
        file = setup.work / f"thirty.{kind}"
        row: dict[str, Any] = {"of": f"{encoder}, {rate} Hz, {'stereo' if channels == 2 else 'mono'}"}
        try:
            write_format(file, audio)
            row["kbit_s"] = file.stat().st_size * 8 / AUDIO_S / 1000
            row["times_real_time_a_core"] = apart("bench_stages:decoded", file=str(file), seconds=seconds)
        except EarwitnessError as error:
            row["why"] = setup.plain(error)
        rows[kind] = row
    step("decoding: speech check and scoring")
    check = apart("bench_stages:checked", file=str(clip), seconds=seconds)
    found["speech_check"] = {"times_real_time_a_core": check}
    found["scoring"] = apart("bench_stages:scored", file=str(clip), model=str(setup.folder), seconds=seconds)
    for row in rows.values():
        if "why" not in row:
            row |= ahead(row["times_real_time_a_core"], check, found["scoring"]["times_real_time_a_core"])


def ahead(decoding: float, check: float, scoring: float) -> dict[str, Any]:
    """How decoding and the speech check on one core stand to scoring on one; all times real time."""
    before = 1 / (1 / decoding + 1 / check)
    return {"feeds_cores": before / scoring, "keeps_ahead": before > scoring}


def decoded(file: str, seconds: float) -> float:
    """Times real time of decoding a file to 16 kHz mono; the file has been read before."""
    from earwitness.audio.io import load

    audio_s = len(load(Path(file))) / SAMPLE_RATE
    return audio_s / median(cpu_times([lambda: load(Path(file))], seconds)[0])


def checked(file: str, seconds: float) -> float:
    """Times real time of the speech check."""
    from earwitness.audio.quality import QualityMeter

    audio = np.load(file)

    def check() -> None:
        meter = QualityMeter()
        meter.update(audio)
        meter.finish()

    check()
    return len(audio) / SAMPLE_RATE / median(cpu_times([check], seconds)[0])


def scored(file: str, model: str, seconds: float) -> dict[str, Any]:
    """Times real time of scoring clips one at a time by the engine that a scan would take."""
    from earwitness.decision.detector import load_detector
    from earwitness.decision.scoring import score_clips

    detector = load_detector(model, 1)
    clip = np.load(file)[: round(CLIP_S * SAMPLE_RATE)]
    score_clips(detector, [clip])
    spent = median(cpu_times([lambda: score_clips(detector, [clip])], seconds)[0])
    by = f"{detector.engine} {detector.precision}"
    return {"times_real_time_a_core": CLIP_S / spent, "by": by, "clip_s": CLIP_S}


def side_by_side(file: str, model: str, counts: list[int]) -> dict[str, float]:
    """How much more of scoring alone several threads do than one, by their number: no scan can gain more.

    One thread and several in turn, for what else the machine does changes from second to second.
    """
    from earwitness.decision.detector import Detector, load_detector
    from earwitness.decision.scoring import score_clips

    clip = np.load(file)[: round(CLIP_S * SAMPLE_RATE)]

    def turn(detector: Detector, pool: ThreadPoolExecutor, threads: int) -> float:
        begun = time.perf_counter()
        list(pool.map(lambda _: [score_clips(detector, [clip]) for _ in range(4)], range(threads)))
        return time.perf_counter() - begun

    found = {}
    for count in counts:
        detector = load_detector(model, 1, clips_at_a_time=count)
        with ThreadPoolExecutor(count) as pool:
            turn(detector, pool, count)
            times = [(turn(detector, pool, 1), turn(detector, pool, count)) for _ in range(TURNS)]
        found[str(count)] = median(count * one / several for one, several in times)
    return found
