"""Open a watermark: a folder with its card and graphs, the one that ships, or one that a package brings.

A folder holds `watermark.json`, `generator.onnx`, `reader.onnx` and `messages.npy`, the latter three by the
digests of the card; nothing else is read, and nothing in them is executed but what ONNX Runtime knows. Graphs
take one clip. Waveforms are at 16 kHz, magnitudes those of `spectra.stft(audio, 1024, 256)`, bins first.

  kind         generator                             reader
  fakemark-a   host, message -> proposed             waveform -> marked, says
  audioseal    host, message -> proposed             waveform -> marked (a value a sample), says
  fakemark-t   magnitude, message -> factor          waveform -> marked, says
  timbre       magnitude, message -> factor          magnitude -> says
"""

import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earwitness.audio.io import SAMPLE_RATE
from earwitness.audio.synthesis.spectra import istft, stft
from earwitness.decision.bundle import NAME, check_file, file_digest, read_json
from earwitness.decision.engines import open_session, outside
from earwitness.errors import ModelError
from earwitness.evidence import watermark_adapters as adapters
from earwitness.evidence.shaping import shaped
from earwitness.evidence.watermark import Presence, Scheme, Window

CARD, GENERATOR, READER, MESSAGES = "watermark.json", "generator.onnx", "reader.onnx", "messages.npy"
SHIPPED = Path(__file__).parents[1] / "models" / "watermarks"
ADDED = ("fakemark-a", "audioseal")  # kinds whose generator proposes a residual
SIGNED = ("fakemark-a", "fakemark-t")  # kinds whose reader says names
KINDS = ("fakemark-a", "fakemark-t", "audioseal", "timbre")
HOP = 320  # samples from one value of presence to the next
SIZE, STEP = 1024, 256  # of magnitudes
SURE = 8.0  # log-odds beyond which a moment counts no more
LEAST = SAMPLE_RATE // 2  # samples; shorter clips are padded before they are read
MOST_NAMES, MOST_NUMBERS = 4_096, 1 << 22
PRESENCE = ("threshold", "tail", "false_alarm")
FIELDS = {
    **dict.fromkeys(("name", "version", "kind", "licence"), str),
    "schema": int,
    "names": list,
    "bits": list | None,
    "presence": dict,
    "files": dict,
}

Graph = Callable[..., list[np.ndarray]]
Residual = Callable[[np.ndarray, np.ndarray], np.ndarray]  # host, message -> what is added
FACTORS = {"gain": (0.1, 10.0), "scale": (0.1, 100.0)}  # of what is added; of bits that are read


@dataclass(frozen=True)
class Offer:
    """A watermark that `open_scheme` knows."""

    name: str
    at_hand: bool
    what: str
    licence: str
    needs: str = ""  # the extra to install, where it is not at hand
    note: str = ""


def open_scheme(place: str | os.PathLike, threads: int = 1) -> Scheme:
    """The watermark of that name, or in that folder. `threads` are those of its networks.

    Names are those that ship, `perth` and `audioseal`; a folder of the same name is `./NAME`.

    Raises:
        ModelError: there is none, or it is incomplete, altered or of another kind.
        MissingExtra: a package that it needs is absent.
    """
    name = str(place)
    if name in adapters.OPENERS:
        return adapters.OPENERS[name](threads)
    ships = shipped()
    if name in ships:
        return open_folder(ships[name], threads)
    folder = Path(place)
    if (folder / CARD).is_file():
        return open_folder(folder, threads)
    if folder.is_dir():
        raise ModelError(f"{folder}: holds no {CARD}; a watermark is a folder with one, or a name")
    raise ModelError(f"{name}: no such watermark; `earwitness watermark list` shows what is at hand")


def list_schemes() -> list[Offer]:
    """What ships, then what packages bring; nothing heavy is imported."""
    found = []
    for name, folder in shipped().items():
        try:
            card = read_scheme_card(folder)
            what = f"{card['kind']}, names {len(card['names'])}"
            found.append(Offer(name, True, what, card["licence"]))
        except ModelError as error:
            found.append(Offer(name, False, "damaged", "", "", str(error)))
    for name, (packages, what, licence) in adapters.PACKAGES.items():
        there = all(map(adapters.installed, packages))
        note = adapters.UNMEASURED.get(name, "")
        found.append(Offer(name, there, what, licence, "" if there else name, note))
    return found


def shipped() -> dict[str, Path]:
    """Folders of the package that hold a watermark, by name."""
    return {card.parent.name: card.parent for card in sorted(SHIPPED.glob(f"*/{CARD}"))}


