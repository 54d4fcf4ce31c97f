"""What a story told on the local AWS consists of: chapters that each succeed or raise, a local AWS, and the CDK CLI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from local_aws import process
from mlops_cli.deployment import DeploymentError
from mlops_cli.local import start_local_aws, state_dir, wide_console
from mlops_cli.repository import ROOT, commit

CDK = ROOT / "node_modules" / ".bin" / "cdk"


@dataclass
class Story:
    """A console for chapters, and the local AWS of a port; `started` says whether the story has started it."""

    port: int
    console: Console = field(default_factory=lambda: wide_console())
    started: bool = False

    def deploy(self, environment: str) -> None:
        """Start the local AWS unless it runs, bootstrap it, and deploy all stacks of the environment.

        Points this process at it. Raises DeploymentError with the end of the CDK CLI's output.
        """
        with self.chapter("start the local AWS") as report:
            report(self._start())
        process.point_at(self.port)
        with self.chapter("cdk bootstrap") as report:
            target = f"aws://{os.environ['CDK_DEFAULT_ACCOUNT']}/{os.environ['CDK_DEFAULT_REGION']}"
            # away from cdk.json: bootstrapping needs no synthesized app
            self._cdk(["bootstrap", target], report, directory=state_dir(self.port))
        with self.chapter(f"cdk deploy '{environment}/*'") as report:
            options = ["--require-approval", "never", "--concurrency", "4", "--progress", "events"]
            told = commit()
            context = ["--context", f"commit={told}"] if told else []
            self._cdk(["deploy", f"{environment}/*", *options, *context], report)

    def _start(self) -> str:
        found = process.status(state_dir(self.port))
        if found is None:
            found = start_local_aws(self.port)
            self.started = True
        elif found.get("source") != process.source_fingerprint():
            self.console.print(
                "[yellow]note[/]  the local AWS that is running was started from other code than this checkout's: "
                f"`mlops local stop --port {self.port}` first, to run the newest"
            )
        return str(found["endpoint_url"])

    @contextmanager
    def chapter(self, title: str) -> Iterator[Callable[[str], None]]:
        """Tell a chapter: what it yields takes the latest thing that happened, and the last one stays on the screen."""
        began = time.monotonic()
        latest = ""
        if not self.console.is_terminal:
            self.console.print(f"....  {title}")
        with self.console.status(f"[bold]{title}[/]") as status:

            def report(message: str) -> None:
                nonlocal latest
                latest = message
                shown = escape(message[-100:])
                status.update(f"[bold]{title}[/]  [dim]{time.monotonic() - began:.0f} s  {shown}[/]")

            try:
                yield report
            except BaseException:
                self.console.print(f"[red]failed[/]  {title}")
                raise
        took = f"{time.monotonic() - began:.1f} s"
        self.console.print(
            f"[green]done[/]  {title}  [dim]{took}  {escape(latest)}[/]", no_wrap=True, overflow="ellipsis"
        )

    def _cdk(self, arguments: list[str], report: Callable[[str], None], directory: Path = ROOT) -> None:
        # cdk.json says `python3`: this environment's, however the demo was started
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        log = state_dir(self.port) / f"cdk-{arguments[0]}.log"
        recent: deque[str] = deque(maxlen=25)
        with (
            log.open("w") as copy,
            subprocess.Popen(
                [str(CDK), *arguments, "--no-color"],
                cwd=directory,
                env={**os.environ, "PATH": path, "CI": "true", "NO_COLOR": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as run,
        ):
            assert run.stdout is not None
            for line in run.stdout:
                copy.write(line)
                if line.strip():
                    recent.append(line.rstrip())
                    report(line.strip())
        if run.returncode:
            output = "\n".join(recent)
            raise DeploymentError(f"cdk {arguments[0]} ended with exit code {run.returncode} (log: {log}):\n{output}")


def check_programs() -> None:
    """Raise DeploymentError when something that `make demo` installs is missing."""
    if not CDK.exists():
        raise DeploymentError("the pinned CDK CLI isn't installed: run `make install`")
