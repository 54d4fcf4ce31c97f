"""A CloudWatch dashboard of one model: what it is asked, how it answers, how far the world has moved, what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from .monitor_alarms import MonitorLimits, MonitorMetrics

_WIDE, _HALF, _HEIGHT = 24, 12, 6
_MINUTE = Duration.minutes(1)
_SHOWN = 20  # of releases
_SHOWN_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class ShownEndpoint:
    """The endpoint whose requests are shown, and its variant that answers."""

    endpoint_name: str
    variant_name: str

    def metric(self, name: str, statistic: str, label: str) -> cloudwatch.Metric:
        """One of SageMaker's own."""
        return cloudwatch.Metric(
            namespace="AWS/SageMaker",
            metric_name=name,
            dimensions_map={"EndpointName": self.endpoint_name, "VariantName": self.variant_name},
            statistic=statistic,
            period=_MINUTE,
            label=label,
        )


@dataclass(frozen=True, kw_only=True)
class ShownModel:
    """What a dashboard shows of a model.

    Parameters
    ----------
    metrics, limits
        Of its monitor.
    features
        Each is a line: how far it has moved, in thresholds.
    alarms
        Shown first, as they are.
    quality_metric
        The name of the metric of quality, as ``auc``.
    endpoint
        Where it answers; None for batch inference alone.
    pipelines
        The names of its pipelines with what they do, as ``{"dev-late": "Training"}``.
    release_logs
        The log groups of the state machines that release its versions.
    reports
        The S3 URI of the monitor's reports.
    """

    metrics: MonitorMetrics
    limits: MonitorLimits
    features: Sequence[str]
    alarms: Sequence[cloudwatch.IAlarm]
    quality_metric: str
    reports: str
    endpoint: ShownEndpoint | None = None
    pipelines: Mapping[str, str] = field(default_factory=dict)
    release_logs: Sequence[str] = ()


