"""Hearing of published days as any consumer would: by a rule on the event bus, with a queue behind it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from mlops_cli.data.dataset import Dataset
from mlops_cli.deployment import Deployment, DeploymentError

SOURCE, PUBLISHED = "mlops.data", "Dataset Published"
WAIT_SECONDS = 5


@dataclass(frozen=True)
class Announcements:
    """A queue that receives the events of a dataset's published days."""

    queue: str
    sqs: Any

    def wait_for(self, day: date, seconds: float) -> dict[str, Any]:
        """Return the detail of the event that announces a day. Raises DeploymentError when none comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.sqs.receive_message(QueueUrl=self.queue, WaitTimeSeconds=WAIT_SECONDS, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                detail: dict[str, Any] = json.loads(message["Body"])["detail"]
                if day.isoformat() in detail["days"]:
                    return detail
        raise DeploymentError(f"no event {PUBLISHED!r} told of {day} within {seconds:.0f} s")


@contextmanager
def announcements(deployment: Deployment, dataset: Dataset) -> Iterator[Announcements]:
    """Listen to a dataset for a while: the queue and the rule are gone afterwards."""
    sqs, events = deployment.client("sqs"), deployment.client("events")
    name = f"{dataset.workflow}-published-{uuid.uuid4().hex[:8]}"
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    try:
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": [SOURCE], "detail-type": [PUBLISHED], "detail": {"dataset": [dataset.name]}}
        rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        try:
            events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
            yield Announcements(queue, sqs)
        finally:
            events.remove_targets(Rule=name, Ids=["queue"])
            events.delete_rule(Name=name)
    finally:
        sqs.delete_queue(QueueUrl=queue)
