"""Watermarks that packages bring: Perth, with its weights, and AudioSeal, which fetches them from a hub.

Both need torch. AudioSeal's weights are read by its own package, which would unpickle whatever it fetched: it
is held to tensors, and what needs more is refused.
"""

import contextlib
import hashlib
import importlib.util
import io
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

from earwitness.errors import MissingExtra, ModelError, needs_extra
from earwitness.evidence.watermark import Presence, Scheme, Window

PERTH_RATE, AUDIOSEAL_RATE = 32_000, 16_000  # Hz
PERTH_NEEDS = ("torch", "torchaudio", "librosa", "scipy", "yaml")  # its own metadata name none
PERTH_LEAST = PERTH_RATE // 2  # samples; shorter clips are padded
# By `fit_presence` on the first 10 s of 507 recordings without a mark: 300 genuine and 200 generated ones
# drawn with seed 0, half from each of the two development corpora, and seven samples. The highest has 1.8,
# and of 51 that were marked the lowest 4.9. (By the package's own rule, beyond 0, 6 of the 507 look marked.)
PERTH_PRESENCE = Presence(threshold=1.473, tail=0.566, false_alarm=0.001)
AUDIOSEAL_BITS = 16
AUDIOSEAL_PRESENCE = Presence(threshold=0.0, tail=1.0, false_alarm=0.01)  # assumed, see UNMEASURED
TENSORS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
SURE = 8.0  # log-odds beyond which a moment counts no more

# Of what `earwitness watermark list` shows: the packages, what it is, its licence.
PACKAGES = {
    "perth": (("perth", *PERTH_NEEDS, "pkg_resources"), "says that there is a mark, not whose", "MIT"),
    "audioseal": (("audioseal", "torch"), "16 bits of your choice, and where they are", "MIT"),
}
UNMEASURED = {"audioseal": "its threshold and chance are assumed, not measured on unmarked speech here"}


def perth(threads: int = 0) -> Scheme:
    """Resemble AI's Perth: one mark that all who use it share. `threads`, if any, are set for all of torch.

    Raises:
        MissingExtra: a package that it needs is absent.
        ModelError: it cannot be loaded.
    """
    maker = perth_maker()
    import torch

    if threads:
        torch.set_num_threads(threads)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
        watermarker = maker()
    network = watermarker.perth_net

    def residual(host: np.ndarray, message: np.ndarray) -> np.ndarray:
        padded = at_least(host, PERTH_LEAST)
        with torch.inference_mode():
            marked = np.asarray(watermarker.apply_watermark(padded, PERTH_RATE), np.float32)[: len(host)]
        return np.pad(marked - host[: len(marked)], (0, len(host) - len(marked)))

    def read(audio: np.ndarray) -> Window:
        # Log-odds of what `get_watermark` gives before it is rounded to 0 or 1; not a number is silence.
        with torch.inference_mode():
            magnitude, _ = network.ap.signal_to_magphase(torch.from_numpy(at_least(audio, PERTH_LEAST)))
            found = network.decoder(magnitude[None]).numpy()
        nothing = np.zeros(0, np.float32)
        return Window(float(log_odds(np.nan_to_num(found, nan=0.0))[0]), nothing, nothing)

    nobody = np.zeros((1, 0), np.float32)
    return Scheme(
        "perth", weights_digest(network), PERTH_RATE, (), nobody, None, 0, PERTH_PRESENCE, residual, read
    )


def perth_maker() -> Callable[[], Any]:
    """The class that marks; the package sets it to None, without a word, where an import fails.

    Raises:
        MissingExtra: a package that it needs is absent.
        ModelError: it cannot be loaded.
    """
    try:
        with needs_extra("perth"):
            package = import_module("perth")
    except OSError as error:  # a torchaudio of another torch
        why = f"are torch and torchaudio a pair? ({error!s:.120})"
        raise ModelError(f"resemble-perth cannot be loaded; {why}") from None
    maker = getattr(package, "PerthImplicitWatermarker", None)
    if maker is not None:
        return maker
    for name in PERTH_NEEDS:
        if not installed(name):
            raise MissingExtra(name, "perth")
    raise ModelError(
        "resemble-perth cannot be loaded, most likely for want of pkg_resources, which newer setuptools "
        "lack: pip install 'setuptools<80'"
    )


