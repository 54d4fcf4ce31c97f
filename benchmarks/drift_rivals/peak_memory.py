"""How much memory this process has had at most."""

from __future__ import annotations

from pathlib import Path


def peak_mb() -> float:
    """The highest resident size, in MB.

    Not that of getrusage, which also has what the process was forked from. Source: proc(5), VmHWM.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
