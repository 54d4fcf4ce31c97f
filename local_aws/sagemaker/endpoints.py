"""The API of endpoints, and the fleets of containers behind them.

A fleet is what one endpoint configuration asks for: a container for each variant, however many instances it names. A
new configuration gets a fleet of its own, which takes over once all of it is healthy; the old one then finishes what it
has accepted. An update that fails leaves the old fleet in place.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.data_capture import DataCapture
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.model_server import DRAIN_SECONDS, ModelServer, ServerFailure
from local_aws.sagemaker.models import EndpointConfigs, Models
from local_aws.sagemaker.workspace import Operation, Record, Workspace

EVENT = "SageMaker Endpoint State Change"
CLOSE_GRACE_SECONDS = 2.0
_random = random.SystemRandom()


class FleetRetired(Exception):
    """The fleet takes no more requests."""


class Fleet:
    """The containers of one endpoint configuration, and how requests are shared among its variants."""

    def __init__(self, workspace: Workspace, models: Models, endpoint: str, config: Record) -> None:
        self.config = config
        variants = {item["VariantName"]: item for item in config["ProductionVariants"]}
        self.weights = {name: float(item["InitialVariantWeight"]) for name, item in variants.items()}
        self.counts = {name: item.get("InitialInstanceCount", 0) for name, item in variants.items()}
        self._in_use = 0
        self._retired = False
        self._changed = threading.Condition()
        containers = {name: models.serving_container(item["ModelName"]) for name, item in variants.items()}
        directory = workspace.context.state_dir / "endpoints" / endpoint
        self.servers: dict[str, ModelServer] = {}
        self.capture: DataCapture | None = None
        try:
            for name, container in containers.items():
                self.servers[name] = ModelServer(
                    workspace,
                    endpoint=endpoint,
                    variant=variants[name],
                    container=container,
                    directory=directory / f"{name}-{uuid.uuid4().hex[:8]}",
                )
            capture = config.get("DataCaptureConfig")
            if capture and capture.get("EnableCapture", True):
                first = next(iter(variants))
                client = workspace.client("s3", containers[first].get("ExecutionRoleArn"))
                self.capture = DataCapture(client, endpoint, capture, self.servers[first].note)
        except Exception:
            # their logs are open already
            self.close(0)
            raise

    def start(self) -> None:
        """Start every container; ServerFailure when one isn't healthy. Whatever fails, none is left running."""
        failures: list[Exception] = []

        def start(server: ModelServer) -> None:
            try:
                server.start()
            except Exception as failure:
                failures.append(failure)

        starters = [threading.Thread(target=start, args=(server,)) for server in self.servers.values()]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join()
        if failures:
            self.close(0)
            raise failures[0]

    @contextmanager
    def serving(self, target: str | None) -> Iterator[ModelServer]:
        """Lend the container of a variant: the named one, or one chosen by the weights.

        FleetRetired when the fleet is being closed: its successor is in place by then.
        """
        with self._changed:
            if self._retired:
                raise FleetRetired
            self._in_use += 1
        try:
            yield self.servers[target] if target else self._choose()
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    def close(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Wait for requests on their way, then stop the containers and write what was captured."""
        with self._changed:
            self._retired = True
            self._changed.wait_for(lambda: self._in_use == 0, timeout=grace_seconds)
        if self.capture is not None:
            self.capture.close()
        for server in self.servers.values():
            server.stop(grace_seconds)

    def _choose(self) -> ModelServer:
        names = [name for name in self.servers if self.weights[name] > 0] or list(self.servers)
        (name,) = _random.choices(names, [self.weights[name] or 1 for name in names])
        return self.servers[name]


class Endpoint:
    """One endpoint: its record, as Describe shows it, the fleet that serves it, and the one that is to take over."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.fleet: Fleet | None = None
        self.next: Fleet | None = None

    @property
    def status(self) -> str:
        return str(self.record["EndpointStatus"])


class Endpoints:
    """Endpoints by name."""

    def __init__(self, workspace: Workspace, configs: EndpointConfigs, models: Models) -> None:
        self._workspace = workspace
        self._configs = configs
        self._models = models
        self._endpoints: dict[str, Endpoint] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateEndpoint": self._create,
            "DescribeEndpoint": lambda request: self._described(self.endpoint(request["EndpointName"])),
            "ListEndpoints": self._list,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._update_weights,
            "DeleteEndpoint": self._delete,
        }

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint by its name."""
        with self._workspace.lock:
            if name not in self._endpoints:
                raise ApiError("ValidationException", f'Could not find endpoint "{self._arn(name)}".')
            return self._endpoints[name]

    def live(self) -> dict[str, str]:
        """Return where the containers of each endpoint in service answer directly."""
        with self._workspace.lock:
            endpoints = dict(self._endpoints)
        return {
            name: ", ".join(server.url for server in endpoint.fleet.servers.values())
            for name, endpoint in endpoints.items()
            if endpoint.fleet is not None
        }

    def close(self) -> None:
        """Stop every container."""
        with self._workspace.lock:
            endpoints = list(self._endpoints.values())
        for endpoint in endpoints:
            fleets = (endpoint.next, endpoint.fleet)
            endpoint.fleet = None
            for fleet in fleets:
                if fleet is not None:
                    fleet.close(CLOSE_GRACE_SECONDS)

    def _create(self, request: Record) -> Record:
        name, config = request["EndpointName"], self._configs.config(request["EndpointConfigName"])
        _check_deployment(request)
        moment = self._workspace.now()
        endpoint = Endpoint(
            {
                "EndpointName": name,
                "EndpointArn": self._arn(name),
                "EndpointConfigName": config["EndpointConfigName"],
                "EndpointStatus": "Creating",
                "CreationTime": moment,
                "LastModifiedTime": moment,
            }
        )
        with self._workspace.lock:
            if name in self._endpoints:
                raise ApiError("ValidationException", f'Cannot create already existing endpoint "{self._arn(name)}".')
            self._endpoints[name] = endpoint
        self._workspace.tag(self._arn(name), request.get("Tags", []))
        self._start_deployment(endpoint, config, request)
        return {"EndpointArn": self._arn(name)}

    def _update(self, request: Record) -> Record:
        endpoint = self.endpoint(request["EndpointName"])
        config = self._configs.config(request["EndpointConfigName"])
        _check_deployment(request)
        with self._workspace.lock:
            if endpoint.status not in ("InService", "Failed"):
                raise ApiError(
                    "ValidationException", f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".'
                )
            endpoint.record.pop("FailureReason", None)
            self._set_status(endpoint, "Updating")
        self._start_deployment(endpoint, config, request)
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def _start_deployment(self, endpoint: Endpoint, config: Record, request: Record) -> None:
        name = endpoint.record["EndpointName"]
        threading.Thread(
            target=self._deploy, args=(endpoint, config, request), name=f"deploy-{name}", daemon=True
        ).start()

    def _deploy(self, endpoint: Endpoint, config: Record, request: Record) -> None:
        before = endpoint.fleet
        try:
            fleet = Fleet(self._workspace, self._models, endpoint.record["EndpointName"], config)
            if request.get("RetainAllVariantProperties") and before is not None:
                _retain(fleet, before, request.get("ExcludeRetainedVariantProperties", []))
            endpoint.next = fleet
            fleet.start()
        except Exception as failure:
            known = isinstance(failure, ServerFailure | ApiError)
            reason = str(failure) if known else f"InternalFailure: {type(failure).__name__}: {failure}"
            with self._workspace.lock:
                endpoint.next = None
                endpoint.record["FailureReason"] = reason[:1024]
                self._set_status(endpoint, "Failed" if before is None else "InService")
            return
        with self._workspace.lock:
            endpoint.fleet, endpoint.next = fleet, None
            endpoint.record["EndpointConfigName"] = config["EndpointConfigName"]
            self._set_status(endpoint, "InService")
        if before is not None:
            before.close()

    def _update_weights(self, request: Record) -> Record:
        endpoint = self.endpoint(request["EndpointName"])
        with self._workspace.lock:
            fleet = endpoint.fleet
            if fleet is None or endpoint.status != "InService":
                raise ApiError(
                    "ValidationException", f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".'
                )
            for wanted in request["DesiredWeightsAndCapacities"]:
                variant = wanted["VariantName"]
                if variant not in fleet.servers:
                    raise ApiError("ValidationException", f"The variant name(s) {variant!r} is/are not present.")
                fleet.weights[variant] = float(wanted.get("DesiredWeight", fleet.weights[variant]))
                fleet.counts[variant] = wanted.get("DesiredInstanceCount", fleet.counts[variant])
            endpoint.record["LastModifiedTime"] = self._workspace.now()
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def _delete(self, request: Record) -> Record:
        endpoint = self.endpoint(request["EndpointName"])
        with self._workspace.lock:
            if endpoint.status in ("Creating", "Updating", "Deleting"):
                raise ApiError(
                    "ValidationException", f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".'
                )
            self._set_status(endpoint, "Deleting")
        threading.Thread(target=self._remove, args=(endpoint,), daemon=True).start()
        return {}

    def _remove(self, endpoint: Endpoint) -> None:
        if endpoint.fleet is not None:
            endpoint.fleet.close()
        with self._workspace.lock:
            del self._endpoints[endpoint.record["EndpointName"]]
        self._workspace.forget(endpoint.record["EndpointArn"])

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = [endpoint.record for endpoint in self._endpoints.values()]
        found, token = listed(records, request, name="EndpointName", status="EndpointStatus")
        return {"Endpoints": found, "NextToken": token}

    def _described(self, endpoint: Endpoint) -> Record:
        record, fleet = dict(endpoint.record), endpoint.fleet
        if fleet is None:
            return record
        record["ProductionVariants"] = [
            {
                "VariantName": name,
                "DeployedImages": [{"SpecifiedImage": server.image, "ResolvedImage": server.image}],
                "CurrentWeight": fleet.weights[name],
                "DesiredWeight": fleet.weights[name],
                "CurrentInstanceCount": fleet.counts[name],
                "DesiredInstanceCount": fleet.counts[name],
            }
            for name, server in fleet.servers.items()
        ]
        capture = fleet.config.get("DataCaptureConfig")
        if capture:
            record["DataCaptureConfig"] = {
                "EnableCapture": capture.get("EnableCapture", True),
                "CaptureStatus": "Started" if fleet.capture else "Stopped",
                "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
                "DestinationS3Uri": capture["DestinationS3Uri"],
                "KmsKeyId": capture.get("KmsKeyId", ""),
            }
        return record

    def _set_status(self, endpoint: Endpoint, status: str) -> None:
        endpoint.record.update(EndpointStatus=status, LastModifiedTime=self._workspace.now())
        self._workspace.emit(EVENT, endpoint.record, endpoint.record["EndpointArn"])

    def _arn(self, name: str) -> str:
        return self._workspace.arn("endpoint", name)


def _check_deployment(request: Mapping[str, Any]) -> None:
    """Refuse releases that would be done otherwise than they ask for."""
    config = request.get("DeploymentConfig") or {}
    routing = config.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {}).get("Type", "ALL_AT_ONCE")
    alarms = config.get("AutoRollbackConfiguration", {}).get("Alarms")
    if "RollingUpdatePolicy" in config or routing != "ALL_AT_ONCE" or alarms:
        raise ApiError(
            "ValidationException",
            "the local AWS releases all at once: it has no canary, linear or rolling update and no rollback by alarms",
        )


def _retain(fleet: Fleet, before: Fleet, excluded: list[Mapping[str, str]]) -> None:
    """Keep weights and instance counts that were changed since the last configuration."""
    names = {item["VariantPropertyType"] for item in excluded}
    for variant in fleet.servers.keys() & before.servers.keys():
        if "DesiredWeight" not in names:
            fleet.weights[variant] = before.weights[variant]
        if "DesiredInstanceCount" not in names:
            fleet.counts[variant] = before.counts[variant]
