"""Athena: queries on tables of the Glue catalog, run by DuckDB. The service is in `local_aws.athena.service`."""
