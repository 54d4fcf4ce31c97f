"""Ends the processes of jobs when the local AWS itself dies, even by SIGKILL.

The guard is one small process that reads `+<group> <mark>` and `-<group>` lines from its standard input. When the pipe
closes because the local AWS is gone, it kills every group that is still listed, and what left its group: a mark in the
environment, which children inherit, tells the processes of a job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

MARK_VARIABLE = "LOCAL_AWS_JOB"


class ProcessGuard:
    """The parent's side of the guard; the process is started with the first group to watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._watched: dict[int, str] = {}

    def watch(self, group: int, mark: str) -> None:
        """Have the processes of a job killed when this process ends before `forget` is called."""
        with self._lock:
            self._watched[group] = mark
            self._send(f"+{group} {mark}\n")

    def forget(self, group: int) -> None:
        """Stop watching a group that has ended."""
        with self._lock:
            self._watched.pop(group, None)
            self._send(f"-{group}\n")

    def _send(self, line: str) -> None:
        if self._process is None or self._process.poll() is not None:
            line = "".join(f"+{group} {mark}\n" for group, mark in self._watched.items())
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


def kill_group(group: int, signum: signal.Signals) -> None:
    """Send a signal to a process group, if any of its processes is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signum)


def kill_marked(marks: set[str]) -> None:
    """Kill the processes that carry one of the marks, where /proc shows them."""
    wanted = {f"{MARK_VARIABLE}={mark}".encode() for mark in marks}
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted.intersection(entry.read_bytes().split(b"\0")):
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except OSError:  # ended in the meantime, or someone else's
            continue


def main() -> None:
    """Follow the parent's lines until its pipe closes, then kill what is left."""
    groups: dict[int, str] = {}
    for line in sys.stdin:
        group, _, mark = line[1:].strip().partition(" ")
        if line[0] == "+":
            groups[int(group)] = mark
        else:
            groups.pop(int(group), None)
    for group in groups:
        kill_group(group, signal.SIGKILL)
    if groups:
        kill_marked(set(groups.values()))


if __name__ == "__main__":
    main()
