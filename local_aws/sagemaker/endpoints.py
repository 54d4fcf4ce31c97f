"""The API of endpoints.

A new configuration gets a fleet of its own, which takes over as the update's DeploymentConfig says, by default all at
once when it is healthy; the old one then finishes what it has accepted. An update that fails leaves the old fleet in
place.
"""

from __future__ import annotations

import threading

from local_aws.clock import Worker
from local_aws.cloudwatch.alarm_states import alarm_states
from local_aws.json_api import ApiError
from local_aws.sagemaker.endpoint import Endpoint
from local_aws.sagemaker.endpoint_metrics import EndpointMetrics, VariantKey
from local_aws.sagemaker.endpoint_shapes import check_update
from local_aws.sagemaker.fleet import Fleet
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.model_server import ServerFailure
from local_aws.sagemaker.models import EndpointConfigs, Models
from local_aws.sagemaker.release import Release, RolledBack, Stopped
from local_aws.sagemaker.release_plan import ReleasePlan, plan
from local_aws.sagemaker.serverless import ServerlessVariant
from local_aws.sagemaker.workspace import Operation, Record, Workspace

EVENT = "SageMaker Endpoint State Change"
DEPLOYMENT_EVENT = "SageMaker Endpoint Deployment State Change"
# as events spell them
_STATUSES = {
    "Creating": "CREATING",
    "Updating": "UPDATING",
    "InService": "IN_SERVICE",
    "Deleting": "DELETING",
    "Failed": "FAILED",
}
CLOSE_GRACE_SECONDS = 2.0


