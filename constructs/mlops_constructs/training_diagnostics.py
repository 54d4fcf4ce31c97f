"""The rules that watch a training, as CloudWatch metrics, and the alarm on those that only warn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

PERIOD = Duration.hours(1)


@dataclass(frozen=True, kw_only=True)
class DiagnosticMetrics:
    """Where the metrics of a model's trainings lie.

    The training job writes them to its log in the embedded metric format, of which CloudWatch Logs makes metrics by
    itself: the job calls nothing, needs no permission beside that on its log, and may have no network. A job's own
    metrics in ``/aws/sagemaker/TrainingJobs`` have the job's name as their dimension, which is another one each time.

    Parameters
    ----------
    namespace
        As ``mlops/Training``; an account may hold several environments, so `environment` is a dimension.
    environment
        The value of the dimension Environment.
    model
        The value of the dimension Model: the job's variable MODEL_NAME.
    """

    namespace: str
    environment: str
    model: str

    def variables(self) -> Mapping[str, str]:
        """The environment variables by which a training job knows them, beside MODEL_NAME."""
        return {"METRICS_NAMESPACE": self.namespace, "METRICS_ENVIRONMENT": self.environment}

    def rule(self, name: str) -> cloudwatch.Metric:
        """1 when a rule was broken by any training of an hour, 0 when it held; no data for a rule that is off."""
        return self._metric("RuleBroken", {"Rule": name})

    def warnings(self) -> cloudwatch.Metric:
        """The broken rules that only warn, of the training of an hour that broke the most."""
        return self._metric("RulesWarning", {})

    def _metric(self, name: str, dimensions: Mapping[str, str]) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=self.namespace,
            metric_name=name,
            dimensions_map={"Environment": self.environment, "Model": self.model, **dimensions},
            statistic=cloudwatch.Stats.MAXIMUM,
            period=PERIOD,
        )


class DiagnosticAlarm(Construct):
    """An alarm when a training breaks rules that only warn.

    Rules that stop a training need none: their job fails, and so does its pipeline. The alarm is on for an hour after
    such a training; hours without a training count as good.

    Parameters
    ----------
    metrics
        Those of the model.
    topic
        Is told. Its policy must let CloudWatch publish, and the policy of its key let CloudWatch use that.
    """

    def __init__(self, scope: Construct, construct_id: str, *, metrics: DiagnosticMetrics, topic: sns.ITopic) -> None:
        super().__init__(scope, construct_id)
        self.alarm = cloudwatch.Alarm(
            self,
            "Alarm",
            alarm_description=(
                f"A training of {metrics.model} broke rules that warn: see RuleBroken in {metrics.namespace}, and "
                "diagnostics.json of the training job"
            ),
            metric=metrics.warnings(),
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        self.alarm.add_alarm_action(actions.SnsAction(topic))
