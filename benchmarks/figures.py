"""Write the figures of the README and of pages of docs from `results`.

python benchmarks/figures.py
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
START, END = "<!-- figures", "<!-- end of figures -->"


def percent(entry: Mapping[str, Any]) -> str:
    """`33.1 [29.8, 36.0]` of an entry with an interval."""
    value, low, high = (round(100 * entry[key], 1) + 0.0 for key in ("value", "low", "high"))  # no -0.0
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def rate(bench: dict[str, Any], engine: str, precision: str) -> float:
    """Audio seconds a CPU second of the embedded model by an engine, on one core."""
    (row,) = (
        row
        for row in bench["engines"]
        if (row["model"], row["engine"], row["precision"]) == ("embedded", engine, precision)
    )
    return row["times_real_time_a_core"]


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
    quality, first, bench = (read(results, name) for name in ("quality", "quality-1", "bench"))
    rows = [
        ("the embedded model's recipe, all pages", quality["all_pages"]),
        ("neither generator nor named speaker seen in training", quality["generators_and_speakers_left_out"]),
        ("the first embedded model", first["all_pages"]),
        ("on AASIST's files", quality["ours_on_the_same_files"]),
        ("AASIST (2019 weights) on those files", quality["aasist_on_its_files"]),
        ("level, silence, bandwidth and format alone, across pages", quality["probe_across_pages"]),
        ("the same probe on a random split (a shortcut)", quality["probe_random_split"]),
    ]
    cold, tuned = (read(results, name)["start"]["one_5_s_file_s"] for name in ("bench-start", "bench"))
    lengths, scan = bench["length"]["rows"], bench["cores"]
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
        f"Speed on {bench['machine']['name']} (`earwitness bench`, `benchmarks/results/bench.json`): the "
        "embedded model scores",
        f"{rate(bench, 'onnx', 'fp32'):.0f} times real time a core, in 8 bits after `models tune` "
        f"{rate(bench, 'openvino', 'int8'):.0f} times; a whole scan of",
        f"{scan['clip_s']:g} s files makes {scan['rows'][-1]['files_per_s']:.0f} files a second on "
        f"{scan['rows'][-1]['workers']} cores; one file from a cold start takes",
        f"{cold:.1f} s with the plain package (`bench-start.json`), {tuned:.1f} s with the 8-bit engine;",
        f"{lengths[-1]['audio_s'] / 3600:g} hours in one file take "
        f"{lengths[-1]['scan_s'] / 60:.1f} minutes and {lengths[-1]['memory_mib']:.0f} MiB.",
    ]
    return "\n".join(lines)


def counts(entry: dict[str, Any]) -> str:
    """`909 / 865`."""
    return f"{entry['bona_fide']} / {entry['spoof']}"


def card(results: Path) -> str:
    """The figures of docs/embedded.md."""
    quality, ablation, int8 = (read(results, name) for name in ("quality", "ablation", "int8"))
    told = quality["transferred"]
    lines = ["### What each part brings (`benchmarks/ablation.py`)", ""]
    lines += table(
        "fitted to | EER %, unseen pages | above the recipe, points",
        [
            (name, percent(line["all_pages"]), percent(line["above_the_recipe"]))
            for name, line in ablation["arms"].items()
        ],
    )
    lines += ["### In 8 bits (`benchmarks/int8.py`)", ""]
    lines += table(
        "graph | EER % | audio seconds a CPU second",
        [
            (name, percent(int8[name]), int8[name]["times_real_time_per_cpu_second"])
            for name in ("fp32", "int8")
        ],
    )
    lines += [f"The difference is {percent(int8['int8_minus_fp32'])} points; what ships is fp32.", ""]
    lines += ["### By family, against all bona fide recordings", ""]
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


def knowledge(results: Path) -> str:
    """The figures of docs/knowledge.md."""
    found, cost = read(results, "zero_day"), read(results, "knowledge")
    lines = [
        "For every generator architecture with at least eight recordings in a page fold, by a detector that",
        "saw neither it nor its pages. The rest of the base is half of the other pages of the fold; how to",
        "search was chosen on the other folds. Means over architectures, five draws each; 95 % intervals",
        "(`benchmarks/zero_day.py`); the change is from the detector alone on the same recordings.",
        "",
    ]
    for key, title in (
        ("with_samples", "samples of it in the base"),
        ("with_nothing_else_in_the_base", "samples, and nothing else in the base"),
    ):
        lines += table(
            f"{title} | architectures | EER % | change | recall at 5 % false alarms | change | "
            "others' EER, change",
            [
                (
                    count,
                    e["architectures"],
                    percent(e["eer"]),
                    percent(e["eer_change"]),
                    percent(e["recall_at_5"]),
                    percent(e["recall_at_5_change"]),
                    percent(e["others_eer_change"]),
                )
                for count, e in found[key].items()
            ],
        )
    alone, five = (found[key]["5"]["auc_against_its_pages"] for key in ("detector_alone", "with_samples"))
    lines += [
        "It is not the page or its channel that is recognised: against genuine recordings of the generator's",
        f"own pages the area under the curve is {percent(alone)} % by the detector alone, and",
        f"{percent(five)} % with five samples.",
        "",
        "With labels of the base turned round at random:",
        "",
    ]
    lines += table(
        "labels wrong | samples | EER % | change",
        [
            (f"{100 * float(noise):g} %", count, percent(e["eer"]), percent(e["eer_change"]))
            for noise, by_count in found["with_label_noise"].items()
            for count, e in by_count.items()
        ],
    )
    each = cost["from_file_to_protection"]
    lines += [
        f"From a file to protection: {each['cpu_s_a_sample']:.2f} s of one core a sample. A query for ten "
        f"neighbours among entries of {cost['embedding']} numbers",
        "(`benchmarks/knowledge.py`, exact, two threads):",
        "",
    ]
    lines += table(
        "entries | median ms | 95 % ms | first query, s | memory, bytes an entry | disk, bytes an entry",
        [
            (
                f"{one['entries']:,}",
                one["median_ms"],
                one["p95_ms"],
                one["first_query_s"],
                f"{one['memory_bytes_an_entry']:,}",
                f"{one['disk_bytes_an_entry']:,}",
            )
            for one in cost["queries"]
        ],
    )
    return "\n".join(lines).rstrip()


def operations(results: Path) -> str:
    """The block of docs/operations.md."""
    from operations_figures import drift_block, loop_block, selection_block

    lines = drift_block(read(results, "drift"), table, percent)
    lines += selection_block(read(results, "selection"), table, percent)
    lines += loop_block(read(results, "loop"), read(results, "unattended"), table, percent)
    return "\n".join(lines).rstrip()


def watermarks(results: Path) -> str:
    """The block of docs/watermarks.md."""
    from watermark_figures import block

    mixture = read(results, "mixture") if (results / "mixture.json").exists() else None
    return block(read(results, "watermarks"), mixture, table, percent)


def service(results: Path) -> str:
    """The block of docs/service.md."""
    from service_figures import block

    kills = [read(results, f"service-kills-{name}") for name in ("sqlite", "postgresql")]
    return block(read(results, "service-load"), kills, read(results, "service-hostile"))


def machine(results: Path) -> str:
    """The block of docs/scale.md: what `earwitness bench` printed, and its plot beside the page."""
    from earwitness.operations.bench_show import draw, tables_of

    found = read(results, "bench")
    (ROOT / "docs" / "bench.png").write_bytes(draw(found, "png"))
    versions = ", ".join(f"{name} {value}" for name, value in found["machine"]["versions"].items())
    lines = [
        f"{found['machine']['name']}, {found['machine']['memory_gib']:g} GiB, {found['when']}; {versions}.",
        "",
    ]
    for titles, rows, _, remark in tables_of(found):
        lines += table(" | ".join(titles), [tuple(row) for row in rows])
        lines += [f"{remark[0].upper()}{remark[1:]}.", ""] if remark else []
    return "\n".join([*lines, "![what was measured](bench.png)"])


def put(page: Path, block: str) -> None:
    """Put a block between the marks of a page."""
    head, rest = page.read_text().split(START, 1)
    mark, rest = rest.split("\n", 1)
    page.write_text(f"{head}{START}{mark}\n{block}\n{END}{rest.split(END, 1)[1]}")


def main() -> None:
    """Fill the pages."""
    results = ROOT / "benchmarks" / "results"
    put(ROOT / "README.md", figures(results))
    put(ROOT / "docs" / "embedded.md", card(results))
    put(ROOT / "docs" / "knowledge.md", knowledge(results))
    put(ROOT / "docs" / "operations.md", operations(results))
    put(ROOT / "docs" / "watermarks.md", watermarks(results))
    put(ROOT / "docs" / "service.md", service(results))
    put(ROOT / "docs" / "scale.md", machine(results))


if __name__ == "__main__":
    main()