class ModelDashboard(Construct):
    """The dashboard, of which people know the name.

    Parameters
    ----------
    dashboard_name
        A contract: people find it by its name.
    shown
        The model.
    """

    def __init__(self, scope: Construct, construct_id: str, *, dashboard_name: str, shown: ShownModel) -> None:
        super().__init__(scope, construct_id)
        self.dashboard_name = dashboard_name
        self._shown, self._period = shown, shown.limits.period
        dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=dashboard_name,
            default_interval=Duration.days(_SHOWN_DAYS),
            period_override=cloudwatch.PeriodOverride.INHERIT,
        )
        dashboard.add_widgets(self._title())
        dashboard.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", width=_WIDE, alarms=list(shown.alarms)))
        if shown.endpoint:
            dashboard.add_widgets(*self._traffic(shown.endpoint))
        dashboard.add_widgets(self._drift(), self._moved())
        dashboard.add_widgets(self._quality(), self._judged())
        if shown.limits.bias or shown.limits.minimum_ndcg is not None:
            dashboard.add_widgets(*self._decisions())
        dashboard.add_widgets(*self._runs())

    def _title(self) -> cloudwatch.TextWidget:
        shown = self._shown
        return cloudwatch.TextWidget(
            markdown=(
                f"# {shown.metrics.model} in {shown.metrics.environment}\n"
                "Each run of the monitor leaves a page that says what moved, since when and how sure that is: "
                f"`{shown.reports}`"
            ),
            width=_WIDE,
            height=2,
        )

    def _traffic(self, endpoint: ShownEndpoint) -> list[cloudwatch.IWidget]:
        return [
            _graph(
                "Requests and errors",
                [endpoint.metric("Invocations", cloudwatch.Stats.SUM, "requests a minute")],
                [
                    endpoint.metric("Invocation4XXErrors", cloudwatch.Stats.SUM, "refused (4xx)"),
                    endpoint.metric("Invocation5XXErrors", cloudwatch.Stats.SUM, "failed (5xx)"),
                ],
            ),
            _graph(
                "Latency in microseconds",
                [
                    endpoint.metric("ModelLatency", cloudwatch.Stats.p(50), "model, half of the requests"),
                    endpoint.metric("ModelLatency", cloudwatch.Stats.p(99), "model, 99 of 100"),
                    endpoint.metric("OverheadLatency", cloudwatch.Stats.p(99), "SageMaker, 99 of 100"),
                ],
            ),
        ]

    def _drift(self) -> cloudwatch.IWidget:
        lines = [self._shown.metrics.feature(name, self._period) for name in self._shown.features]
        return _graph(
            "Drift by feature, in thresholds",
            lines,
            bounds=[_bound(1, "has moved")],
        )

    def _moved(self) -> cloudwatch.IWidget:
        return _graph(
            "Moved features and violated constraints",
            [self._metric("DriftedFeatures", "moved features"), self._metric("Violations", "violated constraints")],
            [self._metric("PredictionDrift", "PSI of the predictions")],
            bounds=[_bound(self._shown.limits.moved_features, "alarm")],
        )

    def _quality(self) -> cloudwatch.IWidget:
        loss = self._shown.limits.quality_loss
        bounds = [_bound(loss, "loss that is an alarm")] if loss is not None else []
        return _graph(
            f"Quality: {self._shown.quality_metric}, and what it has lost since training",
            [self._metric("Quality", self._shown.quality_metric)],
            [self._metric("QualityLoss", "loss")],
            right_bounds=bounds,
        )

    def _judged(self) -> cloudwatch.IWidget:
        return _graph(
            "Rows that were looked at, and labels that have come",
            [self._metric("MonitoredRows", "rows")],
            [self._metric("LabelledRows", "labels")],
        )

    def _decisions(self) -> list[cloudwatch.IWidget]:
        limits = self._shown.limits
        found: list[cloudwatch.IWidget] = []
        if limits.bias:
            found.append(_graph("Broken limits of fairness", [self._metric("BiasBroken", "broken limits")]))
        if limits.minimum_ndcg is not None:
            lines = [self._metric("AttributionNdcg", "1 is the order of training")]
            bounds = [_bound(limits.minimum_ndcg, "alarm")]
            found.append(_graph("Order of the features by their weight (NDCG)", lines, bounds=bounds))
        return found

    def _runs(self) -> list[cloudwatch.IWidget]:
        found: list[cloudwatch.IWidget] = []
        if self._shown.pipelines:
            # Source: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
            lines = [
                cloudwatch.Metric(
                    namespace="AWS/Sagemaker/ModelBuildingPipeline",
                    metric_name=metric,
                    dimensions_map={"PipelineName": name},
                    statistic=cloudwatch.Stats.SUM,
                    period=self._period,
                    label=f"{kind}: {ending}",
                )
                for name, kind in self._shown.pipelines.items()
                for metric, ending in (("ExecutionSucceeded", "ended well"), ("ExecutionFailed", "failed"))
            ]
            found.append(_graph("Executions of pipelines", lines))
        if self._shown.release_logs:
            found.append(
                cloudwatch.LogQueryWidget(
                    title="Releases: the newest first",
                    log_group_names=list(self._shown.release_logs),
                    query_lines=[
                        "fields @timestamp, details.output, details.cause",
                        'filter type in ["ExecutionSucceeded", "ExecutionFailed"]',
                        'filter type = "ExecutionFailed" or details.output not like /unchanged/',
                        "sort @timestamp desc",
                        f"limit {_SHOWN}",
                    ],
                    width=_HALF,
                    height=_HEIGHT,
                )
            )
        return found

    def _metric(self, name: str, label: str) -> cloudwatch.Metric:
        return self._shown.metrics.metric(name, self._period, label=label)


def _graph(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    right: Sequence[cloudwatch.IMetric] = (),
    *,
    bounds: Sequence[cloudwatch.HorizontalAnnotation] = (),
    right_bounds: Sequence[cloudwatch.HorizontalAnnotation] = (),
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_annotations=list(bounds),
        right_annotations=list(right_bounds),
        left_y_axis=cloudwatch.YAxisProps(show_units=False),
        right_y_axis=cloudwatch.YAxisProps(show_units=False),
        width=_HALF,
        height=_HEIGHT,
    )


def _bound(value: float, label: str) -> cloudwatch.HorizontalAnnotation:
    return cloudwatch.HorizontalAnnotation(value=value, label=label, color=cloudwatch.Color.RED)
