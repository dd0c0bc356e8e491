"""The figures of docs/watermarks.md, of the robustness card of all schemes and of the mixture rule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Table = Callable[[str, list[tuple]], list[str]]
Percent = Callable[[Mapping[str, Any]], str]
NAMES: dict[Any, str] = {
    "fakemark-a": "FakeMark-A",
    "fakemark-t": "FakeMark-T",
    "audioseal": "AudioSeal's style",
    "timbre": "Timbre's style",
    "perth": "Perth",
}
ROWS = (
    ("as it is", ("none",)),
    ("noise, 20 to 5 dB", ("white-noise", "pink-noise", "mix-tones")),
    ("room", ("room",)),
    ("resampled to 8 and 4 kHz", ("8-kHz", "4-kHz")),
    ("MP3, 64 and 32 kbit/s", ("mp3",)),
    ("AAC, 64 and 32 kbit/s", ("aac",)),
    ("Opus, 24 and 12 kbit/s", ("opus-24k", "opus-12k")),
    ("Opus, 8 and 6 kbit/s", ("opus-8k", "opus-6k")),
    ("Vorbis, G.722, mu-law", ("vorbis", "g722", "mulaw")),
    ("AMR, GSM (never trained on)", ("amr", "gsm")),
    ("Griffin-Lim, neural codebooks", ("griffin", "codebooks")),
    ("WORLD (never trained on)", ("world",)),
    ("pitch", ("pitch",)),
    ("speed, stretching", ("speed", "stretch")),
    ("cut, shifted", ("crop", "trim")),
    ("8 to 4 bits", ("8-bit", "6-bit", "4-bit")),
    (
        "filters, smoothing",
        ("high-pass", "low-pass", "band-", "equaliser", "frequency", "smoothing", "median"),
    ),
    ("denoising (never trained on)", ("spectral-subtraction", "noisy-and")),
    ("telephone, messenger, platform", ("phone", "messenger", "platform")),
    ("overwritten by the same scheme", ("overwritten-by-itself",)),
    ("overwritten by others", ("overwritten-by",)),
    ("averaged, clean speech known", ("averaged-grey",)),
    ("averaged, clean speech unknown", ("averaged-black",)),
)


def mean(card: Mapping[str, Any], prefixes: Sequence[str], figure: str) -> float | None:
    """A share over the conditions whose names begin so; of overwriting by others, without itself."""
    others = prefixes == ("overwritten-by",)
    found = [
        one["all"][figure]["value"]
        for one in card["conditions"]
        if one["name"].startswith(tuple(prefixes))
        and not (others and one["name"].startswith("overwritten-by-itself"))
        and one["all"][figure] is not None
    ]
    return sum(found) / len(found) if found else None


def cell(card: Mapping[str, Any], prefixes: Sequence[str]) -> str:
    """`97 / 95`: detected, and rightly named."""
    shares = [mean(card, prefixes, figure) for figure in ("detected", "named")]
    return " / ".join("-" if share is None else f"{100 * share:.0f}" for share in shares)


def alarms(card: Mapping[str, Any]) -> str:
    """`1 of 1,452`: unmarked recordings that look marked."""
    plain = card["false_alarms"][0]
    parts = [plain[kind] for kind in ("genuine", "fake")]
    return f"{sum(p['alarms'] for p in parts)} of {sum(p['recordings'] for p in parts):,}"


def disturbed_alarms(card: Mapping[str, Any]) -> str:
    """The same, of unmarked recordings that were distorted."""
    parts = [one[kind] for one in card["false_alarms"][1:] for kind in ("genuine", "fake") if one.get(kind)]
    count = sum(p["recordings"] for p in parts)
    return f"{sum(p['alarms'] for p in parts)} of {count:,}" if count else "-"


def quality(card: Mapping[str, Any], name: str, digits: int) -> str:
    """A mean."""
    found = card["quality"].get(name)
    return "-" if not found or found.get("value") is None else f"{found['value']:.{digits}f}"


def block(found: Mapping[str, Any], mixture: Mapping[str, Any] | None, table: Table, percent: Percent) -> str:
    """Everything between the marks."""
    cards = {card["scheme"]["name"]: card for card in found["cards"]}
    heads = " | ".join(NAMES.get(name, str(name)) for name in cards)
    marked = next(iter(cards.values()))["marked"]
    claims = found["claims"]
    lines = [
        f"{marked['recordings']} recordings of {marked['groups']} pages or systems that no scheme was "
        f"trained on, 5 s each, {found['steps']:,} steps",
        "of training for each of the four (`benchmarks/watermarks.py`). Detected at a threshold for one",
        "false alarm in 10,000, and rightly named among 16 (chance 6), in percent:",
        "",
        *table(f" | {heads}", [(n, *(cell(c, p) for c in cards.values())) for n, p in ROWS]),
        *table(
            f" | {heads}",
            [
                ("unmarked, called marked", *map(alarms, cards.values())),
                ("unmarked and distorted, called marked", *map(disturbed_alarms, cards.values())),
                *(
                    (title, *(quality(card, name, digits) for card in cards.values()))
                    for title, name, digits in (
                        ("SNR, dB", "snr_db", 1),
                        ("PESQ", "pesq_wb", 2),
                        ("STOI", "stoi", 3),
                    )
                ),
            ],
        ),
        "**The claim**: FakeMark's attribution falls by less than the baselines'. Points by which right",
        f"names become fewer, on the same {claims['recordings']} recordings, and a baseline's fall less "
        "FakeMark's (above 0:",
        f"FakeMark holds better), 95 % intervals over {claims['pages']} pages or systems:",
        "",
    ]
    families = ("overwriting", "averaging", "codecs")
    lines += table(
        " | " + " | ".join(families),
        [
            (label(key), *(percent(claims[family][key]) for family in families))
            for key in claims["overwriting"]
        ],
    )
    if mixture is not None:
        lines += mixture_lines(mixture, table, percent)
    return "\n".join(lines).rstrip()


def label(key: str) -> str:
    """`timbre less fakemark-a` for people."""
    return " less ".join(NAMES.get(part, part) for part in key.split(" less "))


def mixture_lines(mixture: Mapping[str, Any], table: Table, percent: Percent) -> list[str]:
    """Who is named rightly by watermark, tracer, and both."""
    rows = [
        (
            condition,
            found["recordings"],
            *(percent(found[f"right by {who}"]) for who in ("watermark", "tracer", "rule")),
            f"{100 * found['conflict']['share']:.0f}",
        )
        for condition, found in mixture["conditions"].items()
    ]
    return [
        f"**Watermark ({NAMES[mixture['scheme']]}), tracer, and the rule of both** "
        "(`benchmarks/mixture.py`): right answers",
        "in percent (nobody, where a recording is not marked and its generator unknown to the tracer):",
        "",
        *table(" | recordings | by watermark | by tracer | by the rule | conflicts", rows),
    ]
