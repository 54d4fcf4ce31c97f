"""Asynchronous endpoints: requests wait, answers lie in S3, and instances come from none and go again."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.serving import Serving
from tests.local_aws.serving_shapes.conftest import TICK, Machine

TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/live/variant/live",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
BACKLOG = {"Namespace": "AWS/SageMaker", "Dimensions": [{"Name": "EndpointName", "Value": "live"}]}


class Asynchronous:
    """The asynchronous endpoint `live`, and two topics with a queue each that hears what they are told."""

    def __init__(self, machine: Machine, serving: Serving, wait: Callable[..., Any]) -> None:
        self.machine = machine
        self.serving = serving
        self.runtime = machine.client("sagemaker-runtime")
        self.s3 = machine.client("s3")
        self._wait = wait
        self.queues: dict[str, str] = {}
        sns, sqs = machine.client("sns"), machine.client("sqs")
        topics = {}
        for kind in ("SuccessTopic", "ErrorTopic"):
            topics[kind] = sns.create_topic(Name=kind)["TopicArn"]
            self.queues[kind] = sqs.create_queue(QueueName=kind)["QueueUrl"]
            arn = f"arn:aws:sqs:us-east-1:123456789012:{kind}"
            sns.subscribe(
                TopicArn=topics[kind], Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
            )
        serving.model("one", "first")
        output = {
            "S3OutputPath": "s3://lake/answers",
            "S3FailurePath": "s3://lake/failures/",
            "NotificationConfig": {**topics, "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]},
        }
        config = {"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2}}
        serving.config("config", {"live": "one"}, AsyncInferenceConfig=config)
        serving.create("config")

    def ask(self, body: str = "1,2", **extra: Any) -> dict[str, Any]:
        self.s3.put_object(Bucket="lake", Key="requests/one.csv", Body=body.encode())
        given = {"InputLocation": "s3://lake/requests/one.csv", "ContentType": "text/csv", **extra}
        return dict(self.runtime.invoke_endpoint_async(EndpointName="live", **given))

    def told(self, topic: str) -> dict[str, Any]:
        """Wait for the next message that a topic is told."""
        sqs, url = self.machine.client("sqs"), self.queues[topic]
        (message,) = self._wait(lambda: sqs.receive_message(QueueUrl=url).get("Messages", []), bool)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return dict(json.loads(message["Body"]))

    def content(self, location: str) -> str:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        return str(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())

    def count(self) -> int:
        return int(self.serving.settled()["ProductionVariants"][0]["CurrentInstanceCount"])

    def scale(self, count: int) -> None:
        self.serving.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="live", DesiredWeightsAndCapacities=[{"VariantName": "live", "DesiredInstanceCount": count}]
        )
        assert self.count() == count


@pytest.fixture
def asynchronous(machine: Machine, serving: Serving, wait: Callable[..., Any]) -> Asynchronous:
    machine.clock.advance(TICK)
    return Asynchronous(machine, serving, wait)


def test_answer_lies_in_s3_and_a_topic_is_told(asynchronous: Asynchronous) -> None:
    taken = asynchronous.ask(InferenceId="flight-1", Accept="text/csv", CustomAttributes="trace=7")
    assert taken["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert taken["InferenceId"] == "flight-1"
    message = asynchronous.told("SuccessTopic")
    assert asynchronous.content(taken["OutputLocation"]) == "first:"
    assert taken["OutputLocation"].startswith("s3://lake/answers/")
    assert message == {
        "awsRegion": "us-east-1",
        "eventTime": "2030-05-01T06:00:03.000Z",
        "receivedTime": "2030-05-01T06:00:03.000Z",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "text/csv",
            "contentType": "text/csv",
            "customAttributes": "trace=7",
            "endpointName": "live",
            "inputLocation": "s3://lake/requests/one.csv",
        },
        "responseParameters": {"contentType": "text/csv", "outputLocation": taken["OutputLocation"]},
        "responseBody": {"content": base64.b64encode(b"first:").decode(), "encoding": "BASE64"},
        "inferenceId": "flight-1",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_what_fails_lies_in_the_failure_path(asynchronous: Asynchronous) -> None:
    taken = asynchronous.ask("fail")
    message = asynchronous.told("ErrorTopic")
    assert (message["invocationStatus"], message["inferenceId"]) == ("Failed", taken["InferenceId"])
    assert message["failureReason"].startswith("ClientError: Received client error (400) from model.")
    assert asynchronous.content(taken["FailureLocation"]) == '{"error": "row 1: no"}'
    with pytest.raises(ClientError, match="NoSuchKey"):
        asynchronous.content(taken["OutputLocation"])
    asynchronous.ask(InputLocation="s3://lake/requests/none.csv")
    assert "s3://lake/requests/none.csv can't be read" in asynchronous.told("ErrorTopic")["failureReason"]
    asynchronous.ask("slow", InvocationTimeoutSeconds=1)
    assert asynchronous.told("SuccessTopic")


def test_requests_wait_for_an_instance_until_they_expire(asynchronous: Asynchronous) -> None:
    asynchronous.scale(0)
    first = asynchronous.ask(RequestTTLSeconds=60)
    second = asynchronous.ask(RequestTTLSeconds=3600)
    asynchronous.machine.pass_time(minutes=2)
    assert asynchronous.told("ErrorTopic")["inferenceId"] == first["InferenceId"]
    asynchronous.scale(1)
    assert asynchronous.told("SuccessTopic")["inferenceId"] == second["InferenceId"]


def test_endpoint_wakes_from_no_instance_and_goes_back_to_none(asynchronous: Asynchronous) -> None:
    scaling, machine = machine_scaling(asynchronous), asynchronous.machine
    waking = scaling.put_scaling_policy(
        **TARGET,
        PolicyName="waking",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )["PolicyARN"]
    machine.client("cloudwatch").put_metric_alarm(
        AlarmName="waiting", **BACKLOG, MetricName="HasBacklogWithoutCapacity", Statistic="Average", Period=60,
        EvaluationPeriods=1, Threshold=1.0, ComparisonOperator="GreaterThanOrEqualToThreshold", AlarmActions=[waking],
    )  # fmt: skip
    machine.pass_time(minutes=30)
    assert asynchronous.count() == 0
    taken = asynchronous.ask()
    machine.pass_time(minutes=3)
    assert asynchronous.told("SuccessTopic")["inferenceId"] == taken["InferenceId"]
    assert asynchronous.count() == 1
    machine.pass_time(hours=1)
    assert asynchronous.count() == 0


def machine_scaling(asynchronous: Asynchronous) -> Any:
    """Register the endpoint to be scaled by its backlog, from none to two instances."""
    scaling = asynchronous.machine.client("application-autoscaling")
    scaling.register_scalable_target(**TARGET, MinCapacity=0, MaxCapacity=2)
    metric = {**BACKLOG, "MetricName": "ApproximateBacklogSizePerInstance", "Statistic": "Average"}
    scaling.put_scaling_policy(
        **TARGET,
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 5.0, "CustomizedMetricSpecification": metric},
    )
    return scaling


def test_requests_that_wait_are_answered_by_the_model_of_an_update(asynchronous: Asynchronous) -> None:
    asynchronous.scale(0)
    taken = asynchronous.ask()
    asynchronous.serving.model("two", "second")
    config = {"OutputConfig": {"S3OutputPath": "s3://lake/elsewhere"}}
    asynchronous.serving.config("config-two", {"live": "two"}, AsyncInferenceConfig=config)
    found = asynchronous.serving.update("config-two")
    assert found["AsyncInferenceConfig"] == config
    asynchronous.machine.settled()
    assert asynchronous.content(taken["OutputLocation"]) == "second:"


def test_backlog_is_measured(asynchronous: Asynchronous) -> None:
    asynchronous.scale(0)
    for _ in range(3):
        asynchronous.ask()
    asynchronous.machine.pass_time(minutes=1)
    cloudwatch = asynchronous.machine.client("cloudwatch")

    def newest(name: str, statistic: str = "Maximum") -> float:
        now = asynchronous.machine.clock.now()
        found = cloudwatch.get_metric_statistics(
            **BACKLOG, MetricName=name, Statistics=[statistic], Period=3600,
            StartTime=now.replace(hour=5), EndTime=now.replace(hour=8),
        )["Datapoints"]  # fmt: skip
        return float(found[-1][statistic])

    assert newest("ApproximateBacklogSize") == 3
    assert newest("HasBacklogWithoutCapacity") == 1
    asynchronous.scale(1)
    for _ in range(3):
        asynchronous.told("SuccessTopic")
    asynchronous.machine.pass_time(minutes=2)
    assert newest("ApproximateBacklogSizePerInstance", "Minimum") == 0


def test_request_that_cant_be_met_is_refused(asynchronous: Asynchronous) -> None:
    for wrong, told in (
        ({"InvocationTimeoutSeconds": 3601}, "3601"),
        ({"RequestTTLSeconds": 21601}, "21601"),
        ({"InputLocation": "https://example.com/x"}, "must be an S3 URI"),
        ({"Filename": "x.csv"}, "don't know Filename"),
    ):
        with pytest.raises(ClientError, match=told):
            asynchronous.ask(**wrong)


def test_each_kind_of_endpoint_refuses_the_other_kind_of_request(asynchronous: Asynchronous) -> None:
    with pytest.raises(ClientError, match="InvokeEndpointAsync"):
        asynchronous.serving.invoke()
    asynchronous.serving.config("at-once", {"live": "one"})
    asynchronous.serving.update("at-once")
    with pytest.raises(ClientError, match="Use InvokeEndpoint"):
        asynchronous.ask()
    config = {"OutputConfig": {"S3OutputPath": "s3://lake/answers"}}
    with pytest.raises(ClientError, match="one production variant"):
        asynchronous.serving.config("two", {"live": "one", "other": "one"}, AsyncInferenceConfig=config)
