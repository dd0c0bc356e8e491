"""Redraw `docs/scan.svg` from a real scan: `python docs/picture.py` at the root."""

import io
import os
import subprocess
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMAND = "earwitness scan samples/ --timeline"


def main() -> None:
    """Run the command with colours on, and save what it prints as an SVG."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "90"}
    done = subprocess.run(COMMAND.split(), capture_output=True, text=True, env=environment, check=True)
    console = Console(record=True, width=90, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {COMMAND}", "bold"))
    console.print(Text.from_ansi(done.stdout))
    svg = console.export_svg(title="earwitness")
    start, end = svg.index("@font-face"), svg.rindex("@font-face")
    end = svg.index("}", end) + 1  # the picture must not load fonts from elsewhere
    svg = (svg[:start] + svg[end:]).replace("Fira Code", "DejaVu Sans Mono")
    Path(__file__).with_name("scan.svg").write_text(svg)


if __name__ == "__main__":
    main()
