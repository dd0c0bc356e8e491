"""The gate before scoring: is there speech, and in what state is the recording?

Detectors answer anything, white noise too (MMS-300M calls it genuine with P = 0.96), so what
holds no speech is turned away before. Level, clipping, bandwidth and digital silence are measured
here.
"""

import numpy as np

from earwitness.audio.speech import CHUNK, SAMPLE_RATE, SpeechFinder
from earwitness.types import Failure, Quality

SEGMENT = 128  # chunks, 4.1 s: the stretch whose level is evened out before VAD
MIN_SPEECH_S = 0.5
MARGIN_S = 0.25  # kept before the first and after the last speech of a clip
SPEECH_P = 0.5
QUIET_DBFS, RAISED_DBFS, MAX_GAIN = -30.0, -20.0, 300.0  # VAD loses speech from -65 dBFS down
SILENT = 1e-5  # amplitude; -100 dBFS, under the last bit of 16


class QualityMeter:
    """Fed with blocks in order; memory grows by two bytes for 32 ms of audio."""

    def __init__(self) -> None:
        self.finder = SpeechFinder()
        self.rest = np.zeros(0, np.float32)
        self.speech = bytearray()  # 1 per chunk with speech
        self.silent = bytearray()  # 1 per chunk of digital silence
        self.samples = self.clipped = 0
        self.peak = self.energy = self.speech_energy = 0.0
        self.spectrum = np.zeros(CHUNK // 2 + 1)

    def update(self, block: np.ndarray) -> None:
        """Take the next (samples,) of float32 mono 16 kHz."""
        self.samples += len(block)
        self.rest = np.concatenate([self.rest, block])
        size = SEGMENT * CHUNK
        while len(self.rest) >= size:
            self._measure(self.rest[:size])
            self.rest = self.rest[size:]

    def finish(self) -> Quality:
        """Measure what is left and sum up."""
        if len(self.rest):
            self._measure(np.pad(self.rest, (0, -len(self.rest) % CHUNK), mode="edge"))
            self.rest = self.rest[:0]
        speech_chunks = self.speech.count(1)
        energy, count = (
            (self.speech_energy, speech_chunks * CHUNK) if speech_chunks else (self.energy, self.samples)
        )
        return Quality(
            duration_s=self.samples / SAMPLE_RATE,
            speech_s=min(speech_chunks * CHUNK, self.samples) / SAMPLE_RATE,
            level_dbfs=decibels(energy / max(count, 1)) if count else -200.0,
            peak_dbfs=decibels(self.peak**2),
            clipped=self.clipped / max(self.samples, 1),
            digital_silence=self.silent.count(1) / max(len(self.silent), 1),
            bandwidth_hz=bandwidth(self.spectrum),
        )

    def speech_between(self, start: int, end: int) -> float:
        """Seconds of speech measured in samples [start, end)."""
        return self.speech.count(1, start // CHUNK, -(-end // CHUNK)) * CHUNK / SAMPLE_RATE

    def spoken_part(self) -> tuple[int, int]:
        """First and last sample of what holds speech, with up to `MARGIN_S` around; all where none does.

        Nobody speaks in the pauses before and after, yet they would move a score; digital silence most.
        """
        first, last = self.speech.find(1), self.speech.rfind(1)
        if first < 0:
            return 0, self.samples
        margin = int(MARGIN_S * SAMPLE_RATE)
        start = max((self.silent.rfind(1, 0, first) + 1) * CHUNK, first * CHUNK - margin)
        after = self.silent.find(1, last)
        end = after * CHUNK if after >= 0 else self.samples
        return start, min(end, self.samples, (last + 1) * CHUNK + margin)

    def speaking(self, step_s: float) -> list[bool]:
        """Whether a tenth or more of each step of `step_s` seconds is speech."""
        spoken = np.frombuffer(bytes(self.speech), np.uint8)
        steps = (np.arange(len(spoken)) * CHUNK / SAMPLE_RATE / step_s).astype(int)
        return [bool(n * CHUNK / SAMPLE_RATE >= 0.1 * step_s) for n in np.bincount(steps, spoken)]

    def _measure(self, audio: np.ndarray) -> None:
        chunks = audio.reshape(-1, CHUNK)
        low, high = chunks.min(axis=1), chunks.max(axis=1)
        chunks = chunks - audio.mean()  # an offset is no level, and hides quiet speech
        energy = np.einsum("cs,cs->c", chunks, chunks, dtype=np.float64)
        silent = high - low < SILENT
        speech = np.zeros(len(chunks), bool)
        if not silent.all():
            speech = self._find_speech(chunks, energy) & ~silent
            heard = chunks[speech] if speech.any() else chunks[~silent]
            self.spectrum += (np.abs(np.fft.rfft(heard * np.hanning(CHUNK))) ** 2).sum(axis=0)
            self.clipped += clipped_samples(audio)
        else:
            self.finder.forget()
        self.speech += speech.tobytes()
        self.silent += silent.tobytes()
        self.energy += float(energy.sum())
        self.speech_energy += float(energy[speech].sum())
        self.peak = max(self.peak, float(high.max()), -float(low.min()))

    def _find_speech(self, chunks: np.ndarray, energy: np.ndarray) -> np.ndarray:
        ranked = np.sort(energy)  # np.percentile imports numpy.ma, 15 ms
        loud = np.interp(0.95 * (len(ranked) - 1), np.arange(len(ranked)), ranked)
        level = decibels(float(loud) / CHUNK)
        gain = min(10 ** ((RAISED_DBFS - level) / 20), MAX_GAIN) if level < QUIET_DBFS else 1.0
        heard = np.clip(chunks * np.float32(gain), -1, 1)
        return self.finder.probabilities(heard) >= SPEECH_P


def decibels(power: float) -> float:
    """10 log10, floored at -200 dB."""
    return float(10 * np.log10(max(power, 1e-20)))


def clipped_samples(audio: np.ndarray) -> int:
    """Samples in runs of three or more at the same value within 1 dB of full scale or above."""
    rail = (np.abs(audio) >= 0.89) & np.append(np.diff(audio) == 0, False)
    return int((rail[1:] & rail[:-1]).sum()) + int(rail.any())


def bandwidth(spectrum: np.ndarray) -> int:
    """Highest frequency in Hz whose power is within 60 dB of the peak; 0 for silence."""
    if not spectrum.max() > 0:
        return 0
    above = np.flatnonzero(spectrum >= spectrum.max() * 1e-6)
    return int(above[-1] * SAMPLE_RATE / CHUNK)


def refuse(quality: Quality) -> Failure | None:
    """Why a recording must not be scored, or None."""
    if quality.speech_s >= MIN_SPEECH_S:
        return None
    found = f"{quality.speech_s:.2f} s of speech in {quality.duration_s:.2f} s"
    if quality.duration_s < MIN_SPEECH_S:
        return Failure("too-short", f"{quality.duration_s:.2f} s long, {MIN_SPEECH_S} s of speech needed")
    if quality.digital_silence > 0.99 or quality.peak_dbfs < -80:
        return Failure("silence", f"silent (peak {quality.peak_dbfs:.0f} dBFS): nobody to judge")
    return Failure("no-speech", f"{found}, {MIN_SPEECH_S} s needed; noise, tones, music are not judged")


def warn(quality: Quality) -> list[str]:
    """What makes a score less certain."""
    warnings = []
    if quality.speech_s < 2.0:
        warnings.append(f"only {quality.speech_s:.1f} s of speech: a short look")
    if quality.clipped > 0.001:
        warnings.append(f"clipped: {100 * quality.clipped:.1f} % of samples at the rail")
    if 0 < quality.bandwidth_hz < 3_600:
        warnings.append(f"narrow band: nothing above {quality.bandwidth_hz} Hz, as from a telephone")
    if quality.level_dbfs < -50:
        warnings.append(f"very quiet: speech at {quality.level_dbfs:.0f} dBFS")
    return warnings
