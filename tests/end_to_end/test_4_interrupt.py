"""Ctrl-C in the middle of the demo."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from local_aws import process
from mlops_cli.local import state_dir
from mlops_cli.repository import ROOT
from tests.end_to_end.conftest import free_port


def test_interrupted_demo_leaves_nothing_running() -> None:
    port = free_port()
    demo = subprocess.Popen(
        [sys.executable, "-m", "mlops_cli", "demo", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if line.startswith("....  cdk bootstrap"):
                break
        os.killpg(demo.pid, signal.SIGINT)
        told = demo.communicate(timeout=60)[0]
        assert demo.returncode == 130, told
        assert process.status(state_dir(port)) is None
        assert mentioning(f"--port {port}") == []
    finally:
        demo.kill()
        process.stop(state_dir(port))
        shutil.rmtree(state_dir(port), ignore_errors=True)


def mentioning(words: str) -> list[str]:
    """Return the commands of running processes that hold these words."""
    commands = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            commands.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [command for command in commands if words in command]
