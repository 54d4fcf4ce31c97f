"""The arguments of a job that are Glue's own."""

from __future__ import annotations

from collections.abc import Mapping

# Glue keeps these for itself; a script doesn't see them
GLUE_OPTIONS = frozenset(
    {
        "--extra-py-files", "--extra-jars", "--extra-files", "--user-jars-first", "--class", "--scriptLocation",
        "--job-language", "--job-bookmark-option", "--conf", "--python-modules-installer-option",
        "--additional-python-modules", "--spark-event-logs-path", "--datalake-formats",
    }
)  # fmt: skip
# a script runs without them here, and the log says so. The other --enable- options change nothing that a script sees:
# workers aren't scaled, logs reach CloudWatch while a run goes on anyway, and there are no metrics of them
NOT_ACTED_ON = frozenset(
    {
        "--additional-python-modules", "--extra-jars", "--job-bookmark-option", "--datalake-formats",
        "--enable-glue-datacatalog",
    }
)  # fmt: skip


def is_glue_option(name: str) -> bool:
    """Say whether Glue keeps an argument for itself."""
    return name in GLUE_OPTIONS or name.startswith(("--enable-", "--continuous-log-"))


def event_logs_location(arguments: Mapping[str, str]) -> str | None:
    """Return the S3 URI below which Spark's event logs go, if the job wants them."""
    wanted = arguments.get("--enable-spark-ui", "").lower() == "true"
    return arguments.get("--spark-event-logs-path") if wanted else None


def listed(value: str | None) -> list[str]:
    """Split the value of an option that lists several."""
    return [item.strip() for item in (value or "").split(",") if item.strip()]


def spark_conf(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of Glue's `--conf`, which lists several as `a=b --conf c=d`."""
    settings = (part.strip() for part in arguments.get("--conf", "").split("--conf"))
    return dict(part.split("=", 1) for part in settings if "=" in part)
