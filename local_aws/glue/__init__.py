"""Glue job runs as local Spark processes; the rest of Glue is moto's."""

from local_aws.glue.service import GlueService

__all__ = ["GlueService"]
