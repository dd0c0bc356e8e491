"""Write the figures of the README and of docs/embedded.md from `benchmarks/results`.

python benchmarks/figures.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
START, END = "<!-- figures", "<!-- end of figures -->"


def percent(entry: dict[str, Any]) -> str:
    """`33.1 [29.8, 36.0]` of an entry with an interval."""
    return " ".join([f"{100 * entry['value']:.1f}", f"[{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"])


def rate(speed: dict[str, Any], name: str) -> float:
    """Audio seconds a CPU second with one thread."""
    return speed[f"{name}_1_threads"]["times_real_time_per_cpu_second"]


def read(results: Path, name: str) -> dict[str, Any]:
    """One file of results."""
    return json.loads((results / f"{name}.json").read_text())


def table(head: str, rows: list[tuple]) -> list[str]:
    """Lines of a table in Markdown."""
    return [
        f"| {head} |",
        "|" + "---|" * len(rows[0]),
        *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows),
        "",
    ]


def figures(results: Path) -> str:
    """The block of the README between its two marks, without them."""
    quality, first, speed = (read(results, name) for name in ("quality", "quality-1", "speed"))
    rows = [
        ("the embedded model's recipe, all pages", quality["all_pages"]),
        ("neither generator nor named speaker seen in training", quality["generators_and_speakers_left_out"]),
        ("the first embedded model", first["all_pages"]),
        ("on AASIST's files", quality["ours_on_the_same_files"]),
        ("AASIST (2019 weights) on those files", quality["aasist_on_its_files"]),
        ("level, silence, bandwidth and format alone, across pages", quality["probe_across_pages"]),
        ("the same probe on a random split (a shortcut)", quality["probe_random_split"]),
    ]
    peak = max(entry["peak_rss_mib"] for entry in speed.values() if "peak_rss_mib" in str(entry))
    every, told = quality["all_pages"], quality["transferred"]
    clips = every["bona_fide"] + every["spoof"]
    lines = [
        f"EER in percent on sample pages of {every['pages']} projects ({clips:,} clips, 156 systems), "
        "each page scored by a",
        "run that never saw it, with 95 % intervals from a bootstrap over pages (`benchmarks/quality.py`):",
        "",
        *table("what | EER % | bona fide / spoof", [(n, percent(e), counts(e)) for n, e in rows]),
        f"It answers {100 * told['answers']['share']:.0f} % of these clips `fake` or `genuine`, of which "
        f"{100 * told['answers']['wrong']:.1f} % are wrong; the others",
        f"are `uncertain`. It calls {percent(told['genuine_recordings_called_fake'])} % of the genuine ones "
        "fake.",
        "",
        "Speed on one core (`benchmarks/speed.py`), audio seconds a CPU second: "
        f"{rate(speed, 'mixed_files'):.0f} on {speed['files']:,} mixed files,",
        f"{rate(speed, 'long_file'):.0f} on one of {60 * speed['hours']:g} minutes, in at most {peak} MiB; "
        "one 5 s file from a cold start in "
        f"{speed['one_5_s_wav']['median_s']:.1f} s.",
    ]
    return "\n".join(lines)


def counts(entry: dict[str, Any]) -> str:
    """`909 / 865`."""
    return f"{entry['bona_fide']} / {entry['spoof']}"


def card(results: Path) -> str:
    """The figures of docs/embedded.md."""
    quality = read(results, "quality")
    told = quality["transferred"]
    lines = ["### By family, against all bona fide recordings", ""]
    families = quality["by_family_against_all_bona_fide"]
    lines += table("family | EER % | fakes", [(n, percent(e), e["spoof"]) for n, e in families.items()])
    lines += ["### Through everyday channels", ""]
    lines += table(
        "condition | EER % | more than clean, points",
        [
            (name, percent(e), percent(e["rise"]) if "rise" in e else "-")
            for name, e in quality["under_conditions"].items()
        ],
    )
    moved = quality["under_conditions"]["20 dB quieter"]["llr_moved"]
    prompts = quality["telephone_prompts_at_8_khz"]
    lines += [
        f"A recording 20 dB quieter has an LLR that differs by {moved['mean']:.3f} on average "
        f"(95 % by less than {moved['quantile_95']:.3f}).",
        f"Of {prompts['recordings']} genuine telephone prompts at 8 kHz, by a run that saw none, "
        f"{100 * prompts['called_fake']:.1f} % are called fake.",
        "",
        "### Answers",
        "",
    ]
    lines += table(
        "what | % of clips",
        [(key.replace("_", " "), percent(e)) for key, e in told.items() if "called" in key],
    )
    lines += [
        f"Cllr {told['cllr_bit']['value']:.3f} bit, {told['min_cllr_bit']['value']:.3f} at best: "
        f"{told['cllr_bit']['value'] / told['min_cllr_bit']['value']:.3f} times.",
        "",
    ]
    for key, title in (
        ("source_corpus", "source corpus"),
        ("language", "language"),
        ("duration_s", "length, s"),
    ):
        lines += table(
            f"{title} | genuine | called fake | fakes | called genuine | answered %",
            [
                (
                    name,
                    e["bona_fide"],
                    e["genuine_called_fake"],
                    e["spoof"],
                    e["fake_called_genuine"],
                    f"{100 * e['answered']:.0f}",
                )
                for name, e in quality["answers_by"][key].items()
            ],
        )
    lines += ["### Generators left out of training, worst first", ""]
    lines += table(
        "architecture | family | fakes | EER % | called fake % | called genuine %",
        [
            (
                e["architecture"],
                e["family"],
                e["recordings"],
                f"{100 * e['eer']:.1f}",
                f"{100 * e['called_fake']:.0f}",
                f"{100 * e['called_genuine']:.0f}",
            )
            for e in quality["generators_left_out_worst_first"]
            if e["recordings"] >= 3
        ],
    )
    return "\n".join(lines).rstrip()


def put(page: Path, block: str) -> None:
    """Put a block between the marks of a page."""
    head, rest = page.read_text().split(START, 1)
    mark, rest = rest.split("\n", 1)
    page.write_text(f"{head}{START}{mark}\n{block}\n{END}{rest.split(END, 1)[1]}")


def main() -> None:
    """Fill both pages."""
    results = ROOT / "benchmarks" / "results"
    put(ROOT / "README.md", figures(results))
    put(ROOT / "docs" / "embedded.md", card(results))


if __name__ == "__main__":
    main()
