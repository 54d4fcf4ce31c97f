"""Network isolation of containers, as far as this machine can enforce it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from functools import cache

# an isolated container gets no credentials and reaches no service
_WITHHELD = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_PROFILE")
_OWN_NETWORK = ("unshare", "--map-root-user", "--net", "--")


def without_access(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an isolated container: none that leads to AWS."""
    return {name: value for name, value in environment.items() if name not in _WITHHELD}


@cache
def network_can_be_taken() -> bool:
    """Say whether a process may be given a network of its own, in which there is nobody: Linux decides that."""
    if shutil.which(_OWN_NETWORK[0]) is None:
        return False
    return subprocess.run([*_OWN_NETWORK, "true"], capture_output=True, check=False, timeout=20).returncode == 0


def in_no_network(command: list[str]) -> list[str]:
    """Return the command in a network of its own."""
    return [*_OWN_NETWORK, *command]