def installed(package: str) -> bool:
    """Whether a package could be imported; it is not."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # loaded by other means than from files
        return True


def audioseal(threads: int = 0) -> Scheme:
    """Meta's AudioSeal: sixteen bits say what one likes. `threads`, if any, are set for all of torch.

    Raises:
        MissingExtra: a package that it needs is absent.
        ModelError: its weights could not be had.
    """
    with needs_extra("audioseal"):
        import torch

        package = import_module("audioseal")
    if threads:
        torch.set_num_threads(threads)
    try:
        with contextlib.redirect_stdout(io.StringIO()), tensors_only():
            generator = package.AudioSeal.load_generator("audioseal_wm_16bits").eval()
            detector = package.AudioSeal.load_detector("audioseal_detector_16bits").eval()
    except Exception as error:  # no network, no hub, no access, another version: of many libraries
        raise ModelError(
            f"AudioSeal's weights could not be fetched, or hold more than tensors ({type(error).__name__}): "
            "open it once where the hub is reached, and copy that machine's folder audioseal in "
            "$AUDIOSEAL_CACHE_DIR, $XDG_CACHE_HOME or ~/.cache to the same place here"
        ) from None

    def residual(host: np.ndarray, message: np.ndarray) -> np.ndarray:
        audio = torch.from_numpy(at_least(host, AUDIOSEAL_RATE // 2))[None, None]
        bits = torch.from_numpy((message > 0).astype(np.int64))[None]
        with torch.inference_mode():
            added = generator.get_watermark(audio, sample_rate=AUDIOSEAL_RATE, message=bits)
        return added[0, 0, : len(host)].numpy().astype(np.float32)

    def read(audio: np.ndarray) -> Window:
        with torch.inference_mode():
            result, message = detector(torch.from_numpy(at_least(audio, AUDIOSEAL_RATE // 2))[None, None])
        where = log_odds(result[0, 1].numpy())[: max(1, len(audio))]
        return Window(float(where.mean()), log_odds(message[0].numpy()), where)

    none = np.zeros((0, AUDIOSEAL_BITS), np.float32)
    digest = weights_digest(generator, detector)
    return Scheme("audioseal", digest, AUDIOSEAL_RATE, (), none, none, 1, AUDIOSEAL_PRESENCE, residual, read)


@contextlib.contextmanager
def tensors_only() -> Iterator[None]:
    """While this lasts, torch reads tensors and plain values, whatever it is asked for."""
    before = os.environ.get(TENSORS_ONLY)
    os.environ[TENSORS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[TENSORS_ONLY]
        else:
            os.environ[TENSORS_ONLY] = before


def at_least(audio: np.ndarray, samples: int) -> np.ndarray:
    """Audio (samples,), padded with zeros to be no shorter."""
    return np.pad(audio, (0, max(0, samples - len(audio)))).astype(np.float32)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, within `SURE`; of what is no number, 0."""
    within = np.clip(np.nan_to_num(probability.astype(float), nan=0.5), 1e-9, 1 - 1e-9)
    return np.clip(np.log(within) - np.log1p(-within), -SURE, SURE).astype(np.float32)


def weights_digest(*networks: Any) -> str:
    """SHA-256 of the weights of networks."""
    found = hashlib.sha256()
    for network in networks:
        for name, value in network.state_dict().items():
            found.update(name.encode())
            found.update(value.cpu().numpy().tobytes())
    return found.hexdigest()


OPENERS: dict[str, Callable[[int], Scheme]] = {"perth": perth, "audioseal": audioseal}
