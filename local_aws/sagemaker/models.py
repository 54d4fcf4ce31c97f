"""Models and endpoint configurations: what endpoints are made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.endpoint_shapes import check_shape
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.model_registry import ModelRegistry
from local_aws.sagemaker.workspace import Operation, Record, Workspace

# Machines with disks of their own, for which the API reference of CreateEndpointConfig rules out a KmsKeyId: by EC2's
# list of instance store volumes the families with a d after the generation, and those that come in no other kind.
_LOCAL_DISK = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|dl1|g[567]e?|p[56][a-z0-9-]*|trn[12]n?)\.")


class Models:
    """Models by name."""

    def __init__(self, workspace: Workspace, registry: ModelRegistry) -> None:
        self._workspace = workspace
        self._registry = registry
        self._records: dict[str, Record] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateModel": lambda request: {"ModelArn": self.create(request)["ModelArn"]},
            "DescribeModel": lambda request: self.model(request["ModelName"]),
            "ListModels": self._list,
            "DeleteModel": self._delete,
        }

    def create(self, request: Record) -> Record:
        """Make a model of one container; its package, if it names one, has to exist and be approved."""
        name = request["ModelName"]
        arn = self._workspace.arn("model", name)
        containers = request.get("Containers") or []
        if request.get("PrimaryContainer"):
            containers = [request["PrimaryContainer"], *containers]
        if len(containers) != 1:
            raise ApiError("ValidationException", "the local AWS runs models of exactly one container")
        self.container(containers[0])
        self._check_approval(containers[0])
        with self._workspace.lock:
            if name in self._records:
                raise ApiError("ValidationException", f'Cannot create already existing model "{arn}".')
            record = {**request, "ModelArn": arn, "CreationTime": self._workspace.now()}
            self._records[name] = record
        self._workspace.tag(arn, request.get("Tags", []))
        return record

    def model(self, name: str) -> Record:
        """Return a model by its name."""
        with self._workspace.lock:
            if name not in self._records:
                raise ApiError("ValidationException", f'Could not find model "{self._workspace.arn("model", name)}".')
            return self._records[name]

    def serving_container(self, name: str) -> Record:
        """Return image, model data and environment of a model, looked up in its package if it comes from one."""
        record = self.model(name)
        container = record.get("PrimaryContainer") or record["Containers"][0]
        return {**self.container(container), "ExecutionRoleArn": record.get("ExecutionRoleArn")}

    def container(self, definition: Mapping[str, Any]) -> Record:
        """Return a container definition with what its model package says filled in."""
        environment = dict(definition.get("Environment", {}))
        resolved: Record = {name: definition.get(name) for name in ("Image", "ModelDataUrl", "ModelDataSource")}
        if definition.get("ModelPackageName"):
            package = self._registry.package(definition["ModelPackageName"])
            packaged = package["InferenceSpecification"]["Containers"][0]
            resolved |= {name: packaged[name] for name in resolved if packaged.get(name)}
            environment = {**packaged.get("Environment", {}), **environment}
        if not resolved["Image"]:
            raise ApiError("ValidationException", "a container needs an Image or a ModelPackageName")
        source = (resolved["ModelDataSource"] or {}).get("S3DataSource")
        resolved["ModelDataUrl"] = resolved["ModelDataUrl"] or (source or {}).get("S3Uri")
        return {**resolved, "Environment": environment}

    def _check_approval(self, container: Mapping[str, Any]) -> None:
        """Refuse a version of a package group that wasn't approved; packages without versions need no approval."""
        if not container.get("ModelPackageName"):
            return
        package = self._registry.package(container["ModelPackageName"])
        status = package.get("ModelApprovalStatus")
        if "ModelPackageVersion" in package and status != "Approved":
            raise ApiError(
                "ValidationException",
                f"ModelPackage {package['ModelPackageArn']} must be approved before it can be deployed: "
                f"its ModelApprovalStatus is {status}.",
            )

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = list(self._records.values())
        found, token = listed(records, request, name="ModelName")
        return {"Models": found, "NextToken": token}

    def _delete(self, request: Record) -> Record:
        with self._workspace.lock:
            arn = self.model(request["ModelName"])["ModelArn"]
            del self._records[request["ModelName"]]
        self._workspace.forget(arn)
        return {}


class EndpointConfigs:
    """Endpoint configurations by name."""

    def __init__(self, workspace: Workspace, models: Models) -> None:
        self._workspace = workspace
        self._models = models
        self._records: dict[str, Record] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateEndpointConfig": self._create,
            "DescribeEndpointConfig": lambda request: self.config(request["EndpointConfigName"]),
            "ListEndpointConfigs": self._list,
            "DeleteEndpointConfig": self._delete,
        }

    def config(self, name: str) -> Record:
        """Return a configuration by its name."""
        with self._workspace.lock:
            if name not in self._records:
                arn = self._workspace.arn("endpoint-config", name)
                raise ApiError("ValidationException", f'Could not find endpoint configuration "{arn}".')
            return self._records[name]

    def _create(self, request: Record) -> Record:
        name = request["EndpointConfigName"]
        arn = self._workspace.arn("endpoint-config", name)
        shadows = request.get("ShadowProductionVariants", [])
        variants = [*request["ProductionVariants"], *shadows]
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) != len(names):
            raise ApiError("ValidationException", f"the variant names {names} are not unique")
        if shadows and len(variants) != 2:
            raise ApiError(
                "ValidationException",
                f"a shadow variant needs exactly one production variant and no other shadow, got {', '.join(names)}",
            )
        check_shape(request, self._models.model)
        for variant in variants:
            if "ModelName" in variant:
                self._models.model(variant["ModelName"])
            instance = variant.get("InstanceType", "")
            if request.get("KmsKeyId") and _LOCAL_DISK.match(instance):
                raise ApiError(
                    "ValidationException",
                    f"The KmsKeyId {request['KmsKeyId']} can't be used with {instance}: nitro-based instances with "
                    "local storage encrypt it with a key of their own hardware.",
                )
            if "ServerlessConfig" not in variant:
                variant.setdefault("InitialInstanceCount", 1)
            variant.setdefault("InitialVariantWeight", 1.0)
        with self._workspace.lock:
            if name in self._records:
                raise ApiError("ValidationException", f'Cannot create already existing endpoint configuration "{arn}".')
            self._records[name] = {**request, "EndpointConfigArn": arn, "CreationTime": self._workspace.now()}
        self._workspace.tag(arn, request.get("Tags", []))
        return {"EndpointConfigArn": arn}

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            records = list(self._records.values())
        found, token = listed(records, request, name="EndpointConfigName")
        return {"EndpointConfigs": found, "NextToken": token}

    def _delete(self, request: Record) -> Record:
        with self._workspace.lock:
            arn = self.config(request["EndpointConfigName"])["EndpointConfigArn"]
            del self._records[request["EndpointConfigName"]]
        self._workspace.forget(arn)
        return {}
