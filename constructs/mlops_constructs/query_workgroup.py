"""Where people query the lake: an Athena workgroup with bounds, and queries to begin with."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_athena as athena
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from .data_catalog import CatalogTable

_GIGABYTE = 1_000_000_000


class QueryWorkGroup(Construct):
    """An Athena workgroup whose settings nobody overrides: encrypted results, metrics, and a limit on what is read.

    Parameters
    ----------
    work_group_name
        A contract: people and tools name it.
    results
        The bucket that takes results, under ``queries/``.
    key
        Encrypts the results.
    limit_gb
        Gigabytes that one query may read before Athena ends it: 10 when left out.
    removal
        Whether the workgroup goes with its stack although it has queries and a history. It is kept when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        work_group_name: str,
        results: s3.IBucket,
        key: kms.IKey,
        limit_gb: int = 10,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, construct_id)
        if limit_gb < 1:
            raise ValueError(f"limit_gb must be at least 1, got {limit_gb}")
        self.work_group_name = work_group_name
        self.work_group = athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=work_group_name,
            description="Queries of the lake",
            recursive_delete_option=removal == RemovalPolicy.DESTROY,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=limit_gb * _GIGABYTE,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{results.bucket_name}/queries/",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=key.key_arn
                    ),
                ),
            ),
        )
        self.work_group.apply_removal_policy(removal)

    def add_query(
        self, construct_id: str, *, name: str, description: str, table: CatalogTable, sql: str
    ) -> athena.CfnNamedQuery:
        """Store a query, for people to run and change; it is about a table, whose database it starts in."""
        return athena.CfnNamedQuery(
            self,
            construct_id,
            name=name,
            description=description,
            database=table.database_name,
            query_string=sql,
            work_group=self.work_group.ref,
        )
