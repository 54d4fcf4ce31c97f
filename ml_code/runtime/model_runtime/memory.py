"""How much of the memory that a job may use it uses: by its control group, or by the machine where that sets no limit.

Sources: Linux's Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.current) and filesystems/proc.rst.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/")
GROUPS = (
    ("sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)


def memory_share(root: Path = ROOT) -> float | None:
    """The share in use, from 0 to 1; None where the system doesn't say.

    Pages of files that can be dropped at any time don't count. The tighter of both limits decides.
    """
    shares = [share for share in (_of_group(root), _of_machine(root)) if share is not None]
    return max(shares) if shares else None


def _of_group(root: Path) -> float | None:
    for used, limit, statistics, droppable in GROUPS:
        try:
            most = (root / limit).read_text().strip()
            held = int((root / used).read_text())
            lines = dict(line.split(maxsplit=1) for line in (root / statistics).read_text().splitlines())
        except (OSError, ValueError):
            continue
        if most.isdecimal() and 0 < int(most) < 1 << 60:  # version 1 writes a huge number for no limit
            return max(held - int(lines.get(droppable, 0)), 0) / int(most)
    return None


def _of_machine(root: Path) -> float | None:
    try:
        lines = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return None
    return (total - available) / total
