"""The hosts of a training job: each a process with a folder, an address and a log stream of its own."""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_aws.jobs.process import JobProcess, Outcome

_networks = itertools.count(os.getpid() * 7)


@dataclass(frozen=True)
class Host:
    """`algo-<number>`: what it sees as / lies in `root`; `address` is one of the loopback interface."""

    name: str
    root: Path
    address: str

    @property
    def number(self) -> int:
        return int(self.name.rpartition("-")[2])


def make_hosts(count: int, root: Path) -> list[Host]:
    """Return the hosts of one run of a job.

    All of 127.0.0.0/8 is this machine: with addresses of their own, hosts may listen on the same port, as they do in
    containers, beside those of other jobs and of an earlier run.
    """
    network = next(_networks)
    places = [root, *(root / "hosts" / f"algo-{number}" for number in range(2, count + 1))]
    return [
        Host(f"algo-{number}", place, f"127.{10 + network // 250 % 240}.{1 + network % 250}.{number % 255}")
        for number, place in enumerate(places, start=1)
    ]


class HostProcesses:
    """The processes of all hosts as one: the first that fails ends the others, and is the one whose end counts."""

    def __init__(self, hosts: Sequence[Host], start: Callable[[Host], JobProcess]) -> None:
        self.failed: Host | None = None
        self._processes: dict[Host, JobProcess] = {}
        try:
            for host in hosts:
                self._processes[host] = start(host)
        except OSError:
            self.stop(0)
            raise

    def wait(self, time_limit_seconds: float | None = None) -> Outcome:
        """Wait until every process has ended."""
        ended: queue.Queue[tuple[Host, Outcome]] = queue.Queue()

        def wait_for(host: Host, process: JobProcess) -> None:
            ended.put((host, process.wait(time_limit_seconds)))

        for each in self._processes.items():
            threading.Thread(target=wait_for, args=each, daemon=True, name=f"wait-for-{each[0].name}").start()
        outcomes: dict[Host, Outcome] = {}
        while len(outcomes) < len(self._processes):
            host, outcome = ended.get()
            outcomes[host] = outcome
            if outcome.ended_by == "exit" and outcome.exit_code and self.failed is None:
                self.failed = host
                self.stop()
        first = next(iter(self._processes))
        return outcomes[self.failed or first]

    def stop(self, grace_seconds: float | None = None) -> None:
        """Stop every process; those of several hosts at the same time."""
        stoppers = [
            threading.Thread(target=process.stop, args=(grace_seconds,), daemon=True)
            for process in self._processes.values()
        ]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()