class Endpoints:
    """Endpoints by name."""

    def __init__(self, workspace: Workspace, configs: EndpointConfigs, models: Models) -> None:
        self._workspace = workspace
        self._configs = configs
        self._models = models
        self._endpoints: dict[str, Endpoint] = {}
        self.metrics = EndpointMetrics(workspace, self._processes)
        self._closed = threading.Event()

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateEndpoint": self._create,
            "DescribeEndpoint": lambda request: self.endpoint(request["EndpointName"]).described(),
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
        self._closed.set()
        self._workspace.context.clock.wake()
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
            for variant in (*fleet.variants.values(), *fleet.shadows.values())
            for server in variant.servers
            if server.pid is not None
        ]

    def _create(self, request: Record) -> Record:
        name, config = request["EndpointName"], self._configs.config(request["EndpointConfigName"])
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
        # there is nothing yet that a release by a plan could protect
        self._start_deployment(endpoint, config, request, ReleasePlan())
        return {"EndpointArn": self._arn(name)}

    def _update(self, request: Record) -> Record:
        endpoint = self.endpoint(request["EndpointName"])
        config = self._configs.config(request["EndpointConfigName"])
        with self._workspace.lock:
            if endpoint.status not in ("InService", "Failed"):
                raise ApiError(
                    "ValidationException", f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".'
                )
            if endpoint.fleet is not None:
                check_update(self._workspace, endpoint.fleet.config, config, endpoint.name)
            deployment = request.get("DeploymentConfig")
            if request.get("RetainDeploymentConfig"):
                deployment = deployment or endpoint.record.get("LastDeploymentConfig")
            planned = plan(deployment, _counts(request, config, endpoint.fleet))
            self._check_alarms(planned)
            endpoint.record.pop("FailureReason", None)
            endpoint.record.pop("LastDeploymentConfig", None)
            if deployment:
                endpoint.record["LastDeploymentConfig"] = deployment
            self._set_status(endpoint, "Updating")
        self._start_deployment(endpoint, config, request, planned)
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def _check_alarms(self, planned: ReleasePlan) -> None:
        states = alarm_states(self._workspace.account, self._workspace.region, planned.alarms)
        unknown = [name for name, state in states.items() if state is None]
        if unknown:
            raise ApiError(
                "ValidationException",
                f"Invalid DeploymentConfig: {self._workspace.region} has no CloudWatch alarm {', '.join(unknown)}.",
            )

    def _start_deployment(self, endpoint: Endpoint, config: Record, request: Record, planned: ReleasePlan) -> None:
        worker = self._workspace.context.clock.worker(f"the deployment of endpoint {endpoint.name}")

        def deploy() -> None:
            try:
                self._deploy(endpoint, config, request, planned, worker)
            finally:
                worker.end()

        threading.Thread(target=deploy, name=f"deploy-{endpoint.name}", daemon=True).start()

    def _deploy(
        self, endpoint: Endpoint, config: Record, request: Record, planned: ReleasePlan, worker: Worker
    ) -> None:
        before = endpoint.fleet
        fleet: Fleet | None = None
        try:
            fleet = Fleet(self._workspace, self._models, endpoint.name, config)
            if request.get("RetainAllVariantProperties") and before is not None:
                fleet.retain(before, request.get("ExcludeRetainedVariantProperties", []))
            endpoint.begin(fleet, self._workspace.now())
            if before is None:
                fleet.start()
            else:
                self._release(endpoint, planned, worker)
        except Stopped:
            return
        except Exception as failure:
            known = isinstance(failure, ServerFailure | ApiError | RolledBack)
            reason = str(failure) if known else f"InternalFailure: {type(failure).__name__}: {failure}"
            with self._workspace.lock:
                endpoint.give_up()
                endpoint.record["FailureReason"] = reason[:1024]
                self._set_status(endpoint, "Failed" if before is None else "InService")
            if fleet is not None:
                fleet.close()
            return
        with self._workspace.lock:
            endpoint.take_over()
            endpoint.record["EndpointConfigName"] = config["EndpointConfigName"]
            self._set_status(endpoint, "InService")
        if before is not None:
            before.close()

    def _release(self, endpoint: Endpoint, planned: ReleasePlan, worker: Worker) -> None:
        def told() -> None:
            self._tell_deployment(endpoint, endpoint.described())

        Release(self._workspace, endpoint, planned, worker, told=told, stopped=self._closed.is_set).run()

    def _tell_deployment(self, endpoint: Endpoint, described: Record) -> None:
        detail = {**described, "EndpointStatus": _STATUSES[endpoint.status], "Tags": {}}
        self._workspace.emit(DEPLOYMENT_EVENT, detail, endpoint.record["EndpointArn"])

    def _update_weights(self, request: Record) -> Record:
        endpoint = self.endpoint(request["EndpointName"])
        with self._workspace.lock:
            fleet = endpoint.fleet
            if fleet is None or endpoint.status != "InService":
                raise ApiError(
                    "ValidationException", f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".'
                )
            wishes = request["DesiredWeightsAndCapacities"]
            variants = {**fleet.variants, **fleet.shadows}
            for wish in wishes:
                if wish["VariantName"] not in variants:
                    raise ApiError(
                        "ValidationException", f"The variant name(s) {wish['VariantName']!r} is/are not present."
                    )
                variants[wish["VariantName"]].check_wish(wish)
            endpoint.record.pop("FailureReason", None)
            self._set_status(endpoint, "Updating")
            for wish in wishes:
                variant = variants[wish["VariantName"]]
                variant.weight = float(wish.get("DesiredWeight", variant.weight))
                count, before = wish.get("DesiredInstanceCount", variant.desired_count), variant.desired_count
                if count != before:
                    variant.scale(count)
                    self._tell_scaling(endpoint, variant.name, f"Scaling {'out' if count > before else 'in'}", count)
                if isinstance(variant, ServerlessVariant) and "ServerlessUpdateConfig" in wish:
                    variant.reconfigure(wish["ServerlessUpdateConfig"])
        threading.Thread(target=self._scaled, args=(endpoint, fleet), daemon=True).start()
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def _tell_scaling(self, endpoint: Endpoint, variant: str, what: str, count: int) -> None:
        described = endpoint.described()
        message = f"{what} desired instance count to {count}."
        stage = {"Status": "Updating", "StatusMessage": message, "StartTime": self._workspace.now()}
        for each in (*described["ProductionVariants"], *described.get("ShadowProductionVariants", [])):
            if each["VariantName"] == variant:
                each["VariantStatus"] = [stage]
        self._tell_deployment(endpoint, described)

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
            if components := self._workspace.components_of(endpoint.name):
                raise ApiError(
                    "ValidationException",
                    f"Endpoint {endpoint.name} has inference components: delete {', '.join(components)} first.",
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

    def _set_status(self, endpoint: Endpoint, status: str) -> None:
        endpoint.record.update(EndpointStatus=status, LastModifiedTime=self._workspace.now())
        detail = {**endpoint.described(), "EndpointStatus": _STATUSES[status]}
        self._workspace.emit(EVENT, detail, endpoint.record["EndpointArn"])

    def _arn(self, name: str) -> str:
        return self._workspace.arn("endpoint", name)


def _counts(request: Record, config: Record, serving: Fleet | None) -> dict[str, int]:
    """Return how many instances each variant of an update gets: what its configuration says, or what it has by now."""
    counts = {each["VariantName"]: int(each.get("InitialInstanceCount", 0)) for each in config["ProductionVariants"]}
    excluded = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", [])}
    if serving is not None and request.get("RetainAllVariantProperties") and "DesiredInstanceCount" not in excluded:
        counts |= {name: count for name, count in serving.counts().items() if name in counts}
    return counts
