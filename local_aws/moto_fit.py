"""Where moto's behaviour has to fit a machine that serves AWS to itself over loopback."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any


def honour_loopback_transport() -> None:
    """Let bucket policies that deny plain HTTP pass.

    moto evaluates bucket policies without their conditions, so "deny unless aws:SecureTransport" denies everything.
    Traffic that never leaves the loopback interface counts as secure here; a Deny under any other condition is not
    applied either, since moto doesn't tell us the values to compare.
    """
    from moto.iam.access_control import IAMPolicy, PermissionResult
    from moto.s3.models import FakeBucket

    def get_permission(bucket: Any, action: str, resource: str) -> Any:
        if bucket.policy is None:
            return PermissionResult.NEUTRAL
        policy = json.loads(bucket.policy)
        statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
        unconditional = [one for one in statements if not (one["Effect"] == "Deny" and one.get("Condition"))]
        if not unconditional:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps({**policy, "Statement": unconditional})).is_action_permitted(action, resource)

    FakeBucket.get_permission = get_permission


def put_service_event(
    account: str, region: str, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]
) -> None:
    """Send an event of an AWS service (source `aws.*`, which PutEvents refuses) to the rules of the default bus."""
    from moto.events.models import events_backends

    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": resources,
        "detail": detail,
    }
    for rule in list(events_backends[account][region].event_buses["default"].rules.values()):
        if rule.state == "ENABLED":
            rule.send_to_targets(event)
