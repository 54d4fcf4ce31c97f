"""Inference components: models that share the machines of one endpoint, each with copies of its own.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints-deploy-models.html
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from werkzeug import Request, Response

from local_aws.clock import Worker
from local_aws.cloudwatch.alarm_states import alarm_states
from local_aws.json_api import ApiError
from local_aws.sagemaker.endpoint import Endpoint
from local_aws.sagemaker.endpoint_metrics import ComponentKey, VariantKey
from local_aws.sagemaker.endpoints import Endpoints
from local_aws.sagemaker.invocations import Invocations, refused
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.model_server import ServerFailure
from local_aws.sagemaker.models import Models
from local_aws.sagemaker.variant import NoInstance, Variant
from local_aws.sagemaker.workspace import Operation, Record, Workspace

HEADER = "X-Amzn-SageMaker-Inference-Component"
CLOSE_GRACE_SECONDS = 2.0
_UNKNOWN = ("Specifications",)
_UNKNOWN_OF_SPECIFICATION = ("BaseInferenceComponentName", "InstanceType")


class Component:
    """A component: its record, and its copies as the instances of a variant of its own."""

    def __init__(self, record: Record, copies: Variant) -> None:
        self.record = record
        self.copies = copies

    @property
    def status(self) -> str:
        return str(self.record["InferenceComponentStatus"])


class InferenceComponents:
    """Inference components by name."""

    def __init__(self, workspace: Workspace, endpoints: Endpoints, models: Models, invocations: Invocations) -> None:
        self._workspace = workspace
        self._endpoints = endpoints
        self._models = models
        self._invocations = invocations
        self._components: dict[str, Component] = {}
        self._closing = False
        workspace.components_of = self._names_on

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateInferenceComponent": self._create,
            "DescribeInferenceComponent": lambda request: self._described(self._component(request)),
            "ListInferenceComponents": self._list,
            "UpdateInferenceComponent": self._update,
            "UpdateInferenceComponentRuntimeConfig": self._update_copies,
            "DeleteInferenceComponent": self._delete,
        }

    def invoke(self, endpoint: str, name: str, request: Request) -> Response:
        """Answer one invocation of a component; every failure is an answer in the shape of the API."""
        try:
            with self._workspace.lock:
                component = self._components.get(name)
            if component is None or component.record["EndpointName"] != endpoint:
                raise ApiError("ValidationError", f"Inference Component {name} not found on endpoint {endpoint}.")
            fleet = self._endpoints.endpoint(endpoint).fleet
            if fleet is None or component.status not in ("InService", "Updating"):
                raise ApiError("ValidationError", f"Inference Component {name} is {component.status}.")
            return self._invocations.through(component.copies, fleet, request)
        except NoInstance:
            return refused(ApiError("ServiceUnavailable", f"Inference Component {name} has no copy.", 503))
        except ApiError as error:
            return refused(error)

    def close(self) -> None:
        """Stop every copy."""
        self._closing = True
        with self._workspace.lock:
            components = list(self._components.values())
        for component in components:
            component.copies.close(CLOSE_GRACE_SECONDS)

    def _create(self, request: Record) -> Record:
        name = request["InferenceComponentName"]
        arn = self._workspace.arn("inference-component", name)
        endpoint = self._endpoints.endpoint(request["EndpointName"])
        variant = self._host(endpoint, request.get("VariantName"))
        count = (request.get("RuntimeConfig") or {}).get("CopyCount", 1)
        copies = self._copies(endpoint, variant, request, count)
        moment = self._workspace.now()
        record = {
            "InferenceComponentName": name,
            "InferenceComponentArn": arn,
            "EndpointName": endpoint.name,
            "EndpointArn": endpoint.record["EndpointArn"],
            "VariantName": variant,
            "Specification": request["Specification"],
            "InferenceComponentStatus": "Creating",
            "CreationTime": moment,
            "LastModifiedTime": moment,
        }
        component = Component(record, copies)
        with self._workspace.lock:
            if name in self._components:
                raise ApiError("ValidationException", f'Cannot create already existing inference component "{arn}".')
            self._components[name] = component
        self._workspace.tag(arn, request.get("Tags", []))
        self._in_background(component, lambda _: copies.start())
        return {"InferenceComponentArn": arn}

    def _update(self, request: Record) -> Record:
        component = self._changeable(request)
        count = (request.get("RuntimeConfig") or {}).get("CopyCount", component.copies.desired_count)
        if "Specification" not in request:
            return self._scaled(component, count)
        endpoint = self._endpoints.endpoint(component.record["EndpointName"])
        copies = self._copies(endpoint, component.record["VariantName"], request, count)
        deployment = request.get("DeploymentConfig")
        self._set_status(component, "Updating")

        def swap(worker: Worker) -> None:
            if deployment:
                self._refuse_alarms(deployment)
            copies.start()
            before, component.copies = component.copies, copies
            try:
                if deployment:
                    self._bake(deployment, worker)
            except ServerFailure:
                component.copies = before
                copies.close()
                raise
            component.record["Specification"] = request["Specification"]
            before.close()

        self._in_background(component, swap, otherwise="InService")
        return {"InferenceComponentArn": component.record["InferenceComponentArn"]}

    def _refuse_alarms(self, deployment: Record) -> None:
        on = self._alarms(deployment)
        if on:
            raise ServerFailure(
                f"The deployment didn't start: one or more of its alarms are in the ALARM state: {', '.join(on)}."
            )

    def _bake(self, deployment: Record, worker: Worker) -> None:
        """Watch the alarms while the new copies answer; here they have all come in one step."""
        seconds = deployment["RollingUpdatePolicy"]["WaitIntervalInSeconds"]
        until = self._workspace.now() + timedelta(seconds=seconds)
        worker.wait_until(until, lambda: self._closing or bool(self._alarms(deployment)))
        on = self._alarms(deployment)
        if on:
            raise ServerFailure(
                f"The deployment was rolled back: one or more of its alarms went into the ALARM state: {', '.join(on)}."
            )

    def _alarms(self, deployment: Record) -> list[str]:
        """Return the alarms of a deployment that are in ALARM."""
        named = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
        names = [each["AlarmName"] for each in named]
        states = alarm_states(self._workspace.account, self._workspace.region, names)
        return [name for name, state in states.items() if state == "ALARM"]

    def _update_copies(self, request: Record) -> Record:
        return self._scaled(self._changeable(request), request["DesiredRuntimeConfig"]["CopyCount"])

    def _scaled(self, component: Component, count: int) -> Record:
        self._set_status(component, "Updating")
        copies = component.copies

        def scale(_: Worker) -> None:
            copies.scale(count)
            copies.settle()
            if copies.failure:
                raise ServerFailure(copies.failure)

        self._in_background(component, scale, otherwise="InService")
        return {"InferenceComponentArn": component.record["InferenceComponentArn"]}

    def _delete(self, request: Record) -> Record:
        component = self._changeable(request)
        self._set_status(component, "Deleting")

        def remove() -> None:
            component.copies.close()
            with self._workspace.lock:
                del self._components[component.record["InferenceComponentName"]]
            self._workspace.forget(component.record["InferenceComponentArn"])

        threading.Thread(target=remove, daemon=True).start()
        return {}

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = [component.record for component in self._components.values()]
        for asked, member in (("EndpointNameEquals", "EndpointName"), ("VariantNameEquals", "VariantName")):
            records = [record for record in records if request.get(asked) in (None, record[member])]
        found, token = listed(records, request, name="InferenceComponentName", status="InferenceComponentStatus")
        return {"InferenceComponents": found, "NextToken": token}

    def _described(self, component: Component) -> Record:
        copies, specification = component.copies, dict(component.record["Specification"])
        if "Container" in specification:
            image = {"SpecifiedImage": copies.image, "ResolvedImage": copies.image}
            given = {name: value for name, value in specification["Container"].items() if name != "Image"}
            specification["Container"] = {**given, "DeployedImage": image}
        counts = {"DesiredCopyCount": copies.desired_count, "CurrentCopyCount": copies.current_count}
        return {**component.record, "Specification": specification, "RuntimeConfig": counts}

    def _component(self, request: Mapping[str, Any]) -> Component:
        name = request["InferenceComponentName"]
        with self._workspace.lock:
            if name not in self._components:
                arn = self._workspace.arn("inference-component", name)
                raise ApiError("ValidationException", f'Could not find inference component "{arn}".')
            return self._components[name]

    def _changeable(self, request: Mapping[str, Any]) -> Component:
        component = self._component(request)
        if component.status not in ("InService", "Failed"):
            arn = component.record["InferenceComponentArn"]
            raise ApiError("ValidationException", f'Cannot update in-progress inference component "{arn}".')
        return component

    def _host(self, endpoint: Endpoint, variant: str | None) -> str:
        """Return the variant that a component is placed on; ApiError where the endpoint has none for components."""
        if endpoint.fleet is None or endpoint.status != "InService":
            raise ApiError("ValidationException", f"Endpoint {endpoint.name} is not in service, but {endpoint.status}.")
        hosts = [each["VariantName"] for each in endpoint.fleet.config["ProductionVariants"] if "ModelName" not in each]
        if not hosts or variant not in (None, *hosts):
            raise ApiError(
                "ValidationException",
                f"Endpoint {endpoint.name} has no variant {variant or ''} for inference components: those are the ones "
                f"without a ModelName, here {', '.join(hosts) or 'none'}.",
            )
        return variant or str(hosts[0])

    def _copies(self, endpoint: Endpoint, variant: str, request: Mapping[str, Any], count: int) -> Variant:
        specification = request.get("Specification") or {}
        unknown = [name for name in _UNKNOWN if request.get(name)]
        unknown += [name for name in _UNKNOWN_OF_SPECIFICATION if specification.get(name)]
        if unknown:
            raise ApiError("ValidationException", f"the local AWS's inference components don't know {unknown[0]}")
        if ("ModelName" in specification) == ("Container" in specification):
            raise ApiError("ValidationException", "a Specification needs a ModelName or a Container, and not both")
        if "ModelName" in specification:
            container = self._models.serving_container(specification["ModelName"])
        else:
            given = specification["Container"]
            definition = {"Image": given.get("Image"), "ModelDataUrl": given.get("ArtifactUrl")}
            environment = {"Environment": given.get("Environment", {})}
            container = self._models.container({**definition, **environment})
        assert endpoint.fleet is not None
        role = container.get("ExecutionRoleArn") or endpoint.fleet.config.get("ExecutionRoleArn")
        startup = specification.get("StartupParameters", {})
        patience = "ContainerStartupHealthCheckTimeoutInSeconds"
        name = request["InferenceComponentName"]
        key = VariantKey(endpoint.name, str(endpoint.fleet.config["EndpointConfigName"]), variant)
        copies = Variant(
            self._workspace,
            key=key,
            definition={
                "VariantName": name,
                "InitialVariantWeight": 1.0,
                "InitialInstanceCount": count,
                patience: startup.get(patience),
            },
            container={**container, "ExecutionRoleArn": role},
            directory=self._workspace.context.state_dir
            / "endpoints"
            / endpoint.name
            / f"{name}-{uuid.uuid4().hex[:8]}",
        )
        copies.also = (ComponentKey(key.endpoint, key.config, key.variant, name),)
        return copies

    def _in_background(self, component: Component, work: Callable[[Worker], None], otherwise: str = "Failed") -> None:
        """Do what takes its time; then the component is in service, or in the other state with the reason."""
        worker = self._workspace.context.clock.worker(
            f"inference component {component.record['InferenceComponentName']}"
        )

        def run() -> None:
            try:
                work(worker)
                component.record.pop("FailureReason", None)
                self._set_status(component, "InService")
            except Exception as failure:
                known = isinstance(failure, ServerFailure | ApiError)
                reason = str(failure) if known else f"InternalFailure: {type(failure).__name__}: {failure}"
                component.record["FailureReason"] = reason[:1024]
                self._set_status(component, otherwise)
            finally:
                worker.end()

        threading.Thread(target=run, name="inference-component", daemon=True).start()

    def _names_on(self, endpoint: str) -> list[str]:
        with self._workspace.lock:
            return [name for name, each in self._components.items() if each.record["EndpointName"] == endpoint]

    def _set_status(self, component: Component, status: str) -> None:
        with self._workspace.lock:
            component.record.update(InferenceComponentStatus=status, LastModifiedTime=self._workspace.now())
