"""Glue of the local AWS: jobs as processes, workflows, partitions, data quality; the rest of the catalog is moto's."""

from local_aws.glue.service import GlueService

__all__ = ["GlueService"]
