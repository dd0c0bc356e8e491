"""How much of a clip a watermark, a codec or an attack has changed, as numbers and as heard.

Both clips are (samples,) at 16 kHz, the changed one first; nothing is aligned, `lag` says whether that is
needed. What is not defined (silence, clips too short) is nan and never a number, so that failures can be
counted; a change of nothing has an infinite ratio. SI-SNR does not see gain or sign, which is why it stands
beside SNR and `correlation`: below zero, polarity is turned over.

STOI: C. H. Taal et al., IEEE Trans. ASLP 19 (7), 2011, by pystoi. PESQ, wide band: ITU-T P.862.2, by pesq.
"""

import warnings
from importlib import import_module

import numpy as np

from earwitness.errors import InputError, needs_extra

SAMPLE_RATE = 16_000
SIZE, HOP = 512, 128  # frames of spectra, samples
FLOOR = 1e-5  # of the loudest bin of the clean clip: -100 dB
LONGEST_PESQ = 20 * SAMPLE_RATE  # the reference code holds 50 utterances and checks no more; each takes 0.4 s


def pair(marked: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 (samples,), if they can be compared.

    Raises:
        InputError: `bad-samples`: other lengths, not one channel, NaN or infinite; `no-samples`.
    """
    marked, clean = np.asarray(marked, np.float64), np.asarray(clean, np.float64)
    if marked.shape != clean.shape or marked.ndim != 1:
        raise InputError(
            "bad-samples",
            f"clips to compare have one shape (samples,), found {marked.shape} and {clean.shape}; "
            "cut both to the same stretch first",
        )
    if not len(marked):
        raise InputError("no-samples", "clips to compare hold no samples; leave them out")
    if not (np.isfinite(marked).all() and np.isfinite(clean).all()):
        raise InputError("bad-samples", "clips to compare hold NaN or infinite samples; leave them out")
    return marked, clean


def decibels(signal: float, rest: float) -> float:
    """Ratio of two energies in dB: inf without a rest, nan without a signal."""
    if not signal:
        return float("nan")
    return float("inf") if not rest else float(10 * (np.log10(signal) - np.log10(rest)))


def snr_db(marked: np.ndarray, clean: np.ndarray) -> float:
    """Energy of the clean clip over that of the difference, dB.

    Raises:
        InputError: as `pair`.
    """
    marked, clean = pair(marked, clean)
    return decibels(float(clean @ clean), float(np.sum(np.square(marked - clean))))


def si_snr_db(marked: np.ndarray, clean: np.ndarray) -> float:
    """Energy of what is the clean clip, scaled, over that of the rest, dB; without means.

    Neither gain nor sign matter (J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019).
    nan also where the clips have nothing in common.

    Raises:
        InputError: as `pair`.
    """
    marked, clean = pair(marked, clean)
    marked, clean = marked - marked.mean(), clean - clean.mean()
    energy = float(clean @ clean)
    if not energy:
        return float("nan")
    same = (marked @ clean) / energy * clean
    return decibels(float(same @ same), float(np.sum(np.square(marked - same))))


def correlation(marked: np.ndarray, clean: np.ndarray) -> float:
    """Cosine of the two clips, -1 to 1; below zero where polarity is turned over, nan for silence.

    Raises:
        InputError: as `pair`.
    """
    marked, clean = pair(marked, clean)
    size = np.linalg.norm(marked) * np.linalg.norm(clean)
    return float(np.clip(marked @ clean / size, -1, 1)) if size else float("nan")


def lag(marked: np.ndarray, clean: np.ndarray, reach: int = 3_200) -> int:
    """Samples by which the marked clip is late, from -reach to reach, by correlation of either sign.

    The smallest of those as good as each other; 0 for silence.

    Raises:
        InputError: as `pair`; `usage`: `reach` is below zero.
    """
    marked, clean = pair(marked, clean)
    if reach < 0:
        raise InputError("usage", f"a lag is looked for within 0 samples or more, found {reach}")
    reach = min(reach, len(clean) - 1)
    size = 1 << (len(clean) + reach).bit_length()
    spectrum = np.fft.rfft(marked, size) * np.conj(np.fft.rfft(clean, size))
    alike = np.abs(np.fft.irfft(spectrum, size))
    lags = np.array(sorted(range(-reach, reach + 1), key=abs))
    found = alike[lags % size]
    # rounding is not to decide between lags that are as good as each other
    return int(lags[np.argmax(found >= found.max() * (1 - 1e-9))])


def log_spectral_distance(marked: np.ndarray, clean: np.ndarray) -> float:
    """RMS difference of log spectra over frequency, dB, its mean over frames of 32 ms.

    Bins count as no quieter than 100 dB below the loudest of the clean clip; nan where that is silent.

    Raises:
        InputError: as `pair`.
    """
    marked, clean = pair(marked, clean)
    of_marked, of_clean = spectra(marked), spectra(clean)
    least = FLOOR * float(of_clean.max())
    if not least:
        return float("nan")
    apart = 20 * np.log10(np.maximum(of_marked, least) / np.maximum(of_clean, least))
    return float(np.sqrt(np.square(apart).mean(axis=1)).mean())


def spectra(audio: np.ndarray) -> np.ndarray:
    """Magnitudes (frames, bins) of whole frames; a shorter clip is one, with zeros behind it."""
    audio = np.pad(audio, (0, max(0, SIZE - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(audio, SIZE)[::HOP]
    return np.abs(np.fft.rfft(frames * np.hanning(SIZE + 1)[:-1]))


def stoi(marked: np.ndarray, clean: np.ndarray) -> float:
    """Short-time objective intelligibility, at most 1; nan with less than 0.4 s of sound.

    Raises:
        InputError: as `pair`.
        MissingExtra: pystoi is not installed.
    """
    marked, clean = pair(marked, clean)
    with needs_extra("perceptual"):
        package = import_module("pystoi")
    if not (marked.any() and clean.any()):
        return float("nan")
    with warnings.catch_warnings():
        # it warns, and returns a number, where too few frames are left
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(package.stoi(clean, marked, SAMPLE_RATE, extended=False))
        except (RuntimeWarning, ValueError, IndexError):
            return float("nan")


def pesq_wb(marked: np.ndarray, clean: np.ndarray) -> float:
    """Wide-band PESQ as a mean opinion score, about 1 to 4.64; nan where it finds no utterance.

    It does not see gain or sign either.

    Raises:
        InputError: as `pair`; `too-long`: over 20 s, where its reference code writes past its tables.
        MissingExtra: pesq is not installed.
    """
    marked, clean = pair(marked, clean)
    if len(clean) > LONGEST_PESQ:
        seconds = len(clean) / SAMPLE_RATE
        raise InputError("too-long", f"PESQ takes clips of up to 20 s, found {seconds:.1f} s; cut both first")
    with needs_extra("perceptual"):
        package = import_module("pesq")
    if not (marked.any() and clean.any()):
        return float("nan")
    found = package.pesq(SAMPLE_RATE, clean, marked, "wb", on_error=package.PesqError.RETURN_VALUES)
    return float(found) if found > 0 else float("nan")  # codes of errors are below zero
