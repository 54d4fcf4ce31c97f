"""Single steps of a deployment: create, update or delete one resource, with its events."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local_aws.cloudformation.environment import Environment
from local_aws.cloudformation.providers.provider import Provider, ProviderFailure, Request, reason_of
from local_aws.cloudformation.schemas import resource_schema
from local_aws.cloudformation.stacks import Stack, StackResource, now
from local_aws.cloudformation.template import ResourceDeclaration

_LOG = logging.getLogger(__name__)


class StepFailed(Exception):
    """A resource failed; its event says why."""

    def __init__(self, logical_id: str, reason: str) -> None:
        super().__init__(reason)
        self.logical_id = logical_id
        self.reason = reason


class ResourceSteps:
    """Carries out steps for the resources of one stack."""

    def __init__(self, stack: Stack, environment: Environment, token: str | None) -> None:
        self._stack = stack
        self._environment = environment
        self._token = token

    def create(self, declaration: ResourceDeclaration, properties: dict[str, Any], *, replacing: bool = False) -> None:
        """Create a resource (or the replacement of one) and put it in its place in the stack."""
        verb = "UPDATE" if replacing else "CREATE"
        resource = StackResource(declaration.logical_id, declaration.type, properties=properties)
        describe(resource, declaration, self._stack)
        if replacing:
            self._record(
                resource,
                "UPDATE_IN_PROGRESS",
                "Requested update requires the creation of a new physical resource; hence creating one.",
            )
        else:
            self._record(resource, "CREATE_IN_PROGRESS")
        self._stack.resources[declaration.logical_id] = resource

        def identified(physical_id: str) -> None:
            resource.physical_id = physical_id
            self._record(resource, f"{verb}_IN_PROGRESS", "Resource creation Initiated")

        if declaration.type in self._environment.inert:
            identified(f"{self._stack.name}-{declaration.logical_id}")
            self._record(resource, f"{verb}_COMPLETE")
            return
        try:
            self._check_schema(declaration.type, properties)
            request = replace(self._request(resource), identified=identified)
            provisioned = self._provider(declaration.type).create(request)
        except Exception as error:
            raise self._failed(resource, f"{verb}_FAILED", error) from error
        if not resource.physical_id:
            identified(provisioned.physical_id)
        resource.physical_id, resource.attributes = provisioned.physical_id, provisioned.attributes
        self._record(resource, f"{verb}_COMPLETE")

    def update(self, resource: StackResource, properties: dict[str, Any]) -> None:
        """Change a resource in place, or back to what it was before an update that failed."""
        back = resource.attempted is not None and properties == resource.properties
        previous = resource.attempted if back and resource.attempted is not None else resource.properties
        self._record(resource, "UPDATE_IN_PROGRESS")
        try:
            self._check_schema(resource.type, properties)
            if resource.type not in self._environment.inert:
                request = replace(self._request(resource), properties=properties, previous=previous)
                provisioned = self._provider(resource.type).update(request)
                resource.physical_id, resource.attributes = provisioned.physical_id, provisioned.attributes
        except Exception as error:
            if not back:
                resource.attempted = properties
            raise self._failed(resource, "UPDATE_FAILED", error) from error
        resource.properties, resource.attempted = properties, None
        self._record(resource, "UPDATE_COMPLETE")

    def delete(self, resource: StackResource) -> None:
        """Delete a resource's physical resource; the stack's list of resources is the caller's."""
        self._record(resource, "DELETE_IN_PROGRESS")
        try:
            if resource.physical_id and resource.type not in self._environment.inert:
                self._provider(resource.type).delete(self._request(resource))
        except Exception as error:
            raise self._failed(resource, "DELETE_FAILED", error) from error
        self._record(resource, "DELETE_COMPLETE")

    def skip_delete(self, resource: StackResource) -> None:
        """Record that a resource is kept."""
        self._record(resource, "DELETE_SKIPPED")

    def restore(self, resource: StackResource) -> None:
        """Record that a resource takes its place again."""
        self._record(resource, "UPDATE_COMPLETE")
        self._stack.resources[resource.logical_id] = resource

    def check_replaceable(
        self, declaration: ResourceDeclaration, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Refuse to replace a resource whose name the user chose and didn't change."""
        provider = self._environment.providers.get(declaration.type)
        name = provider.name_property if provider else None
        if name and after.get(name) is not None and after.get(name) == before.get(name):
            raise ProviderFailure(
                f"CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {after[name]} and update the stack again.",
                "NotUpdatable",
            )

    def fail(self, resource: StackResource, status: str, error: Exception) -> StepFailed:
        """Record a failure that happened around a step."""
        return self._failed(resource, status, error)

    def _provider(self, resource_type: str) -> Provider:
        provider = self._environment.providers.get(resource_type)
        if provider is None:
            raise ProviderFailure(f"{resource_type} isn't supported by the local AWS", "InvalidTypeConfiguration")
        return provider

    def _check_schema(self, resource_type: str, properties: dict[str, Any]) -> None:
        schema = resource_schema(resource_type)
        violations = schema.violations(properties) if schema else []
        if violations:
            raise ProviderFailure(
                f"Properties validation failed for resource of type {resource_type} with message: "
                + "; ".join(violations),
                "InvalidRequest",
            )

    def _request(self, resource: StackResource) -> Request:
        account, region = self._stack.account, self._stack.region
        return Request(
            logical_id=resource.logical_id,
            type=resource.type,
            properties=copy.deepcopy(resource.properties),
            stack_name=self._stack.name,
            stack_id=self._stack.id,
            account=account,
            region=region,
            clients=lambda service: self._environment.client(account, region, service),
            stopping=self._environment.stopping,
            physical_id=resource.physical_id,
            attributes=resource.attributes,
        )

    def _failed(self, resource: StackResource, status: str, error: Exception) -> StepFailed:
        if not isinstance(error, ProviderFailure):
            _LOG.debug("%s of %s failed", status, resource.logical_id, exc_info=error)
        reason = reason_of(error, resource.type.split("::")[1])
        self._record(resource, status, reason)
        return StepFailed(resource.logical_id, reason)

    def _record(self, resource: StackResource, status: str, reason: str | None = None) -> None:
        resource.status, resource.reason, resource.updated_at = status, reason, now()
        self._stack.add_event(
            resource.logical_id, resource.physical_id, resource.type, status, reason, self._token, resource.properties
        )


def describe(resource: StackResource, declaration: ResourceDeclaration, stack: Stack) -> None:
    """Note on a resource what the template says about it besides its properties."""
    declared = set(stack.resources) | {declaration.logical_id}
    resource.depends_on = frozenset(declaration.references & declared)
    resource.deletion_policy = declaration.deletion_policy
    resource.update_replace_policy = declaration.update_replace_policy
    resource.metadata = declaration.metadata
