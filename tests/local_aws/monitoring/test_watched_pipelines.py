"""A schedule starts a pipeline whose job tells metrics; alarms follow them day by day, and start a state machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.local_aws.cloudformation.deployer import Deployer, resource
from tests.local_aws.executors.serving import ROLE
from tests.local_aws.monitoring.conftest import REGISTRY, Monitoring

# tells how many features have moved
TELL = """
directive = {"Namespace": "shop/Monitoring", "Dimensions": [["Model"]], "Metrics": [{"Name": "Drifted"}]}
head = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
print(json.dumps({"_aws": head, "Model": sys.argv[1], "Drifted": MOVED}), flush=True)
"""


def pipeline(name: str) -> dict[str, Any]:
    step = {
        "Name": "Monitor",
        "Type": "Processing",
        "Arguments": {
            "AppSpecification": {
                "ImageUri": f"{REGISTRY}/monitor:1",
                "ContainerArguments": [{"Get": "Parameters.Model"}, "--now", {"Get": "Execution.StartDateTime"}],
            },
            "RoleArn": ROLE,
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 20}
            },
        },
    }
    parameters = [{"Name": "Model", "Type": "String"}]
    definition = {"Version": "2020-12-01", "Parameters": parameters, "Steps": [step]}
    body = {"PipelineDefinitionBody": json.dumps(definition)}
    return resource("SageMaker::Pipeline", {"PipelineName": name, "RoleArn": ROLE, "PipelineDefinition": body})


def schedule(name: str) -> dict[str, Any]:
    target = {
        "Arn": f"arn:aws:sagemaker:us-east-1:123456789012:pipeline/{name}",
        "RoleArn": ROLE,
        "SageMakerPipelineParameters": {"PipelineParameterList": [{"Name": "Model", "Value": name}]},
    }
    properties = {
        "ScheduleExpression": "cron(0 10 * * ? *)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": target,
    }  # fmt: skip
    return resource("Scheduler::Schedule", properties, DependsOn=["Pipeline"])


def alarm(name: str, missing: str = "ignore", **changes: Any) -> dict[str, Any]:
    properties = {
        "AlarmName": f"{name}-{missing}",
        "Namespace": "shop/Monitoring",
        "MetricName": "Drifted",
        "Dimensions": [{"Name": "Model", "Value": name}],
        "Statistic": "Maximum",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 1,
        "Period": 86400,
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "TreatMissingData": missing,
    }
    return resource("CloudWatch::Alarm", properties | changes)


def reaction(name: str) -> dict[str, Any]:
    """Return a state machine that waits for another one when the alarm goes off, and tells a topic what came of it."""
    states = {
        "Train": {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Arguments": {
                "StateMachineArn": "${Training.Arn}",
                "Input": {"Alarm": "{% $states.input.detail.alarmName %}"},
            },
            "Output": "{% $states.result.Output %}",
            "Next": "Tell",
        },
        "Tell": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sns:publish",
            "Arguments": {"TopicArn": "${Topic}", "Message": "{% $states.input.trained %}"},
            "End": True,
        },
    }
    training = {"Train": {"Type": "Wait", "Seconds": 7200, "Next": "End"},
                "End": {"Type": "Succeed", "Output": {"trained": "{% $states.input.Alarm %}"}}}  # fmt: skip

    def machine(name: str, states: dict[str, Any]) -> dict[str, Any]:
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        text = {"Fn::Sub": json.dumps(definition)} if "${" in json.dumps(states) else json.dumps(definition)
        return resource(
            "StepFunctions::StateMachine", {"StateMachineName": name, "RoleArn": ROLE, "DefinitionString": text}
        )

    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [f"{name}-ignore"], "state": {"value": ["ALARM"]}},
    }
    target = {"Id": "machine", "Arn": {"Ref": "Reaction"}, "RoleArn": ROLE}
    subscription = {"Protocol": "sqs", "TopicArn": {"Ref": "Topic"},
                    "Endpoint": f"arn:aws:sqs:us-east-1:123456789012:{name}"}  # fmt: skip
    return {
        "Topic": resource("SNS::Topic", {}),
        "Heard": resource("SNS::Subscription", subscription),
        "Training": machine(f"{name}-training", training),
        "Reaction": machine(f"{name}-retraining", states),
        "Rule": resource("Events::Rule", {"EventPattern": pattern, "State": "ENABLED", "Targets": [target]}),
    }


class Watched:
    """A deployed monitor whose findings a test names day by day."""

    def __init__(self, monitoring: Monitoring, stack: Deployer) -> None:
        self.monitoring = monitoring
        self.name = monitoring.name
        self.finds("nothing")
        client = monitoring.context.client
        self.queue = client("sqs").create_queue(QueueName=self.name)["QueueUrl"]
        missing = ("ignore", "missing", "breaching", "notBreaching")
        silent = alarm(
            self.name, "breaching", AlarmName=f"{self.name}-silent", Statistic="SampleCount", Threshold=0,
            ComparisonOperator="LessThanOrEqualToThreshold", EvaluationPeriods=2,
        )  # fmt: skip
        found = stack.deploy(
            {
                "Pipeline": pipeline(self.name), "Schedule": schedule(self.name), "Silent": silent,
                **{f"Alarm{each}": alarm(self.name, each) for each in missing}, **reaction(self.name),
            }
        )  # fmt: skip
        assert found["StackStatus"] == "CREATE_COMPLETE", stack.reasons()

    def finds(self, moved: int | str) -> None:
        self.monitoring.monitor("" if moved == "nothing" else TELL.replace("MOVED", str(moved)))

    def day(self, moved: int | str) -> dict[str, str]:
        """Let the next run find this, and return the states of the alarms an hour after it, by their last words."""
        self.finds(moved)
        now = self.monitoring.clock.now()
        run = now.replace(hour=10, minute=0, second=0, microsecond=0)
        self.monitoring.reach((run if run > now else run + timedelta(days=1)) + timedelta(hours=1))
        return self.states()

    def states(self) -> dict[str, str]:
        alarms = self.monitoring.context.client("cloudwatch").describe_alarms(AlarmNamePrefix=self.name)["MetricAlarms"]
        return {each["AlarmName"].rpartition("-")[2]: each["StateValue"] for each in alarms}

    def executions(self, which: str) -> list[dict[str, Any]]:
        arn = f"arn:aws:states:us-east-1:123456789012:stateMachine:{self.name}-{which}"
        found = self.monitoring.context.client("stepfunctions").list_executions(stateMachineArn=arn)
        return list(found["executions"])

    def heard(self) -> list[str]:
        received = self.monitoring.context.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [json.loads(each["Body"])["Message"] for each in received.get("Messages", [])]


@pytest.fixture
def watched(monitoring: Monitoring) -> Iterator[Watched]:
    stack = Deployer(monitoring.context, f"{monitoring.name}-stack")
    yield Watched(monitoring, stack)
    stack.destroy()


def test_days_of_drift_end_in_a_training_and_calm_days_in_none(watched: Watched) -> None:
    assert watched.day(0) == {
        "ignore": "OK", "missing": "OK", "breaching": "ALARM", "notBreaching": "OK", "silent": "OK",
    }  # fmt: skip
    newest = watched.monitoring.sagemaker.list_processing_jobs(MaxResults=1)["ProcessingJobSummaries"][0]
    job = watched.monitoring.sagemaker.describe_processing_job(ProcessingJobName=newest["ProcessingJobName"])
    began = datetime.fromisoformat(job["AppSpecification"]["ContainerArguments"][2])
    assert (began.hour, began.date()) == (10, watched.monitoring.clock.now().date())
    assert watched.day(3)["ignore"] == "OK"
    assert watched.executions("retraining") == []

    states = watched.day(2)
    assert {states[each] for each in ("ignore", "missing", "breaching", "notBreaching")} == {"ALARM"}
    (training,) = watched.executions("training")
    assert training["status"] == "RUNNING"
    watched.monitoring.pass_time(hours=2)
    assert [each["status"] for each in watched.executions("retraining")] == ["SUCCEEDED"]
    assert watched.heard() == [f"{watched.name}-ignore"]

    # 0 after 2 and 3: still two of three; then it is over
    assert watched.day(0)["ignore"] == "ALARM"
    assert watched.day(0)["ignore"] == "OK"
    assert len(watched.executions("retraining")) == 1


def test_days_without_a_word_are_what_the_alarms_say_they_are(watched: Watched) -> None:
    for moved in (1, 1):
        states = watched.day(moved)
    assert states == {
        "ignore": "ALARM", "missing": "ALARM", "breaching": "ALARM", "notBreaching": "ALARM", "silent": "OK",
    }  # fmt: skip
    states = watched.day("nothing")
    assert (states["ignore"], states["silent"]) == ("ALARM", "OK")
    # one breach is left, as old as two datapoints, and two days are missing
    states = watched.day("nothing")
    assert states == {
        "ignore": "ALARM", "missing": "ALARM", "breaching": "ALARM", "notBreaching": "OK", "silent": "ALARM",
    }  # fmt: skip
    states = watched.day("nothing")
    assert states == {
        "ignore": "ALARM", "missing": "INSUFFICIENT_DATA", "breaching": "ALARM", "notBreaching": "OK",
        "silent": "ALARM",
    }  # fmt: skip
    assert len(watched.executions("retraining")) == 1