def open_folder(folder: Path, threads: int = 1) -> Scheme:
    """The watermark in a folder.

    Raises:
        ModelError: a file is missing or altered, or of another kind than the card says.
    """
    card = read_scheme_card(folder)
    kind = card["kind"]
    graphs = {name: check_file(folder, card, name) for name in (GENERATOR, READER)}
    messages = read_messages(check_file(folder, card, MESSAGES), len(card["names"]))
    bits = None if card["bits"] is None else np.array(card["bits"], np.float32)
    words = np.zeros((0, len(messages))) if bits is None else bits
    takes, gives = ("host", "proposed") if kind in ADDED else ("magnitude", "factor")
    generator = open_graph(graphs[GENERATOR], {takes, "message"}, [gives], threads)
    sees = "magnitude" if kind == "timbre" else "waveform"
    says = ["says"] if kind == "timbre" else ["marked", "says"]
    reader = open_graph(graphs[READER], {sees}, says, threads)
    return Scheme(
        name=card["name"],
        digest=file_digest(folder / CARD),  # which holds those of the files
        sample_rate=SAMPLE_RATE,
        names=tuple(card["names"]),
        messages=messages,
        bits=bits,
        step={"timbre": 0, "audioseal": 1}.get(kind, HOP),
        presence=Presence(**{key: float(card["presence"][key]) for key in PRESENCE}),
        residual=louder(added_by(generator) if kind in ADDED else multiplied_by(generator), gain_of(card)),
        read=read_bits(reader, words, float(card.get("scale", 1.0)))
        if kind == "timbre"
        else read_marks(reader, kind, words.shape[1]),
    )


def read_scheme_card(folder: Path) -> dict[str, Any]:
    """The card of a watermark.

    Raises:
        ModelError: it is missing, not JSON, or says what cannot be.
    """
    path = folder / CARD
    card = read_json(path)
    missing = sorted(set(FIELDS) - set(card)) if isinstance(card, dict) else sorted(FIELDS)
    if missing:
        raise ModelError(f"{path}: the card lacks {', '.join(missing)}")
    for name, kind in FIELDS.items():
        if not isinstance(card[name], kind):
            raise ModelError(f"{path}: the card's {name} is a {type(card[name]).__name__}")
    if card["schema"] != 1 or card["kind"] not in KINDS:
        what = f"schema {card['schema']}, kind {card['kind']!r:.40}"
        raise ModelError(f"{path}: {what}; known are schema 1 and {', '.join(KINDS)}; update earwitness")
    names, bits = card["names"], card["bits"]
    plain = all(isinstance(name, str) and 0 < len(name) <= 200 for name in names)
    if not plain or not 1 <= len(names) <= MOST_NAMES or len(set(names)) < len(names):
        raise ModelError(f"{path}: expected 1 to {MOST_NAMES:,} names, each once, of 1 to 200 letters")
    if (bits is None) != (card["kind"] in SIGNED):
        raise ModelError(f"{path}: codewords (`bits`) are there exactly for audioseal and timbre")
    if bits is not None and not words_fit(bits, len(names)):
        raise ModelError(f"{path}: `bits` are no words of -1 and 1, as long as each other, one a name")
    if not presence_fits(card["presence"]):
        raise ModelError(
            f"{path}: `presence` needs a threshold, a positive tail, a false alarm within (0, 1)"
        )
    for name, (least, most) in FACTORS.items():
        factor = card.get(name, 1.0)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not least <= factor <= most:
            raise ModelError(f"{path}: `{name}` is no number from {least} to {most}")
    digests = card["files"]
    if not set(digests) >= {GENERATOR, READER, MESSAGES} or not NAME.fullmatch(card["name"]):
        raise ModelError(f"{path}: lacks digests of {GENERATOR}, {READER}, {MESSAGES}, or has no plain name")
    return card


def words_fit(bits: list[Any], names: int) -> bool:
    """Whether these are words of -1 and 1, one a name."""
    if len(bits) != names or not all(isinstance(word, list) and len(word) == len(bits[0]) for word in bits):
        return False
    if not 1 <= len(bits[0]) <= MOST_NAMES:
        return False
    return all(type(bit) in (int, float) and bit in (-1, 1) for word in bits for bit in word)


def presence_fits(found: dict[str, Any]) -> bool:
    """Whether scores of unmarked windows are described."""
    values = [found.get(key) for key in PRESENCE]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        return False
    return found["tail"] > 0 and 0 < found["false_alarm"] < 1


def read_messages(path: Path, names: int) -> np.ndarray:
    """Messages (names, size) float32 of a file in NumPy's format; objects are never read.

    Raises:
        ModelError: it holds something else, or too much.
    """
    data = io.BytesIO(path.read_bytes() if path.stat().st_size <= 4 * MOST_NUMBERS + 4_096 else b"")
    try:
        version = np.lib.format.read_magic(data)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}")
        header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, by_columns, kind = header(data)
        left = data.read()
        whole = len(shape) == 2 and shape[0] == names and 4 * math.prod(shape) == len(left)
        if kind != np.dtype("<f4") or by_columns or not whole:
            raise ValueError(f"{kind} {shape}")
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        what = f"expected {names} messages, float32, {MOST_NUMBERS:,} numbers at most"
        raise ModelError(f"{path}: {what}; found something else ({error!s:.80})") from None
    messages = np.frombuffer(left, "<f4").reshape(shape).astype(np.float32)
    if not np.isfinite(messages).all():
        raise ModelError(f"{path}: messages that are not finite")
    return messages


