"""AWS::S3::Bucket and AWS::S3::BucketPolicy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Setting
from local_aws.cloudformation.providers.provider import ProviderFailure, Provisioned, Request

_NOTIFICATIONS = {
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
}


@dataclass(frozen=True, kw_only=True)
class Bucket(ApiResource):
    """A bucket; creating one that the account has already is an error, though the API allows it in us-east-1."""

    def create(self, request: Request) -> Provisioned:
        """Create the bucket, unless it exists."""
        name = request.properties.get("BucketName")
        if name is not None and _exists(request, name):
            raise ProviderFailure(f"{name} already exists", "AlreadyExists")
        return super().create(request)


def _exists(request: Request, name: str) -> bool:
    try:
        request.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] != 404)
    return True


def _encryption(value: Mapping[str, Any]) -> dict[str, Any]:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        converted = {key: item for key, item in rule.items() if key == "BucketKeyEnabled"}
        if "ServerSideEncryptionByDefault" in rule:
            converted["ApplyServerSideEncryptionByDefault"] = rule["ServerSideEncryptionByDefault"]
        rules.append(converted)
    return {"Rules": rules}


def _lifecycle(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"Rules": [_lifecycle_rule(rule) for rule in value["Rules"]]}


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    converted: dict[str, Any] = {"Status": rule["Status"], "Filter": _lifecycle_filter(rule)}
    if "Id" in rule:
        converted["ID"] = rule["Id"]
    expiration = {
        target: rule[source]
        for source, target in (
            ("ExpirationInDays", "Days"),
            ("ExpirationDate", "Date"),
            ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
        )
        if source in rule
    }
    if expiration:
        converted["Expiration"] = expiration
    transitions = rule.get("Transitions", [rule["Transition"]] if "Transition" in rule else [])
    if transitions:
        converted["Transitions"] = [
            _renamed(item, {"TransitionInDays": "Days", "TransitionDate": "Date"}) for item in transitions
        ]
    if "NoncurrentVersionTransitions" in rule:
        converted["NoncurrentVersionTransitions"] = [
            _renamed(item, {"TransitionInDays": "NoncurrentDays"}) for item in rule["NoncurrentVersionTransitions"]
        ]
    if "NoncurrentVersionExpirationInDays" in rule:
        converted["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    for key in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"):
        if key in rule:
            converted[key] = rule[key]
    return converted


def _lifecycle_filter(rule: Mapping[str, Any]) -> dict[str, Any]:
    parts = {key: rule[key] for key in ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan") if key in rule}
    tags = rule.get("TagFilters", [])
    if len(parts) + len(tags) > 1:
        return {"And": {**parts, **({"Tags": tags} if tags else {})}}
    if tags:
        return {"Tag": tags[0]}
    return parts or {"Prefix": ""}


def _renamed(item: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in item.items()}


def _notifications(value: Mapping[str, Any]) -> dict[str, Any]:
    converted: dict[str, Any] = {}
    bridge = value.get("EventBridgeConfiguration")
    if bridge is not None and str(bridge.get("EventBridgeEnabled", True)).lower() == "true":
        converted["EventBridgeConfiguration"] = {}
    for source, (target, member, arn) in _NOTIFICATIONS.items():
        if source in value:
            converted[target] = [_notification(item, member, arn) for item in value[source]]
    return converted


def _notification(item: Mapping[str, Any], member: str, arn: str) -> dict[str, Any]:
    converted: dict[str, Any] = {arn: item[member], "Events": [item["Event"]]}
    if "Filter" in item:
        converted["Filter"] = {"Key": {"FilterRules": item["Filter"]["S3Key"]["Rules"]}}
    return converted


def _logging(value: Mapping[str, Any]) -> dict[str, Any]:
    if not value:
        return {}
    target = {"TargetBucket": value["DestinationBucketName"], "TargetPrefix": value.get("LogFilePrefix", "")}
    return {"LoggingEnabled": target}


def _cors(value: Mapping[str, Any]) -> dict[str, Any]:
    names = {"Id": "ID", "MaxAge": "MaxAgeSeconds", "ExposedHeaders": "ExposeHeaders"}
    return {"CORSRules": [_renamed(rule, names) for rule in value["CorsRules"]]}


def _setting(
    name: str, api: str, member: str, convert: Any = lambda value: value, *, removable: bool = True, default: Any = None
) -> Setting:
    return Setting(
        name,
        Operation(f"Put{api}", {"Bucket": "id", member: "value"}),
        remove=Operation(f"Delete{api.removesuffix('Configuration')}", {"Bucket": "id"}) if removable else None,
        default=default,
        convert=convert,
    )


BUCKET = Bucket(
    type="AWS::S3::Bucket",
    service="s3",
    name_property="BucketName",
    name_length=63,
    name_lower=True,
    create_operation=Operation(
        "CreateBucket",
        {
            "Bucket": "properties.BucketName",
            "CreateBucketConfiguration": "region != 'us-east-1' && {LocationConstraint: region} || `null`",
            "ObjectLockEnabledForBucket": "properties.ObjectLockEnabled",
        },
    ),
    delete_operation=Operation("DeleteBucket", {"Bucket": "id"}),
    physical_id="properties.BucketName",
    attributes={
        "Arn": "join('', ['arn:aws:s3:::', id])",
        "DomainName": "join('', [id, '.s3.amazonaws.com'])",
        "RegionalDomainName": "join('', [id, '.s3.', region, '.amazonaws.com'])",
        "DualStackDomainName": "join('', [id, '.s3.dualstack.', region, '.amazonaws.com'])",
        "WebsiteURL": "join('', ['http://', id, '.s3-website-', region, '.amazonaws.com'])",
    },
    settings=(
        _setting(
            "VersioningConfiguration",
            "BucketVersioning",
            "VersioningConfiguration",
            removable=False,
            default={"Status": "Suspended"},
        ),
        _setting("BucketEncryption", "BucketEncryption", "ServerSideEncryptionConfiguration", _encryption),
        _setting("PublicAccessBlockConfiguration", "PublicAccessBlock", "PublicAccessBlockConfiguration"),
        _setting("OwnershipControls", "BucketOwnershipControls", "OwnershipControls"),
        Setting(
            "LifecycleConfiguration",
            Operation("PutBucketLifecycleConfiguration", {"Bucket": "id", "LifecycleConfiguration": "value"}),
            remove=Operation("DeleteBucketLifecycle", {"Bucket": "id"}),
            convert=_lifecycle,
        ),
        _setting("CorsConfiguration", "BucketCors", "CORSConfiguration", _cors),
        _setting(
            "NotificationConfiguration",
            "BucketNotificationConfiguration",
            "NotificationConfiguration",
            _notifications,
            removable=False,
            default={},
        ),
        _setting("LoggingConfiguration", "BucketLogging", "BucketLoggingStatus", _logging, removable=False, default={}),
        Setting(
            "Tags",
            Operation("PutBucketTagging", {"Bucket": "id", "Tagging": "{TagSet: value}"}),
            remove=Operation("DeleteBucketTagging", {"Bucket": "id"}),
        ),
    ),
    ignored=frozenset(
        {"AccessControl", "AccelerateConfiguration", "IntelligentTieringConfigurations", "MetricsConfigurations"}
    ),
)

BUCKET_POLICY = ApiResource(
    type="AWS::S3::BucketPolicy",
    service="s3",
    create_operation=Operation(
        "PutBucketPolicy", {"Bucket": "properties.Bucket", "Policy": "properties.PolicyDocument"}
    ),
    update_operation=Operation("PutBucketPolicy", {"Bucket": "id", "Policy": "properties.PolicyDocument"}),
    delete_operation=Operation("DeleteBucketPolicy", {"Bucket": "id"}),
    physical_id="properties.Bucket",
    attributes={"Bucket": "id"},
)
