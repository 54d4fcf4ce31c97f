"""Tables over a lake: one database, typed columns, and partitions that are registered or computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from constructs import Construct

Format: TypeAlias = Literal["csv", "json", "parquet"]

_TEXT_INPUT = "org.apache.hadoop.mapred.TextInputFormat"
_TEXT_OUTPUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_PARQUET = "org.apache.hadoop.hive.ql.io.parquet"
_STORAGE: Mapping[Format, tuple[str, str, str, Mapping[str, str]]] = {
    # OpenCSVSerde reads every column as text; this one knows types, but no quotes.
    "csv": (
        _TEXT_INPUT,
        _TEXT_OUTPUT,
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        {"field.delim": ",", "serialization.null.format": "NA"},
    ),
    "json": (_TEXT_INPUT, _TEXT_OUTPUT, "org.openx.data.jsonserde.JsonSerDe", {"ignore.malformed.json": "true"}),
    "parquet": (
        f"{_PARQUET}.MapredParquetInputFormat",
        f"{_PARQUET}.MapredParquetOutputFormat",
        f"{_PARQUET}.serde.ParquetHiveSerDe",
        {"serialization.format": "1"},
    ),
}
_FORMAT_PARAMETERS: Mapping[Format, Mapping[str, str]] = {"csv": {"skip.header.line.count": "1"}}

_READ = ("glue:GetDatabase", "glue:GetTable", "glue:GetPartition", "glue:GetPartitions")
_REGISTER = (
    "glue:BatchCreatePartition",
    "glue:BatchDeletePartition",
    "glue:BatchUpdatePartition",
    "glue:CreatePartition",
    "glue:DeletePartition",
    "glue:UpdatePartition",
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its name in small letters, its Hive type, and what it holds."""

    name: str
    type: str
    comment: str = ""

    def __post_init__(self) -> None:
        """Refuse what the catalog refuses, or cuts off."""
        if len(self.comment) > 255:
            raise ValueError(f"column {self.name!r}: a comment has at most 255 characters, got {len(self.comment)}")


@dataclass(frozen=True, kw_only=True)
class Projection:
    """How the partitions of a table are computed from the values of its partition keys, instead of looked up.

    `location` is the place of a partition, with `${key}` for each key's value; `rules` are Athena's by key, as
    ``{"type": "date", "range": "2020-01-01,NOW", "format": "yyyy-MM-dd"}``.
    """

    location: str
    rules: Mapping[str, Mapping[str, str]]

    def parameters(self) -> dict[str, str]:
        """The table parameters that Athena reads."""
        rules = {f"projection.{key}.{name}": value for key, rule in self.rules.items() for name, value in rule.items()}
        return {"projection.enabled": "true", "storage.location.template": self.location, **rules}