def open_graph(path: Path, inputs: set[str], outputs: list[str], threads: int) -> Graph:
    """A function of a graph's inputs, by name, that gives its outputs in this order.

    Raises:
        ModelError: ONNX Runtime cannot run it, or it has other inputs or outputs, or reads other files.
    """
    if elsewhere := outside(path):
        raise ModelError(f"{path}: reads weights from another file ({min(elsewhere)!r:.60}); export it whole")
    session, _ = open_session(path, inputs, set(outputs), threads)

    def run(**values: np.ndarray) -> list[np.ndarray]:
        try:
            return session.run(outputs, values)
        except Exception as error:
            raise ModelError(f"{path}: failed on {values_shown(values)}: {str(error)[:200]}") from error

    return run


def values_shown(values: dict[str, np.ndarray]) -> str:
    """Names and shapes."""
    return ", ".join(f"{name} {value.shape}" for name, value in values.items())


def added_by(generator: Graph) -> Residual:
    """What a generator of waveforms adds, bounded by what hides it."""

    def residual(host: np.ndarray, message: np.ndarray) -> np.ndarray:
        if not len(host):
            return np.zeros(0, np.float32)
        padded = np.pad(host, (0, -len(host) % HOP)).astype(np.float32)
        (proposed,) = generator(host=padded[None], message=message[None].astype(np.float32))
        expect("proposed", proposed, padded[None].shape)
        return shaped(np.nan_to_num(proposed[0, : len(host)]), host)

    return residual


def gain_of(card: dict[str, Any]) -> float:
    """The factor on what the generator of a card adds, so that strength 1 is as audible as was chosen."""
    return float(card.get("gain", 1.0))


def louder(residual: Residual, gain: float) -> Residual:
    """The same with a factor on what is added."""
    return lambda host, message: np.float32(gain) * residual(host, message)


def multiplied_by(generator: Graph) -> Residual:
    """What a generator of factors on magnitudes adds."""

    def residual(host: np.ndarray, message: np.ndarray) -> np.ndarray:
        if not len(host):
            return np.zeros(0, np.float32)
        spectrum = stft(host, SIZE, STEP)
        magnitude = np.abs(spectrum).T[None].astype(np.float32)
        (factor,) = generator(magnitude=magnitude, message=message[None].astype(np.float32))
        expect("factor", factor, magnitude.shape)
        return istft(spectrum * (np.nan_to_num(factor[0].T, nan=1.0) - 1), SIZE, STEP, len(host))

    return residual


def read_marks(reader: Graph, kind: str, outputs: int) -> Callable[[np.ndarray], Window]:
    """A reader that says where there is a mark, and in so many numbers whose."""
    step = 1 if kind == "audioseal" else HOP

    def read(audio: np.ndarray) -> Window:
        waveform = long_enough(audio)
        if kind == "audioseal":
            waveform = np.pad(waveform, (0, -len(waveform) % HOP))
        marked, says = reader(waveform=waveform[None])
        expect("marked", marked, (1, *some(marked)))
        expect("says", says, (1, *some(says), outputs))
        where = np.clip(np.nan_to_num(marked[0]), -SURE, SURE)[: max(1, -(-len(audio) // step))]
        return Window(float(where.mean()), mean_of(says, audio), where.astype(np.float32))

    return read


def read_bits(reader: Graph, bits: np.ndarray, scale: float) -> Callable[[np.ndarray], Window]:
    """A reader of bits alone: there is a mark where they agree with a codeword; `scale` makes them logits."""

    def read(audio: np.ndarray) -> Window:
        magnitude = np.abs(stft(long_enough(audio), SIZE, STEP)).T[None].astype(np.float32)
        (says,) = reader(magnitude=magnitude)
        expect("says", says, (1, *some(says), bits.shape[1]))
        mean = np.nan_to_num(says[0].mean(axis=0))
        score = float((bits @ mean).max() / bits.shape[1])
        return Window(score, scale * mean, np.zeros(0, np.float32))

    return read


def mean_of(says: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Outputs (outputs,) over the frames that lie in the audio and not in what it was padded with."""
    return np.nan_to_num(says[0, : max(1, -(-len(audio) // HOP))].mean(axis=0))


def long_enough(audio: np.ndarray) -> np.ndarray:
    """Audio (samples,) of half a second or more, padded with zeros."""
    return np.pad(audio, (0, max(0, LEAST - len(audio)))).astype(np.float32)


def some(found: np.ndarray) -> tuple[int]:
    """How many frames an output has; one or more."""
    return (max(1, found.shape[1] if found.ndim > 1 else 0),)


def expect(name: str, found: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse an output of another shape.

    Raises:
        ModelError: it has one.
    """
    if found.shape != shape:
        raise ModelError(f"expected {name} {shape}, found {found.shape}; the graph does not fit its card")
