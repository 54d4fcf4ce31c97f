"""Glue Data Quality: rulesets in DQDL, evaluated on tables of the catalog by Spark."""

from local_aws.glue.quality.data_quality import DataQuality

__all__ = ["DataQuality"]
