"""A local AWS with a Glue database, and queries that are polled as any client of boto3 does it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from local_aws.server import LocalAwsServer, running

PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
RESULTS = "s3://results/queries/"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass
class Lake:
    """Tables of the database `lake` in the bucket of the same name, and queries on them."""

    server: LocalAwsServer
    directory: Path

    def client(self, service: str) -> Any:
        return self.server.context.client(service)

    def put(self, key: str, body: str | bytes) -> int:
        """Write an object, and return its size."""
        data = body.encode() if isinstance(body, str) else body
        self.client("s3").put_object(Bucket="lake", Key=key, Body=data)
        return len(data)

    def put_parquet(self, key: str, select: str) -> int:
        """Write what a SELECT of DuckDB gives as Parquet, and return the object's size."""
        path = self.directory / "rows.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        return self.put(key, path.read_bytes())

    def table(
        self,
        name: str,
        columns: Mapping[str, str],
        *,
        serde: str = PARQUET,
        keys: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Register a table at s3://lake/<name>/."""
        self.client("glue").create_table(
            DatabaseName="lake",
            TableInput={
                "Name": name,
                "PartitionKeys": [{"Name": key, "Type": kind} for key, kind in (keys or {}).items()],
                "Parameters": dict(parameters or {}),
                "StorageDescriptor": {
                    "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
                    "Location": f"s3://lake/{name}/",
                    "SerdeInfo": {"SerializationLibrary": serde, "Parameters": dict(options or {})},
                },
            },
        )

    def partition(self, table: str, values: Sequence[str], location: str) -> None:
        self.client("glue").create_partition(
            DatabaseName="lake",
            TableName=table,
            PartitionInput={"Values": list(values), "StorageDescriptor": {"Location": location}},
        )

    def start(self, query: str, **request: Any) -> str:
        settings = {"QueryExecutionContext": {"Database": "lake"}, "WorkGroup": "team", **request}
        answer = self.client("athena").start_query_execution(QueryString=query, **settings)
        return str(answer["QueryExecutionId"])

    def ended(self, query_id: str, seconds: float = 30) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            found = self.client("athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            if found["Status"]["State"] in ENDED:
                return dict(found)
            assert time.monotonic() < deadline, f"still {found['Status']}"
            time.sleep(0.02)

    def run(self, query: str, **request: Any) -> dict[str, Any]:
        """Run a query to its end, and return its QueryExecution."""
        return self.ended(self.start(query, **request))

    def rows(self, query: str, **request: Any) -> list[list[str | None]]:
        """Return the rows of a query that has to succeed, without the header."""
        execution = self.run(query, **request)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return self.results(execution["QueryExecutionId"])[1:]

    def results(self, query_id: str) -> list[list[str | None]]:
        pages = self.client("athena").get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
        rows = [row for page in pages for row in page["ResultSet"]["Rows"]]
        return [[datum.get("VarCharValue") for datum in row["Data"]] for row in rows]

    def failure(self, query: str, **request: Any) -> str:
        """Return why a query that has to fail has failed."""
        execution = self.run(query, **request)
        assert execution["Status"]["State"] == "FAILED", execution["Status"]
        return str(execution["Status"]["StateChangeReason"])

    def scanned(self, query: str) -> int:
        execution = self.run(query)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        return int(execution["Statistics"]["DataScannedInBytes"])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One server for the tests of a module, each of which registers tables of its own."""
    from moto.moto_api._internal.models import moto_api_backend

    directory = tmp_path_factory.mktemp("athena")
    with running(directory / "state") as server:
        moto_api_backend.reset()
        found = Lake(server, directory)
        for bucket in ("lake", "results"):
            found.client("s3").create_bucket(Bucket=bucket)
        found.client("glue").create_database(DatabaseInput={"Name": "lake"})
        found.client("athena").create_work_group(
            Name="team", Configuration={"ResultConfiguration": {"OutputLocation": RESULTS}}
        )
        yield found
