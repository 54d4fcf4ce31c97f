"""The buckets that pipelines meet at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .grants import (
    grant_decrypt,
    grant_encrypt_decrypt,
    grant_read_objects,
    grant_read_write_objects,
    grant_write_objects,
)

Zone: TypeAlias = Literal["raw", "curated", "quarantine", "capture", "artifacts"]

_SUPERSEDED_DAYS = 7
_PASSED_DAYS = 1


class DataLake(Construct):
    """Five encrypted buckets: raw, curated and bad data, captured requests, and the artifacts of pipelines.

    All are private, accept TLS only, send their events to EventBridge and abort stale uploads. Raw data and artifacts
    are the state that nothing can rebuild, so they are versioned. Curated objects with the tag ``superseded=true`` go
    after seven days, when whoever still reads them is done.

    Parameters
    ----------
    key
        Encrypts every object; grants on a zone include the key.
    access_logs
        The bucket that the access logs go to. Its policy must let ``logging.s3.amazonaws.com`` write.
    removal
        What happens to the buckets when the stack goes. They are kept when left out.
    capture_retention
        How long captured requests are kept: 90 days when left out.
    quarantine_retention
        How long bad rows are kept: 90 days when left out.
    passing
        Prefixes of the artifacts that are kept for a time only, as the results of queries, and older versions of them
        for a day; none when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        key: kms.IKey,
        access_logs: s3.IBucket,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
        capture_retention: Duration | None = None,
        quarantine_retention: Duration | None = None,
        passing: Mapping[str, Duration] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._key = key
        self._access_logs = access_logs
        self._removal = removal
        self.raw = self._define_bucket("Raw", versioned=True)
        self.curated = self._define_bucket("Curated", rules=[_superseded()])
        self.quarantine = self._define_bucket("Quarantine", rules=[_expire(quarantine_retention)])
        self.capture = self._define_bucket("Capture", rules=[_expire(capture_retention)])
        self.artifacts = self._define_bucket("Artifacts", versioned=True, rules=_passing(passing or {}))

    def zone(self, zone: Zone) -> s3.Bucket:
        """The bucket of a zone."""
        return {
            "raw": self.raw,
            "curated": self.curated,
            "quarantine": self.quarantine,
            "capture": self.capture,
            "artifacts": self.artifacts,
        }[zone]

    def grant_read(self, role: iam.IRole, zone: Zone, *prefixes: str) -> None:
        """Let a role list the zone and read the objects under some prefixes, everything when left out."""
        grant_read_objects(self.zone(zone), role, *prefixes)
        grant_decrypt(self._key, role)

    def grant_read_write(self, role: iam.IRole, zone: Zone, *prefixes: str) -> None:
        """Let a role list the zone, and read, write and delete under some prefixes, everything when left out."""
        grant_read_write_objects(self.zone(zone), role, *prefixes)
        grant_encrypt_decrypt(self._key, role)

    def grant_write(self, role: iam.IRole, zone: Zone, *prefixes: str) -> None:
        """Let a role write objects under some prefixes of the zone, everything when left out, and read none."""
        grant_write_objects(self.zone(zone), role, *prefixes)
        grant_encrypt_decrypt(self._key, role)

    def share(self, accounts: Sequence[str], zone: Zone, *keys: str) -> None:
        """Let other accounts read the objects of a zone whose keys match patterns, and list none.

        A pattern may have stars, as ``late/*/model.tar.gz``. The key's policy has to let the accounts decrypt too; it
        is not touched here, since the key may be another stack's.
        """
        bucket = self.zone(zone)
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="ReadFromOtherAccounts",
                principals=[iam.AccountPrincipal(account) for account in accounts],
                actions=["s3:GetObject"],
                resources=[bucket.arn_for_objects(key) for key in keys],
            )
        )

    def _define_bucket(
        self, construct_id: str, *, versioned: bool = False, rules: Sequence[s3.LifecycleRule] = ()
    ) -> s3.Bucket:
        rules = [
            s3.LifecycleRule(id="AbortStaleUploads", abort_incomplete_multipart_upload_after=Duration.days(7)),
            *rules,
        ]
        if versioned:
            rules.append(s3.LifecycleRule(id="ExpireOldVersions", noncurrent_version_expiration=Duration.days(90)))
        bucket = s3.Bucket(
            self,
            construct_id,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self._key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=versioned,
            lifecycle_rules=rules,
            removal_policy=self._removal,
        )
        resource = bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        # The L2's event_bridge_enabled brings a custom resource, its access logs a policy that knows every source.
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
        )
        resource.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
            destination_bucket_name=self._access_logs.bucket_name, log_file_prefix=f"{construct_id.lower()}/"
        )
        return bucket


def _expire(after: Duration | None) -> s3.LifecycleRule:
    return s3.LifecycleRule(id="Expire", expiration=after or Duration.days(90))


def _superseded() -> s3.LifecycleRule:
    return s3.LifecycleRule(
        id="ExpireSuperseded", tag_filters={"superseded": "true"}, expiration=Duration.days(_SUPERSEDED_DAYS)
    )


def _passing(prefixes: Mapping[str, Duration]) -> list[s3.LifecycleRule]:
    return [
        s3.LifecycleRule(
            id=f"Expire-{prefix.rstrip('/')}",
            prefix=prefix,
            expiration=after,
            noncurrent_version_expiration=Duration.days(_PASSED_DAYS),
        )
        for prefix, after in prefixes.items()
    ]
