"""The model registry: package groups, and packages with their versions and approval."""

from __future__ import annotations

from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.model_card import check_model_card
from local_aws.sagemaker.workspace import Operation, Record, Workspace, plain

EVENT = "SageMaker Model Package State Change"
_UPDATABLE = frozenset(
    {
        "ModelApprovalStatus", "ApprovalDescription", "InferenceSpecification", "ModelCard", "ModelLifeCycle",
        "ModelPackageRegistrationType", "SourceUri",
    }
)  # fmt: skip


class ModelRegistry:
    """Groups by name and packages by ARN."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._groups: dict[str, Record] = {}
        self._packages: dict[str, Record] = {}
        self._versions: dict[str, int] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateModelPackageGroup": self._create_group,
            "DescribeModelPackageGroup": lambda request: self.group(request["ModelPackageGroupName"]),
            "ListModelPackageGroups": self._list_groups,
            "DeleteModelPackageGroup": self._delete_group,
            "PutModelPackageGroupPolicy": self._put_policy,
            "GetModelPackageGroupPolicy": self._get_policy,
            "DeleteModelPackageGroupPolicy": self._delete_policy,
            "CreateModelPackage": lambda request: {"ModelPackageArn": self.create(request)["ModelPackageArn"]},
            "DescribeModelPackage": lambda request: self.package(request["ModelPackageName"]),
            "ListModelPackages": self._list_packages,
            "UpdateModelPackage": self._update_package,
            "DeleteModelPackage": self._delete_package,
        }

    def group(self, name: str) -> Record:
        """Return a group by its name or ARN."""
        with self._workspace.lock:
            found = self._groups.get(name.rpartition("/")[2])
        if found is None:
            raise ApiError("ValidationException", f"ModelPackageGroup {name} does not exist.")
        return found

    def package(self, name: str) -> Record:
        """Return a package by its ARN, or an unversioned one by its name."""
        arn = name if name.startswith("arn:") else self._workspace.arn("model-package", name)
        with self._workspace.lock:
            found = self._packages.get(arn)
        if found is None:
            raise ApiError("ValidationException", f"ModelPackage {arn} does not exist.")
        return found

    def create(self, request: Record) -> Record:
        """Register a package: the next version of its group, or an unversioned one with a name."""
        workspace, moment = self._workspace, self._workspace.now()
        _check_card(request)
        group_name = request.get("ModelPackageGroupName", "").rpartition("/")[2]
        if bool(group_name) == bool(request.get("ModelPackageName")):
            raise ApiError(
                "ValidationException", "Exactly one of ModelPackageName and ModelPackageGroupName has to be given."
            )
        with workspace.lock:
            record = {name: value for name, value in request.items() if name not in ("Tags", "ClientToken")}
            if group_name:
                self.group(group_name)
                version = self._versions[group_name] = self._versions.get(group_name, 0) + 1
                record |= {"ModelPackageGroupName": group_name, "ModelPackageVersion": version}
                record.setdefault("ModelApprovalStatus", "PendingManualApproval")
                arn = workspace.arn("model-package", f"{group_name}/{version}")
            else:
                arn = workspace.arn("model-package", request["ModelPackageName"])
                if arn in self._packages:
                    raise ApiError("ConflictException", f"ModelPackage {arn} already exists.")
            record |= {
                "ModelPackageArn": arn,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "CreationTime": moment,
                "LastModifiedTime": moment,
            }
            self._packages[arn] = record
        workspace.tag(arn, request.get("Tags", []))
        self._announce(record)
        return record

    def _create_group(self, request: Record) -> Record:
        name = request["ModelPackageGroupName"]
        arn = self._workspace.arn("model-package-group", name)
        with self._workspace.lock:
            if name in self._groups:
                raise ApiError("ValidationException", f"Model Package Group already exists: {arn}")
            self._groups[name] = {
                "ModelPackageGroupName": name,
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupDescription": request.get("ModelPackageGroupDescription"),
                "ModelPackageGroupStatus": "Completed",
                "CreationTime": self._workspace.now(),
                "CreatedBy": {},
            }
        self._workspace.tag(arn, request.get("Tags", []))
        return {"ModelPackageGroupArn": arn}

    def _list_groups(self, request: Record) -> Record:
        with self._workspace.lock:
            records = list(self._groups.values())
        found, token = listed(records, request, name="ModelPackageGroupName")
        return {"ModelPackageGroupSummaryList": found, "NextToken": token}

    def _delete_group(self, request: Record) -> Record:
        with self._workspace.lock:
            group = self.group(request["ModelPackageGroupName"])
            name = group["ModelPackageGroupName"]
            if any(package.get("ModelPackageGroupName") == name for package in self._packages.values()):
                raise ApiError(
                    "ConflictException", f"Model Package Group cannot be deleted: it contains model packages: {name}"
                )
            del self._groups[name]
            self._versions.pop(name, None)
        self._workspace.forget(group["ModelPackageGroupArn"])
        return {}

    def _put_policy(self, request: Record) -> Record:
        group = self.group(request["ModelPackageGroupName"])
        group["ResourcePolicy"] = request["ResourcePolicy"]
        return group

    def _get_policy(self, request: Record) -> Record:
        group = self.group(request["ModelPackageGroupName"])
        if "ResourcePolicy" not in group:
            raise ApiError("ValidationException", f"Cannot find resource policy for: {group['ModelPackageGroupArn']}")
        return group

    def _delete_policy(self, request: Record) -> Record:
        self.group(request["ModelPackageGroupName"]).pop("ResourcePolicy", None)
        return {}

    def _list_packages(self, request: Record) -> Record:
        group = request.get("ModelPackageGroupName")
        if group:
            group = self.group(group)["ModelPackageGroupName"]
        kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
        approval = request.get("ModelApprovalStatus")
        with self._workspace.lock:
            records = [
                {**package, "ModelPackageName": package.get("ModelPackageName") or package["ModelPackageArn"]}
                for package in self._packages.values()
                if (not group or package.get("ModelPackageGroupName") == group)
                and (kind == "Both" or (kind == "Versioned") == ("ModelPackageVersion" in package))
                and (not approval or package.get("ModelApprovalStatus") == approval)
            ]
        found, token = listed(records, request, name="ModelPackageName", default_order="Descending")
        for package in found:
            if "ModelPackageVersion" in package:
                del package["ModelPackageName"]
        return {"ModelPackageSummaryList": found, "NextToken": token}

    def _update_package(self, request: Record) -> Record:
        if "AdditionalInferenceSpecificationsToAdd" in request:
            raise ApiError("ValidationException", "the local AWS doesn't add inference specifications to packages")
        _check_card(request)
        with self._workspace.lock:
            package = self.package(request["ModelPackageArn"])
            if "ModelApprovalStatus" in request and "ModelPackageVersion" not in package:
                raise ApiError("ValidationException", "Only versioned model packages have an approval status.")
            changed = {name: value for name, value in request.items() if name in _UPDATABLE}
            metadata = {**package.get("CustomerMetadataProperties", {})}
            metadata.update(request.get("CustomerMetadataProperties", {}))
            for name in request.get("CustomerMetadataPropertiesToRemove", []):
                metadata.pop(name, None)
            if metadata or "CustomerMetadataProperties" in package:
                changed["CustomerMetadataProperties"] = metadata
            package.update(changed, LastModifiedTime=self._workspace.now())
        self._announce(package)
        return {"ModelPackageArn": package["ModelPackageArn"]}

    def _delete_package(self, request: Record) -> Record:
        with self._workspace.lock:
            arn = self.package(request["ModelPackageName"])["ModelPackageArn"]
            del self._packages[arn]
        self._workspace.forget(arn)
        return {}

    def _announce(self, package: Record) -> None:
        detail: dict[str, Any] = plain(package)
        detail["ModelPackageName"] = package["ModelPackageArn"].partition("model-package/")[2]
        self._workspace.emit(EVENT, detail, package["ModelPackageArn"])


def _check_card(request: Record) -> None:
    card = request.get("ModelCard", {}).get("ModelCardContent")
    if card is not None:
        check_model_card(card)
