"""The API of MLflow apps. An app is created at once; its server starts in the background."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.mlflow.tracking_server import ServerFailure, TrackingServer
from local_aws.sagemaker.workspace import Operation, Record, Workspace

TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
ENDPOINT_VARIABLE = "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT"
_ID_ALPHABET = string.ascii_uppercase + string.digits
_UPDATABLE = (
    "Name", "ArtifactStoreUri", "ModelRegistrationMode", "WeeklyMaintenanceWindowStart", "DefaultDomainIdList",
    "AccountDefaultStatus",
)  # fmt: skip


class MlflowApps:
    """MLflow apps by their ARN."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._apps: dict[str, Record] = {}
        self._servers: dict[str, TrackingServer] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateMlflowApp": self._create,
            "DescribeMlflowApp": lambda request: self._app(request["Arn"]),
            "ListMlflowApps": self._list,
            "UpdateMlflowApp": self._update,
            "DeleteMlflowApp": self._delete,
            "CreatePresignedMlflowAppUrl": self._presign,
        }

    def container_variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return what a container needs to reach the app that its tracking URI names.

        AWS's plugin for MLflow derives an address from the ARN, and takes another one from a variable of its own. The
        server is waited for: it starts with the app, so that it is there when the first job is. A URI of anything else
        is the job's own business, and so is an app that isn't there or doesn't start: the client will say so.
        """
        arn = environment.get(TRACKING_VARIABLE, "")
        with self._workspace.lock:
            server = self._servers.get(arn)
        if server is None:
            return {}
        try:
            return {ENDPOINT_VARIABLE: server.url()}
        except ServerFailure:
            return {ENDPOINT_VARIABLE: server.address}

    def live(self) -> dict[str, dict[str, str]]:
        """Return by the name of each app its ARN, where its server answers, and whether it does yet."""
        with self._workspace.lock:
            return {
                str(app["Name"]): {"arn": arn, "url": self._servers[arn].address, "state": self._servers[arn].state}
                for arn, app in self._apps.items()
            }

    def close(self) -> None:
        """Stop every server."""
        with self._workspace.lock:
            servers = list(self._servers.values())
            self._servers.clear()
            self._apps.clear()
        for server in servers:
            server.close()

    def _create(self, request: Record) -> Record:
        if request.get("ModelRegistrationMode") == "AutoModelRegistrationEnabled":
            raise ApiError(
                "ValidationException",
                "the local AWS doesn't register MLflow's models in the model registry by itself: "
                "ModelRegistrationMode must be AutoModelRegistrationDisabled",
            )
        identifier = "".join(secrets.choice(_ID_ALPHABET) for _ in range(12))
        arn, moment = self._workspace.arn("mlflow-app", f"app-{identifier}"), self._workspace.now()
        with self._workspace.lock:
            if any(app["Name"] == request["Name"] for app in self._apps.values()):
                raise ApiError("ConflictException", f"An MLflow app with the name {request['Name']} already exists.")
            self._apps[arn] = {
                "AccountDefaultStatus": "DISABLED",
                "ModelRegistrationMode": "AutoModelRegistrationDisabled",
                **{name: value for name, value in request.items() if name != "Tags"},
                "Arn": arn,
                "Status": "Created",
                "MlflowVersion": version("mlflow"),
                "CreationTime": moment,
                "LastModifiedTime": moment,
                "MaintenanceStatus": "MaintenanceComplete",
            }
            self._servers[arn] = TrackingServer(
                self._workspace.context.state_dir / "mlflow" / identifier.lower(),
                request["ArtifactStoreUri"],
                self._workspace.container_environment(request["RoleArn"]),
            )
        self._workspace.tag(arn, request.get("Tags", []))
        return {"Arn": arn}

    def _update(self, request: Record) -> Record:
        app = self._app(request["Arn"])
        if request.get("ArtifactStoreUri", app["ArtifactStoreUri"]) != app["ArtifactStoreUri"]:
            raise ApiError(
                "ValidationException",
                "the local AWS can't move the artifacts of an MLflow app that exists: delete it and create another one",
            )
        with self._workspace.lock:
            app.update({name: request[name] for name in _UPDATABLE if name in request})
            app.update(Status="Updated", LastModifiedTime=self._workspace.now())
        return {"Arn": app["Arn"]}

    def _delete(self, request: Record) -> Record:
        arn = self._app(request["Arn"])["Arn"]
        with self._workspace.lock:
            server = self._servers.pop(arn)
            del self._apps[arn]
        self._workspace.forget(arn)
        server.close()
        return {"Arn": arn}

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = [
                app
                for app in self._apps.values()
                if request.get("Status", app["Status"]) == app["Status"]
                and request.get("MlflowVersion", app["MlflowVersion"]) == app["MlflowVersion"]
                and request.get("AccountDefaultStatus", app["AccountDefaultStatus"]) == app["AccountDefaultStatus"]
                and request.get("DefaultForDomainId") in (None, *app.get("DefaultDomainIdList", []))
            ]
        found, token = listed(records, request, name="Name", status="Status")
        return {"Summaries": found, "NextToken": token}

    def _presign(self, request: Record) -> Record:
        arn = self._app(request["Arn"])["Arn"]
        try:
            return {"AuthorizedUrl": self._servers[arn].url()}
        except ServerFailure as error:
            raise ApiError("InternalFailure", str(error), 500) from error

    def _app(self, arn: str) -> dict[str, Any]:
        with self._workspace.lock:
            if arn not in self._apps:
                raise ApiError("ResourceNotFound", f"MLflow app {arn} does not exist.")
            return self._apps[arn]
