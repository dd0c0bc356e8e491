"""One process, timed as a whole."""

import os
import subprocess
import time
from pathlib import Path


def timed(command: list[str], output: Path = Path(os.devnull)) -> dict[str, float]:
    """Wall and CPU seconds and peak resident MiB of one process, which prints into the file `output`."""
    started, peak_kib = time.monotonic(), 0
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        # Not ru_maxrss: it begins at the size of the process that forked, which is this one.
        status_file = Path(f"/proc/{process.pid}/status").read_text()
        if "VmHWM:" in status_file:
            peak_kib = max(peak_kib, int(status_file.split("VmHWM:")[1].split()[0]))
        time.sleep(0.01)
    wall = time.monotonic() - started
    _, status, usage = ended
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return {
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mib": peak_kib / 1024,
    }
