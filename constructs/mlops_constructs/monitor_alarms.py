"""What a monitor's job measures, as CloudWatch metrics, and the alarms on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

Cause = Literal["drift", "quality", "bias", "attributions", "silent"]
_MOST_LOOKED_BACK = Duration.days(7)


@dataclass(frozen=True, kw_only=True)
class MonitorMetrics:
    """Where the metrics of a model's monitor lie; its job writes them to its log in the embedded metric format.

    Parameters
    ----------
    namespace
        As ``mlops/Monitoring``.
    environment, model
        The values of the dimensions Environment and Model.
    """

    namespace: str
    environment: str
    model: str

    def variables(self) -> Mapping[str, str]:
        """The environment variables by which the job knows them, beside MODEL_NAME."""
        return {"METRICS_NAMESPACE": self.namespace, "METRICS_ENVIRONMENT": self.environment}

    def metric(
        self, name: str, period: Duration, *, statistic: str = cloudwatch.Stats.MAXIMUM, label: str | None = None
    ) -> cloudwatch.Metric:
        """A metric of the whole model; of several runs in a period the worst, unless told otherwise."""
        return self._metric(name, {}, period, statistic, label)

    def feature(self, name: str, period: Duration) -> cloudwatch.Metric:
        """How far a feature has moved, in thresholds."""
        return self._metric("FeatureDrift", {"Feature": name}, period, cloudwatch.Stats.MAXIMUM, name)

    def _metric(
        self, name: str, dimensions: Mapping[str, str], period: Duration, statistic: str, label: str | None
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=self.namespace,
            metric_name=name,
            dimensions_map={"Environment": self.environment, "Model": self.model, **dimensions},
            statistic=statistic,
            period=period,
            label=label,
        )


@dataclass(frozen=True, kw_only=True)
class MonitorLimits:
    """From where on a model is told to be bad; None for what isn't checked.

    Parameters
    ----------
    moved_features
        How many features have to have moved.
    quality_loss
        By how much the metric may be worse than at training, in its own unit.
    bias
        Whether any broken limit of fairness counts.
    minimum_ndcg
        The least similarity of the order of features by their weight.
    period
        Of the alarms: at least one run of the monitor falls into each; an hour to a day.
    datapoints, of
        How many of the last periods with a run have to be bad. Together they are seven days at the most.
    """

    moved_features: int = 1
    quality_loss: float | None = None
    bias: bool = False
    minimum_ndcg: float | None = None
    period: Duration = field(default_factory=lambda: Duration.days(1))
    datapoints: int = 2
    of: int = 3

    def __post_init__(self) -> None:
        """Refuse what CloudWatch refuses."""
        if not 1 <= self.datapoints <= self.of:
            raise ValueError(f"datapoints must be from 1 to {self.of}, got {self.datapoints}")
        if not 3600 <= self.period.to_seconds() <= 86400:
            raise ValueError(f"period must be from an hour to a day, got {self.period.to_human_string()}")
        if self.of * self.period.to_seconds() > _MOST_LOOKED_BACK.to_seconds():
            raise ValueError(f"an alarm looks back seven days at the most, got {self.of} periods; lower of, or period")
        if self.moved_features < 1:
            raise ValueError(f"moved_features must be at least 1, got {self.moved_features}")


class MonitorAlarms(Construct):
    """The alarms of one monitor, each of which tells a topic.

    Periods without a run, and runs that had too little to judge, change nothing: an alarm stays as it is.

    Parameters
    ----------
    metrics, limits
        Of the monitor.
    topic
        Is told. Its policy must let CloudWatch publish, and the policy of its key let CloudWatch use that.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        metrics: MonitorMetrics,
        limits: MonitorLimits,
        topic: sns.ITopic,
    ) -> None:
        super().__init__(scope, construct_id)
        self._metrics, self._limits, self._topic = metrics, limits, topic
        self.by_cause: dict[Cause, cloudwatch.Alarm] = {}
        at_least = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        above = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
        below = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
        several = f"{limits.moved_features} or more features have" if limits.moved_features > 1 else "A feature has"
        self._watch("drift", "DriftedFeatures", limits.moved_features, at_least, f"{several} moved")
        if limits.quality_loss is not None:
            # not QualityLoss itself, which is beyond its limit by chance where labels are few
            told = f"The quality is worse than at training by more than {limits.quality_loss:g}, beyond chance"
            self._watch("quality", "QualityBroken", 1, at_least, told)
        if limits.bias:
            self._watch("bias", "BiasBroken", 0, above, "A limit of fairness is broken")
        if limits.minimum_ndcg is not None:
            told = f"Other features decide than at training: the NDCG of their weights is below {limits.minimum_ndcg:g}"
            self._watch("attributions", "AttributionNdcg", limits.minimum_ndcg, below, told)

    def watch_silence(self, endpoint_name: str, variant_name: str, periods: int) -> cloudwatch.Alarm:
        """Add the alarm on an endpoint that is there, of whose requests no run has seen any.

        Nobody asks it, or it captures nothing, or the monitor doesn't run. An endpoint that is there tells how busy its
        machines are; without one there is nothing to see, and the alarm is off. In so many `periods` there is a run of
        the monitor at least.
        """
        period = self._limits.period
        there = cloudwatch.Metric(
            namespace="/aws/sagemaker/Endpoints",
            metric_name="CPUUtilization",
            dimensions_map={"EndpointName": endpoint_name, "VariantName": variant_name},
            statistic=cloudwatch.Stats.SAMPLE_COUNT,
            period=period,
        )
        seen = cloudwatch.MathExpression(
            expression="IF(there > 0, FILL(rows, 0))",
            label="Rows of the last day that the monitor has seen of an endpoint that is there",
            period=period,
            using_metrics={"there": there, "rows": self._metrics.metric("RecentRows", period)},
        )
        alarm = cloudwatch.Alarm(
            self,
            "Silent",
            alarm_description=(
                f"{endpoint_name} in {self._metrics.environment} is there, and the monitor sees no requests of it: "
                "nobody asks it, its requests aren't captured, or the monitor fails; see its pipeline"
            ),
            metric=seen,
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        return self._tell("silent", alarm)

    def _watch(
        self,
        cause: Cause,
        metric: str,
        threshold: float,
        comparison: cloudwatch.ComparisonOperator,
        told: str,
    ) -> None:
        limits, metrics = self._limits, self._metrics
        worst = cloudwatch.Stats.MINIMUM if cause == "attributions" else cloudwatch.Stats.MAXIMUM
        often = f"{limits.datapoints} of the last {limits.of} times" if limits.of > 1 else "the last time"
        alarm = cloudwatch.Alarm(
            self,
            cause.capitalize(),
            alarm_description=(
                f"{told} ({metrics.model} in {metrics.environment}, {often}): see the report of its monitor"
            ),
            metric=metrics.metric(metric, limits.period, statistic=worst),
            threshold=threshold,
            comparison_operator=comparison,
            evaluation_periods=limits.of,
            datapoints_to_alarm=limits.datapoints,
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        self._tell(cause, alarm)

    def _tell(self, cause: Cause, alarm: cloudwatch.Alarm) -> cloudwatch.Alarm:
        alarm.add_alarm_action(actions.SnsAction(self._topic))
        self.by_cause[cause] = alarm
        return alarm
