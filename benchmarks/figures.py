"""Write the figures of the README from `benchmarks/results`: `python benchmarks/figures.py`."""

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


def figures(results: Path) -> str:
    """The block of the README between its two marks, without them."""
    quality, speed = (json.loads((results / f"{name}.json").read_text()) for name in ("quality", "speed"))
    rows = [
        ("the embedded model's recipe, all pages", quality["all_pages"]),
        ("without what the gate refuses", quality["past_the_gate"]),
        ("only unseen architectures and speakers", quality["unseen_architecture_and_speaker"]),
        ("on AASIST's files", quality["ours_on_the_same_files"]),
        ("AASIST (2019 weights) on those files", quality["aasist_on_its_files"]),
        ("level, silence, bandwidth and format alone, across pages", quality["probe_across_pages"]),
        ("the same probe on a random split (a shortcut)", quality["probe_random_split"]),
    ]
    peak = max(entry["peak_rss_mib"] for entry in speed.values() if "peak_rss_mib" in str(entry))
    every = quality["all_pages"]
    clips = every["bona_fide"] + every["spoof"]
    lines = [
        f"EER in percent on sample pages of {every['pages']} projects ({clips:,} clips, 156 systems), "
        "each page scored by a",
        "run that never saw it, with 95 % intervals from a bootstrap over pages (`benchmarks/quality.py`):",
        "",
        "| what | EER % | bona fide / spoof |",
        "|---|---|---|",
        *(f"| {name} | {percent(e)} | {e['bona_fide']} / {e['spoof']} |" for name, e in rows),
        "",
        "Speed on one core (`benchmarks/speed.py`), audio seconds a CPU second: "
        f"{rate(speed, 'mixed_files'):.0f} on 1,000 mixed files, {rate(speed, 'long_file'):.0f} on a",
        f"4-hour file, in at most {peak} MiB; one 5 s file from a cold start in "
        f"{speed['one_5_s_wav']['median_s']:.1f} s.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Put the block into the README."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    head, rest = text.split(START, 1)
    mark, rest = rest.split("\n", 1)
    block = figures(ROOT / "benchmarks" / "results")
    readme.write_text(f"{head}{START}{mark}\n{block}\n{END}{rest.split(END, 1)[1]}")


if __name__ == "__main__":
    main()
