"""The moment at which a job's script starts Spark: only then are the objects that it works on copied.

A script that never starts Spark waits for no copies. And one that looks at S3 first finds what it saw in the mirror,
also when objects arrive while it starts.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS = 0.05


class SparkStart:
    """A JAVA_HOME in the run's directory whose `java` waits until `get_ready` has been called.

    `java` is the JAVA_HOME that it hands on to. An exception of `get_ready` ends the script's Java and stays in
    `error`.
    """

    def __init__(self, directory: Path, java: Path, get_ready: Callable[[], None]) -> None:
        self.home = directory / "java"
        self.error: Exception | None = None
        self._asked, self._ready, self._failed = (self.home / name for name in ("asked", "ready", "failed"))
        self._get_ready = get_ready
        self._over = threading.Event()
        self._write_launcher(java)
        threading.Thread(target=self._watch, name="spark-start", daemon=True).start()

    @property
    def happened(self) -> bool:
        """Whether Spark was started and everything was ready for it."""
        return self._ready.exists()

    def forget(self) -> None:
        """Stop waiting: the script has ended."""
        self._over.set()

    def _write_launcher(self, java: Path) -> None:
        launcher = self.home / "bin" / "java"
        launcher.parent.mkdir(parents=True, exist_ok=True)
        asked, ready, failed = (shlex.quote(str(path)) for path in (self._asked, self._ready, self._failed))
        launcher.write_text(f"""#!/bin/sh
[ -e {ready} ] || : > {asked}
until [ -e {ready} ]; do
  [ ! -e {failed} ] || exit 1
  sleep {LOOK_SECONDS}
done
exec {shlex.quote(str(java / "bin" / "java"))} "$@"
""")
        launcher.chmod(0o755)

    def _watch(self) -> None:
        while not self._asked.exists():
            if self._over.wait(LOOK_SECONDS):
                return
        try:
            self._get_ready()
        except Exception as error:
            self.error = error
            self._failed.touch()
        else:
            self._ready.touch()
