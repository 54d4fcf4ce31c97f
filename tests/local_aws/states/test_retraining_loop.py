"""The loop that retrains a model until its alarms are off, against alarms, trainings and a topic that are there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from mlops_constructs.retraining_definition import Retraining, retraining_definition
from mlops_constructs.trigger_definition import trigger_definition
from tests.local_aws.asking import until
from tests.local_aws.states.conftest import IMAGE, ROLE, States

NAME, GROUP, ALARM = "dev-looped", "dev-looped-group", "dev-looped-drift"
HOURS = 24


def step(name: str, kind: str, **arguments: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": arguments}


class Loop:
    """A model whose training ends as the next of `outcomes` says, an alarm, and somebody who is told."""

    def __init__(self, states: States) -> None:
        self.states = states
        client = states.context.client
        self.cloudwatch, self.sns, self.sqs = client("cloudwatch"), client("sns"), client("sqs")
        self.sagemaker = states.sagemaker
        self.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        self.cloudwatch.put_metric_alarm(
            AlarmName=ALARM, AlarmDescription="A feature has moved", Namespace="x", MetricName="x", Threshold=1,
            Statistic="Maximum", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Period=3600,
            TreatMissingData="ignore",
        )  # fmt: skip
        self.topic = self.sns.create_topic(Name="told")["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName=f"told-{uuid.uuid4()}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.subscription = self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
        self.train("registers")
        self.trigger = states.create_from(trigger_definition(NAME))
        self.machine = states.create_from(retraining_definition(self.loop))

    @property
    def loop(self) -> Retraining:
        return Retraining(
            name=NAME,
            alarm_names=[ALARM],
            trigger_arn=self.trigger,
            topic_arn=self.topic,
            cool_down_seconds=HOURS * 3600,
            stop_after=3,
            reports="s3://artifacts/model's/monitoring/reports",
        )

    def train(self, how: str) -> None:
        """Have trainings end so from now on."""
        register = step(
            "Register",
            "RegisterModel",
            ModelPackageGroupName=GROUP,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://artifacts/model.tar.gz"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )
        steps = {
            "registers": [register],
            "rejects": [step("Rejected", "Fail", ErrorMessage="auc 0.61 is below 0.65")],
        }
        definition = {"Version": "2020-12-01", "Parameters": [], "Steps": steps[how]}
        given = {"PipelineName": NAME, "PipelineDefinition": json.dumps(definition), "RoleArn": ROLE}
        if self.sagemaker.list_pipelines(PipelineNamePrefix=NAME)["PipelineSummaries"]:
            self.sagemaker.update_pipeline(**given)
        else:
            self.sagemaker.create_pipeline(**given, ClientRequestToken=str(uuid.uuid4()))

    def alarm(self, state: str) -> None:
        self.cloudwatch.set_alarm_state(AlarmName=ALARM, StateValue=state, StateReason="the test says so")

    def decide(self, status: str) -> None:
        for package in self.versions():
            self.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus=status)

    def versions(self) -> list[str]:
        found = self.sagemaker.list_model_packages(ModelPackageGroupName=GROUP)["ModelPackageSummaryList"]
        return [each["ModelPackageArn"] for each in found]

    def trainings(self) -> int:
        return len(self.sagemaker.list_pipeline_executions(PipelineName=NAME)["PipelineExecutionSummaries"])

    def start(self) -> str:
        return self.states.start(self.machine)

    def pass_attempt(self, execution: str, number: int = 1) -> None:
        """Let time pass until the training of an attempt has ended and the loop cools down."""
        for _ in range(40):
            if self.states.current_states(execution).count("CoolDown") == number:
                return
            self.states.pass_time(seconds=60)
        raise AssertionError(self.states.current_states(execution))

    def pass_cool_down(self) -> None:
        self.states.pass_time(hours=HOURS)

    def told(self) -> list[dict[str, Any]]:
        found = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(each["Body"]) for each in found]

    def remove(self) -> None:
        for machine in (self.machine, self.trigger):
            self.states.api.delete_state_machine(stateMachineArn=machine)
        for package in self.versions():
            self.sagemaker.delete_model_package(ModelPackageName=package)
        self.sagemaker.delete_model_package_group(ModelPackageGroupName=GROUP)
        self.sagemaker.delete_pipeline(PipelineName=NAME, ClientRequestToken=str(uuid.uuid4()))
        self.cloudwatch.delete_alarms(AlarmNames=[ALARM])
        self.sns.unsubscribe(SubscriptionArn=self.subscription)
        self.sqs.delete_queue(QueueUrl=self.queue)


@pytest.fixture
def loop(states: States) -> Iterator[Loop]:
    made = Loop(states)
    yield made
    made.remove()


def output(loop: Loop, execution: str) -> dict[str, Any]:
    found = loop.states.ended(execution)
    assert found["status"] == "SUCCEEDED", found
    return dict(json.loads(found["output"]))


def test_nothing_is_trained_when_the_alarm_is_off_again(loop: Loop) -> None:
    loop.alarm("OK")
    execution = loop.start()
    loop.states.pass_time(minutes=1)
    assert output(loop, execution) == {"outcome": "calm", "reason": "the alarms are off", "attempts": []}
    assert loop.trainings() == 0


def test_version_that_is_approved_late_is_given_the_time_to_show_what_it_does(loop: Loop) -> None:
    loop.alarm("ALARM")
    execution = loop.start()
    loop.pass_attempt(execution)
    loop.states.pass_time(hours=HOURS - 1)
    loop.decide("Approved")
    loop.states.pass_time(hours=2)  # the cool-down of the training is over, not that of the approval
    assert loop.states.current_states(execution)[-1] == "WaitForRuns"
    assert loop.trainings() == 1
    loop.alarm("OK")
    loop.pass_cool_down()
    assert output(loop, execution)["outcome"] == "calm"
    assert loop.trainings() == 1


def test_training_that_helps_ends_the_loop_and_tells_nobody(loop: Loop) -> None:
    loop.alarm("ALARM")
    execution = loop.start()
    loop.pass_attempt(execution)
    loop.decide("Approved")
    loop.alarm("OK")
    loop.pass_cool_down()
    found = output(loop, execution)
    (version,) = loop.versions()
    (attempt,) = found["attempts"]
    assert found["outcome"] == "calm"
    assert (attempt["outcome"], attempt["reason"]) == ("registered", version)
    assert f"pipeline/{NAME}/execution/" in attempt["training"]
    assert loop.told() == []


def test_alarm_that_goes_off_during_a_retraining_joins_it(loop: Loop) -> None:
    loop.alarm("ALARM")
    # the clock stands, so that they begin together: the ARN decides
    first, second = sorted([loop.start(), loop.start()])
    loop.pass_attempt(first)
    assert output(loop, second) == {"outcome": "joined", "reason": f"{first} is at it"}
    assert loop.trainings() == 1
    third = loop.start()
    loop.states.pass_time(minutes=1)
    assert output(loop, third)["outcome"] == "joined"
    assert loop.trainings() == 1


def test_candidates_that_the_gate_rejects_three_times_are_given_up_and_a_person_is_told(loop: Loop) -> None:
    loop.train("rejects")
    loop.alarm("ALARM")
    execution = loop.start()
    for attempt in range(1, 4):
        loop.pass_attempt(execution, attempt)
        assert loop.trainings() == attempt
        assert loop.told() == []
        loop.pass_cool_down()
    found = output(loop, execution)
    assert found["outcome"] == "given up"
    assert found["reason"].startswith("rejected: Rejected: ")
    assert [each["outcome"] for each in found["attempts"]] == ["rejected"] * 3
    (message,) = until(loop.told)
    assert message["Subject"] == "dev-looped: retraining didn't help"
    lines = message["Message"].splitlines()
    assert lines[:2] == ["dev-looped was trained again, and its alarms are still on:", "- A feature has moved"]
    assert lines[3].startswith("Attempt 1: rejected, Rejected: ")
    assert "auc 0.61 is below 0.65" in lines[3]
    assert lines[5].startswith("Attempt 3: ")
    assert "s3://artifacts/model's/monitoring/reports" in lines[-1]


def test_version_that_was_released_and_did_not_help_is_followed_by_another(loop: Loop) -> None:
    loop.alarm("ALARM")
    execution = loop.start()
    loop.pass_attempt(execution)
    loop.decide("Approved")
    loop.pass_cool_down()
    loop.pass_attempt(execution, 2)
    assert loop.trainings() == 2


def test_version_that_waits_for_its_approval_is_not_followed_by_another_training(loop: Loop) -> None:
    loop.alarm("ALARM")
    execution = loop.start()
    for attempt in range(1, 4):
        loop.pass_attempt(execution, attempt)
        loop.pass_cool_down()
    found = output(loop, execution)
    assert [each["outcome"] for each in found["attempts"]] == ["registered", "waiting", "waiting"]
    assert loop.trainings() == 1
    (message,) = until(loop.told)
    assert f"{loop.versions()[0]} is not approved yet" in message["Message"]


def test_training_that_can_not_be_started_counts_with_its_reason(loop: Loop) -> None:
    loop.states.api.update_state_machine(
        stateMachineArn=loop.trigger,
        definition=json.dumps(
            {
                "QueryLanguage": "JSONata",
                "StartAt": "No",
                "States": {"No": {"Type": "Succeed", "Output": {"waits_for": "s3://curated/manifest.json"}}},
            }
        ),
    )
    loop.alarm("ALARM")
    execution = loop.start()
    loop.pass_attempt(execution)
    loop.alarm("OK")
    loop.pass_cool_down()
    (attempt,) = output(loop, execution)["attempts"]
    assert attempt == {
        "outcome": "no data", "reason": "there is no published data to train on yet", "training": "none",
    }  # fmt: skip
