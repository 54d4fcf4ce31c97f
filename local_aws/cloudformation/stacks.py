"""The state of stacks: what is deployed, from which template, and what happened."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.cloudformation.errors import StackNotFound, ValidationError
from local_aws.cloudformation.parameters import Parameter
from local_aws.cloudformation.template import Template


def now() -> datetime.datetime:
    """Return the time in UTC."""
    return datetime.datetime.now(datetime.UTC)


@dataclass
class StackResource:
    """A resource of a stack. `properties` are the evaluated ones that it was last deployed with.

    `attempted` are those of an update that failed: what there is may be a mixture of both.
    """

    logical_id: str
    type: str
    physical_id: str = ""
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    updated_at: datetime.datetime = field(default_factory=now)
    properties: dict[str, Any] = field(default_factory=dict)
    attempted: dict[str, Any] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    depends_on: frozenset[str] = frozenset()
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StackEvent:
    """One line of a stack's history."""

    event_id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str | None
    time: datetime.datetime
    token: str | None
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Output:
    """An evaluated output."""

    key: str
    value: str
    description: str | None
    export_name: str | None


@dataclass(frozen=True)
class Revision:
    """What a stack is, or is to be, deployed from."""

    template: Template
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    notification_arns: tuple[str, ...] = ()
    role_arn: str | None = None
    rollback_configuration: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JournalEntry:
    """One step of an unfinished deployment: the resource as it was before, None if it is new."""

    logical_id: str
    before: StackResource | None
    replaced: bool = False


@dataclass
class ChangeSet:
    """A deployment that waits to be executed. `changes` are in the shape of the API."""

    id: str
    name: str
    type: str
    revision: Revision
    description: str | None
    changes: list[dict[str, Any]]
    status: str
    status_reason: str | None
    execution_status: str
    created_at: datetime.datetime = field(default_factory=now)
    on_stack_failure: str | None = None
    deployment_config: Mapping[str, Any] | None = None


@dataclass
class Stack:
    """A stack of one account and region."""

    id: str
    name: str
    account: str
    region: str
    revision: Revision | None = None
    status: str = "REVIEW_IN_PROGRESS"
    reason: str | None = None
    created_at: datetime.datetime = field(default_factory=now)
    updated_at: datetime.datetime | None = None
    deleted_at: datetime.datetime | None = None
    termination_protection: bool = False
    disable_rollback: bool = False
    change_set_id: str | None = None
    resources: dict[str, StackResource] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    imports: frozenset[str] = frozenset()
    events: list[StackEvent] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    journal: list[JournalEntry] = field(default_factory=list)
    stable_revision: Revision | None = None
    """The revision to which an update that failed and was not rolled back can return."""
    leftovers: list[StackResource] = field(default_factory=list)
    """Replaced resources that an unfinished update still has to delete."""

    @property
    def busy(self) -> bool:
        """Whether a deployment is running."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def deleted(self) -> bool:
        """Whether the stack only lives on in ListStacks and under its id."""
        return self.status == "DELETE_COMPLETE"

    def move_to(self, status: str, reason: str | None = None, token: str | None = None) -> None:
        """Change the stack's status, with an event; the event comes first, so that waiters see it."""
        self.add_event(self.name, self.id, "AWS::CloudFormation::Stack", status, reason, token)
        self.reason = reason
        self.status = status

    def add_event(
        self,
        logical_id: str,
        physical_id: str,
        resource_type: str,
        status: str,
        reason: str | None = None,
        token: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Append to the history."""
        moment = now()
        if self.events:
            # clients sort events by their time, which has milliseconds
            moment = max(moment, self.events[-1].time + datetime.timedelta(milliseconds=1))
        prefix = "" if resource_type == "AWS::CloudFormation::Stack" else f"{logical_id}-{status}-"
        event_id = prefix + str(uuid.uuid4())
        self.events.append(
            StackEvent(event_id, logical_id, physical_id, resource_type, status, reason, moment, token, properties)
        )


class StackStore:
    """All stacks by account and region. Its lock guards decisions such as "is this name free?"."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._stacks: dict[str, Stack] = {}

    def create(self, name: str, account: str, region: str) -> Stack:
        """Add a stack that nothing is deployed to yet."""
        stack_id = f"arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"
        stack = Stack(id=stack_id, name=name, account=account, region=region)
        with self.lock:
            self._stacks[stack_id] = stack
        return stack

    def remove(self, stack: Stack) -> None:
        """Forget a stack that was only reviewed."""
        with self.lock:
            self._stacks.pop(stack.id, None)

    def find(self, name_or_id: str, account: str, region: str) -> Stack | None:
        """Return a stack by its name, unless it's deleted, or by its id in any state."""
        with self.lock:
            by_id = self._stacks.get(name_or_id)
            if by_id is not None:
                return by_id
            return next((stack for stack in self.of(account, region) if stack.name == name_or_id), None)

    def get(self, name_or_id: str, account: str, region: str) -> Stack:
        """Return a stack; StackNotFound if there is none."""
        stack = self.find(name_or_id, account, region)
        if stack is None:
            raise StackNotFound(name_or_id)
        return stack

    def of(self, account: str, region: str, *, deleted: bool = False) -> list[Stack]:
        """Return the stacks of an account and region, newest first."""
        with self.lock:
            stacks = [s for s in self._stacks.values() if (s.account, s.region) == (account, region)]
        return [stack for stack in reversed(stacks) if deleted or not stack.deleted]

    def export_value(self, name: str, account: str, region: str) -> str:
        """Return the value of an export; ValidationError if no stack exports that name."""
        for stack in self.of(account, region):
            for output in stack.outputs:
                if output.export_name == name:
                    return output.value
        raise ValidationError(f"No export named {name} found.")

    def importers(self, name: str, account: str, region: str) -> list[str]:
        """Return the names of the stacks that import a name."""
        return [stack.name for stack in self.of(account, region) if name in stack.imports]
