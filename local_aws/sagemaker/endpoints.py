"""The API of endpoints.

A new configuration gets a fleet of its own, which takes over once all of it is healthy; the old one then finishes what
it has accepted. An update that fails leaves the old fleet in place.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.endpoint_metrics import EndpointMetrics, VariantKey
from local_aws.sagemaker.fleet import Fleet
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.model_server import ServerFailure
from local_aws.sagemaker.models import EndpointConfigs, Models
from local_aws.sagemaker.workspace import Operation, Record, Workspace

EVENT = "SageMaker Endpoint State Change"
CLOSE_GRACE_SECONDS = 2.0


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
        self.metrics = EndpointMetrics(workspace, self._processes)

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
            name: ", ".join(server.url for variant in endpoint.fleet.variants.values() for server in variant.servers)
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
        self.metrics.close()

    def _processes(self) -> list[tuple[VariantKey, int]]:
        with self._workspace.lock:
            fleets = [fleet for endpoint in self._endpoints.values() if (fleet := endpoint.fleet) is not None]
        return [
            (variant.key, server.pid)
            for fleet in fleets
            for variant in fleet.variants.values()
            for server in variant.servers
            if server.pid is not None
        ]

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
                fleet.retain(before, request.get("ExcludeRetainedVariantProperties", []))
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
            wishes = request["DesiredWeightsAndCapacities"]
            for wish in wishes:
                if wish["VariantName"] not in fleet.variants:
                    raise ApiError(
                        "ValidationException", f"The variant name(s) {wish['VariantName']!r} is/are not present."
                    )
            endpoint.record.pop("FailureReason", None)
            self._set_status(endpoint, "Updating")
            for wish in wishes:
                variant = fleet.variants[wish["VariantName"]]
                variant.weight = float(wish.get("DesiredWeight", variant.weight))
                if wish.get("DesiredInstanceCount", variant.desired_count) != variant.desired_count:
                    variant.scale(wish["DesiredInstanceCount"])
        threading.Thread(target=self._scaled, args=(endpoint, fleet), daemon=True).start()
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def _scaled(self, endpoint: Endpoint, fleet: Fleet) -> None:
        """Say that the endpoint is in service again, once its variants have the instances that they were to get."""
        fleet.settle()
        with self._workspace.lock:
            reason = next((variant.failure for variant in fleet.variants.values() if variant.failure), "")
            if reason:
                endpoint.record["FailureReason"] = reason[:1024]
            self._set_status(endpoint, "InService")

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
        record["ProductionVariants"] = fleet.described()
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
