"""Starting, finding and stopping the server process of a local AWS. One state folder holds one server."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from local_aws.service import DEFAULT_ACCOUNT, DEFAULT_REGION, Image

HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 30
NO_SETTINGS_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


class LocalAwsError(Exception):
    """The local AWS couldn't be started, found or stopped; the message says why and what to do."""


def start(port: int, state_dir: Path, images: Mapping[str, Image]) -> dict[str, Any]:
    """Start a server in the background and return its status once it answers.

    Raises LocalAwsError when one is running already, when the port is taken, or when the server ends at once.
    """
    running = status(state_dir)
    if running is not None:
        raise LocalAwsError(
            f"a local AWS is already running at {running['endpoint_url']} (process {running['pid']}): "
            "use it, or stop it with `mlops local stop`"
        )
    if _is_taken(port):
        raise LocalAwsError(
            f"port {port} is taken by {_owner(port)}: choose another one with `--port`, "
            'in `make` with ARGS="--port ..."'
        )
    state_dir.mkdir(parents=True, exist_ok=True)
    # state lives in memory: what an earlier server left belongs to nothing
    for left_behind in ("jobs", "endpoints", "mlflow"):
        shutil.rmtree(state_dir / left_behind, ignore_errors=True)
    log = state_dir / "server.log"
    encoded = {name: {"python": image.python, "entrypoint": list(image.entrypoint)} for name, image in images.items()}
    command = [sys.executable, "-m", "local_aws.server", "--port", str(port), "--state", str(state_dir)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--images", json.dumps(encoded)],
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | NO_SETTINGS_FILES,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (state_dir / "server.json").write_text(json.dumps({"pid": process.pid, "port": port}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalAwsError(f"the local AWS ended while starting:\n{_tail(log)}")
        found = status(state_dir)
        if found is not None:
            return found
        time.sleep(0.1)
    process.terminate()
    raise LocalAwsError(f"the local AWS didn't answer within {START_SECONDS} s; its log is {log}:\n{_tail(log)}")


def status(state_dir: Path) -> dict[str, Any] | None:
    """Return the status of the server of this folder, or None when none is running."""
    recorded = _recorded(state_dir)
    found = _status_at(recorded["port"]) if recorded else None
    # another folder's server, or another program, may have taken the port since
    return found if recorded and found and found.get("pid") == recorded["pid"] else None


def stop(state_dir: Path) -> bool:
    """Stop the server of this folder with its jobs and endpoints; return whether one was running.

    Raises LocalAwsError when the recorded process lives but doesn't answer: it may be another program's by now.
    """
    running = status(state_dir)
    if running is None:
        recorded = _recorded(state_dir)
        if recorded is not None and _is_alive(recorded["pid"]) and _is_taken(recorded["port"]):
            raise LocalAwsError(
                f"the local AWS on port {recorded['port']} (process {recorded['pid']}) doesn't answer: "
                f"end the process yourself if it is one, its log is {state_dir / 'server.log'}"
            )
        (state_dir / "server.json").unlink(missing_ok=True)
        return False
    pid = running["pid"]
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    if _is_alive(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    (state_dir / "server.json").unlink(missing_ok=True)
    return True


def environment(port: int) -> dict[str, str]:
    """Return the variables that point any AWS client, the CDK CLI included, at the local AWS.

    The CDK CLI needs the name `localhost` for most services and an address for S3, which makes it use path-style
    requests.
    """
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": DEFAULT_REGION,
        "AWS_DEFAULT_REGION": DEFAULT_REGION,
        "AWS_ENDPOINT_URL": f"http://localhost:{port}",
        "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DEFAULT_ACCOUNT": DEFAULT_ACCOUNT,
        "CDK_DEFAULT_REGION": DEFAULT_REGION,
        **no_proxy(),
    }


def no_proxy() -> dict[str, str]:
    """Return the variables that keep this machine's proxy, if it has one, away from the loopback interface."""
    direct = [each for each in os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")).split(",") if each]
    value = ",".join(dict.fromkeys([*direct, "localhost", HOST]))
    return {"NO_PROXY": value, "no_proxy": value}


def foreign_settings(port: int) -> list[str]:
    """Return the AWS variables of this process that would lead past the local AWS, a profile say."""
    return sorted(name for name in os.environ if name.startswith("AWS_") and name not in environment(port))


def point_at(port: int) -> None:
    """Point this process, and those that it starts, at the local AWS and nowhere else."""
    for name in foreign_settings(port):
        del os.environ[name]
    os.environ.update(environment(port) | NO_SETTINGS_FILES)


def _recorded(state_dir: Path) -> dict[str, int] | None:
    try:
        recorded: dict[str, int] = json.loads((state_dir / "server.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return recorded


def source_fingerprint() -> str:
    """Return a hash of the local AWS's own code: a server that reports another one was started from other code."""
    root = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _status_at(port: int, timeout: float = 5) -> dict[str, Any] | None:
    try:
        # whatever proxy the machine has: this never leaves the loopback interface
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://{HOST}:{port}/_local/status", timeout=timeout) as answer:
            found = json.load(answer)
    except (OSError, ValueError, HTTPException):
        return None
    return found if isinstance(found, dict) else None


def _owner(port: int) -> str:
    found = _status_at(port, timeout=1)
    if found is None or "state_dir" not in found:
        return "another program"
    return f"the local AWS of {found['state_dir']} (process {found['pid']})"


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
