"""Ends the process groups of jobs when the local AWS itself dies, even by SIGKILL.

The guard is one small process that reads `+<group>` and `-<group>` lines from its standard input. When the pipe closes
because the local AWS is gone, it kills every group that is still listed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


class ProcessGuard:
    """The parent's side of the guard; the process is started with the first group to watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Have the group killed when this process ends before `forget` is called."""
        self._send(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Stop watching a group that has ended."""
        self._send(f"-{group}\n")

    def _send(self, line: str) -> None:
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(__file__).resolve())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self._process.stdin.write(line.encode())
                    self._process.stdin.flush()


def kill_group(group: int, signum: signal.Signals) -> bool:
    """Send a signal to a process group; False when none of its processes is left."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> None:
    """Follow the parent's lines until its pipe closes, then kill what is left."""
    groups: set[int] = set()
    for line in sys.stdin:
        sign, group = line[0], int(line[1:])
        if sign == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        kill_group(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
