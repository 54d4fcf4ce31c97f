"""Deploys templates and looks at what came of it."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import WaiterError

from local_aws.service import LocalContext

Resources = dict[str, Any]
_WAIT = {"Delay": 0, "MaxAttempts": 3000}
_CAPABILITIES = ["CAPABILITY_NAMED_IAM"]


@dataclass
class Deployer:
    """Deploys templates under one stack name and looks at what came of it."""

    context: LocalContext
    name: str
    created: bool = field(default=False)

    def client(self, service: str) -> Any:
        return self.context.client(service)

    @property
    def cloudformation(self) -> Any:
        return self.client("cloudformation")

    def deploy(self, resources: Resources, **sections: Any) -> dict[str, Any]:
        """Create or update the stack, wait, and return its description, whatever came of it."""
        arguments = {
            "StackName": self.name,
            "TemplateBody": json.dumps({"Resources": resources, **sections.pop("template", {})}),
            "Capabilities": _CAPABILITIES,
            **sections,
        }
        if self.created:
            self.cloudformation.update_stack(**arguments)
            return self._wait("stack_update_complete")
        self.cloudformation.create_stack(**arguments)
        self.created = True
        return self._wait("stack_create_complete")

    def destroy(self) -> dict[str, Any]:
        stack_id = self.describe()["StackId"]
        self.cloudformation.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete", stack_id)
        return self.describe(stack_id)

    def describe(self, name: str | None = None) -> dict[str, Any]:
        stacks = self.cloudformation.describe_stacks(StackName=name or self.name)["Stacks"]
        return dict(stacks[0])

    def outputs(self) -> dict[str, str]:
        return {item["OutputKey"]: item["OutputValue"] for item in self.describe().get("Outputs", [])}

    def wait_until_idle(self, name: str | None = None, seconds: float = 30.0) -> None:
        """Wait until no deployment runs."""
        deadline = time.monotonic() + seconds
        while (status := self.describe(name)["StackStatus"]).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline, f"{self.name} is still in {status}"
            time.sleep(0.02)
        self.created = True

    def physical_id(self, logical_id: str) -> str:
        detail = self.cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=logical_id)
        return str(detail["StackResourceDetail"]["PhysicalResourceId"])

    def events(self, name: str | None = None) -> list[tuple[str, str]]:
        """Return (logical id, status), oldest first."""
        events = self.cloudformation.describe_stack_events(StackName=name or self.name)["StackEvents"]
        return [(event["LogicalResourceId"], event["ResourceStatus"]) for event in reversed(events)]

    def reasons(self) -> str:
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return "\n".join(event.get("ResourceStatusReason", "") for event in events)

    def _wait(self, waiter: str, name: str | None = None) -> dict[str, Any]:
        with contextlib.suppress(WaiterError):  # the test looks at the status
            self.cloudformation.get_waiter(waiter).wait(StackName=name or self.name, WaiterConfig=_WAIT)
        return self.describe(name)


def resource(kind: str, properties: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """Return the declaration of a resource of the type `AWS::<kind>`."""
    return {"Type": f"AWS::{kind}", "Properties": properties, **extra}


def deployed(stack: Deployer, kind: str, properties: dict[str, Any]) -> str:
    """Create or update a stack of one resource and return its physical id."""
    status = stack.deploy({"It": resource(kind, properties)})["StackStatus"]
    assert status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), stack.reasons()
    return stack.physical_id("It")


def tags(**values: str) -> list[dict[str, str]]:
    """Return tags as most resource types write them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]
