"""The processing job of an execution: SageMaker publishes the metrics that its container leaves behind.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-cloudwatch.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from local_aws.jobs.process import Outcome
from local_aws.sagemaker.processing_job import ProcessingJob

METRICS_FOLDER = "/opt/ml/output/metrics/cloudwatch"
BATCH = 500
NAMESPACES: Mapping[str, str] = {
    "DataQuality": "aws/sagemaker/Endpoints/data-metrics",
    "ModelQuality": "aws/sagemaker/Endpoints/model-metrics",
    "ModelBias": "aws/sagemaker/Endpoints/bias-metrics",
    "ModelExplainability": "aws/sagemaker/Endpoints/explainability-metrics",
}
_MEMBERS = ("MetricName", "Dimensions", "Value", "Values", "Counts", "StatisticValues", "Unit")


class MonitoringJob(ProcessingJob):
    """A processing job whose container may leave files of metrics, one metric on a line.

    A line that is none is in the job's log, and doesn't fail the job. A time at which the job ran is the machine's, and
    moved on as the clock was; any other time, as that of the window, is taken as it is.
    """

    namespace = NAMESPACES["DataQuality"]

    def _prepare(self) -> None:
        self._began = datetime.now(UTC) - timedelta(minutes=1)
        super()._prepare()

    def _upload(self, outcome: Outcome) -> None:
        super()._upload(outcome)
        if self.record.get("Environment", {}).get("publish_cloudwatch_metrics") != "Enabled":
            return
        metrics = list(self._metrics())
        for start in range(0, len(metrics), BATCH):
            try:
                self._client("cloudwatch").put_metric_data(
                    Namespace=self.namespace, MetricData=metrics[start : start + BATCH]
                )
            except (ClientError, BotoCoreError) as error:
                self._say(f"metrics couldn't be published: {error}")

    def _metrics(self) -> Iterator[dict[str, Any]]:
        folder = self._path(METRICS_FOLDER)
        for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
            for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if text.strip():
                    try:
                        yield self._metric(json.loads(text))
                    except (ValueError, KeyError, TypeError, ParamValidationError) as error:
                        self._say(f"{path.name}, line {number} is no metric: {type(error).__name__}: {error}")

    def _metric(self, line: Mapping[str, Any]) -> dict[str, Any]:
        found = {member: line[member] for member in _MEMBERS if line.get(member) is not None}
        if "MetricName" not in found or not found.keys() & {"Value", "Values", "StatisticValues"}:
            raise ValueError("it needs a MetricName and a Value, Values or StatisticValues")
        text = line.get("Timestamp")
        now = datetime.now(UTC)
        moment = now if text is None else datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if self._began <= moment <= now + timedelta(minutes=1):
            moment += self._workspace.now() - now
        return {**found, "Timestamp": moment}

    def _say(self, text: str) -> None:
        if self._log is not None:
            self._log.write(f"local AWS: {text}")


def monitoring_job(kind: str) -> type[MonitoringJob]:
    """Return the type of the jobs of one kind of monitoring."""
    return _TYPES[kind]


_TYPES: Mapping[str, type[MonitoringJob]] = {
    kind: type(f"{kind}Job", (MonitoringJob,), {"namespace": namespace}) for kind, namespace in NAMESPACES.items()
}