@dataclass(frozen=True, kw_only=True)
class TableSchema:
    """A table: what a row is, its columns, where its files lie and how they are written.

    Partitions are registered one by one where there are partition keys and no projection.
    """

    description: str
    columns: Sequence[Column]
    location: str
    format: Format = "parquet"
    partition_keys: Sequence[Column] = ()
    projection: Projection | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the catalog or Athena refuses."""
        names = [column.name for column in (*self.columns, *self.partition_keys)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: a table has a column once, partition keys included")
        if not self.location.endswith("/"):
            raise ValueError(f"location must end with a slash, got {self.location!r}")
        keys = {key.name for key in self.partition_keys}
        if self.projection and set(self.projection.rules) != keys:
            raise ValueError(f"a projection needs a rule for each partition key: {sorted(keys)}")


def daily(location: str, first_day: str) -> tuple[Sequence[Column], Projection]:
    """The key and projection of a table whose files lie in folders ``day=YYYY-MM-DD/``, from a first day until now."""
    rule = {"type": "date", "range": f"{first_day},NOW", "format": "yyyy-MM-dd", "interval": "1"}
    day = Column(name="day", type="date", comment="The day that the rows belong to")
    return [day], Projection(location=f"{location}day=${{day}}/", rules={"day": {**rule, "interval.unit": "DAYS"}})


def hourly(location: str, first_day: str) -> tuple[Sequence[Column], Projection]:
    """The keys and projection of a table whose files lie in folders ``YYYY/MM/DD/HH/``, from a first year until now."""

    def number(first: int, last: int) -> dict[str, str]:
        return {"type": "integer", "range": f"{first},{last}", "digits": "2"}

    year = {"type": "date", "range": f"{first_day[:4]},NOW", "format": "yyyy", "interval": "1"}
    rules = {
        "year": {**year, "interval.unit": "YEARS"},
        "month": number(1, 12),
        "day": number(1, 31),
        "hour": number(0, 23),
    }
    keys = [Column(name=name, type="string", comment=f"The {name} of the upload, in UTC") for name in rules]
    return keys, Projection(location=f"{location}${{year}}/${{month}}/${{day}}/${{hour}}/", rules=rules)


class CatalogTable(Construct):
    """A table of a catalog; `DataCatalog.add_table` makes it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        database: glue.CfnDatabase,
        database_name: str,
        name: str,
        schema: TableSchema,
        owner: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.table_name = name
        self.database_name = database_name
        self.table = self._define_table(database, schema, owner)

    def grant_read(self, role: iam.IRole) -> None:
        """Let a role look up the table and its partitions. Where the files lie, their bucket's grant decides."""
        self._grant(role, _READ)

    def grant_register(self, role: iam.IRole) -> None:
        """Let a role look up the table, and register, change and remove its partitions."""
        self._grant(role, (*_READ, *_REGISTER))

    def _grant(self, role: iam.IRole, actions: Sequence[str]) -> None:
        # The catalog asks for permission on itself, the database and the table at once.
        stack = Stack.of(self)
        arns = [
            stack.format_arn(service="glue", resource="catalog"),
            stack.format_arn(service="glue", resource="database", resource_name=self.database_name),
            stack.format_arn(service="glue", resource="table", resource_name=f"{self.database_name}/{self.table_name}"),
        ]
        iam.Grant.add_to_principal(grantee=role, actions=list(actions), resource_arns=arns)

    def _define_table(self, database: glue.CfnDatabase, schema: TableSchema, owner: str | None) -> glue.CfnTable:
        reader, writer, serde, serde_parameters = _STORAGE[schema.format]
        parameters = {
            "EXTERNAL": "TRUE",
            "classification": schema.format,
            **_FORMAT_PARAMETERS.get(schema.format, {}),
            **(schema.projection.parameters() if schema.projection else {}),
            **schema.parameters,
        }
        return glue.CfnTable(
            self,
            "Resource",
            catalog_id=Stack.of(self).account,
            database_name=database.ref,
            table_input=glue.CfnTable.TableInputProperty(
                name=self.table_name,
                description=schema.description,
                owner=owner,
                table_type="EXTERNAL_TABLE",
                parameters=parameters,
                partition_keys=_columns(schema.partition_keys),
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=_columns(schema.columns),
                    location=schema.location,
                    input_format=reader,
                    output_format=writer,
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library=serde, parameters=dict(serde_parameters)
                    ),
                ),
            ),
        )


class DataCatalog(Construct):
    """A Glue database and its tables.

    Parameters
    ----------
    database_name
        A contract: queries name it.
    description
        What its tables are about.
    removal
        What happens to the database, and to tables whose partitions are registered, when the stack goes. They are kept
        when left out: which partitions are registered is state.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        database_name: str,
        description: str,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, construct_id)
        self.database_name = database_name
        self._removal = removal
        self.database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Stack.of(self).account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=database_name, description=description),
        )
        self.database.apply_removal_policy(removal)

    def add_table(self, construct_id: str, *, name: str, schema: TableSchema, owner: str | None = None) -> CatalogTable:
        """Add a table; its owner is a person or team, nobody when left out."""
        table = CatalogTable(
            self,
            construct_id,
            database=self.database,
            database_name=self.database_name,
            name=name,
            schema=schema,
            owner=owner,
        )
        if schema.partition_keys and schema.projection is None:
            table.table.apply_removal_policy(self._removal)
        return table


def _columns(columns: Sequence[Column]) -> list[glue.CfnTable.ColumnProperty]:
    return [
        glue.CfnTable.ColumnProperty(name=each.name, type=each.type, comment=each.comment or None) for each in columns
    ]
