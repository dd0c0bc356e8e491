"""What the measures of a voice profile are in genuine speech: the scale of `earwitness.evidence.profile`.

    python benchmarks/profile_scale.py --corpus ../shared/corpus/packages

Reads `manifest.csv` there. The mean is that over speakers with three clips or more, the deviation that
of a speaker's clips around the speaker's own mean (root mean square over speakers): a measure that
varies from clip to clip of one person then counts for less than one that differs between persons.
Writes `src/earwitness/evidence/profile_scale.json`.
"""

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from earwitness.audio.io import load
from earwitness.evidence import profile


def measure_speakers(corpus: Path) -> dict[str, np.ndarray]:
    """Speaker -> measures (clips, PROFILE_SIZE) of genuine clips that have been through no codec since."""
    found = defaultdict(list)
    with (corpus / "manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["label"] == "real" and row["family"] == "none" and row["speaker"]:
                measured = profile.measure(load(corpus / row["path"]))
                if measured is not None:
                    found[row["speaker"]].append(measured)
    return {speaker: np.array(clips) for speaker, clips in sorted(found.items()) if len(clips) >= 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True)
    speakers = measure_speakers(parser.parse_args().corpus)
    mean = np.mean([np.nanmean(clips, axis=0) for clips in speakers.values()], axis=0)
    within = [np.nanvar(clips, axis=0, ddof=1) for clips in speakers.values()]
    deviation = np.sqrt(np.mean(within, axis=0))
    names = [f"{group} {name}" for group, names in profile.MEASURES.items() for name in names]
    kept = {
        name: {"mean": round(float(m), 4), "deviation": round(float(d), 4)}
        for name, m, d in zip(names, mean, deviation, strict=True)
    }
    target = Path(profile.__file__).with_name("profile_scale.json")
    target.write_text(json.dumps(kept, indent=2) + "\n")
    clips = sum(map(len, speakers.values()))
    print(f"{target.name}: {clips} clips of {len(speakers)} speakers")


if __name__ == "__main__":
    main()
