"""How Spark runs in a Glue job on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# small jobs end before the second compiler has paid for itself
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseParallelGC"


def spark_environment(
    *,
    app_name: str,
    python: str,
    java: Path,
    directory: Path,
    temporary: Path,
    event_logs: Path | None,
    settings: Mapping[str, str],
) -> dict[str, str]:
    """Write Spark's configuration below the run's directory, and return the environment that leads to it.

    `java` is a JAVA_HOME. Spark notes its events in the folder `event_logs`, if one is given. `settings` win.
    """
    cores = min(os.cpu_count() or 1, 4)
    defaults = {
        "spark.master": f"local[{cores}]",
        "spark.app.name": app_name,
        "spark.driver.memory": "2g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": f'{JAVA_OPTIONS} "-Djava.io.tmpdir={temporary}"',
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": str(cores * 2),
        "spark.local.dir": str(temporary),
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
    }
    if event_logs is not None:
        event_logs.mkdir()
        defaults |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": event_logs.as_uri()}
    conf = directory / "conf"
    conf.mkdir(exist_ok=True)
    lines = [f"{name} {value}\n" for name, value in {**defaults, **settings}.items()]
    (conf / "spark-defaults.conf").write_text("".join(lines))
    return {
        "JAVA_HOME": str(java),
        "SPARK_CONF_DIR": str(conf),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": python,
    }
