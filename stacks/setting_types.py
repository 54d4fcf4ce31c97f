"""What all settings are made of: strict sections, and values that have to match a pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_ACCOUNT = r"^\d{12}$"
_COLUMN = r"^[A-Za-z_][A-Za-z0-9_]*$"
_COLUMN_TYPE = r"^(string|boolean|int|bigint|float|double|date|timestamp|decimal\([1-9]\d?,\d{1,2}\))$"
_DAY = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"
_EMAIL = r"^[^@\s]+@[^@\s]+$"
_ENVIRONMENT = r"^[a-z][a-z0-9]{0,11}$"
_FLEET = r"^[a-z][a-z0-9]{0,19}$"
_INSTANCE_TYPE = r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$"
_MODEL = r"^[a-z]([a-z0-9_]{0,39}[a-z0-9])?$"
_PLATFORM = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_REGION = r"^[a-z]{2}(-[a-z]+)+-\d$"
_SCHEDULE = r"^(cron\(\S+( \S+){5}\)|rate\([1-9]\d* (minute|hour|day)s?\))$"
_SECURITY_GROUP = r"^sg-([0-9a-f]{8}|[0-9a-f]{17})$"
_SUBNET = r"^subnet-([0-9a-f]{8}|[0-9a-f]{17})$"
_TABLE = r"^[a-z][a-z0-9_]*$"
# not letter by letter _PLATFORM, by which its example is found
_TEAM = r"^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$"
_USER = r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$"
_VPC = r"^vpc-([0-9a-f]{8}|[0-9a-f]{17})$"

EXAMPLES: Mapping[str, str] = {
    _ACCOUNT: '"123456789012", twelve digits in quotes',
    _COLUMN: "departure_minute: letters, digits and _",
    _COLUMN_TYPE: "int: one of string, boolean, int, bigint, float, double, decimal(10,2), date, timestamp",
    _DAY: '"2013-01-01", a day in quotes',
    _EMAIL: "somebody@example.com",
    _ENVIRONMENT: "staging: up to 12 small letters and digits, a letter first",
    _FLEET: "small: up to 20 small letters and digits, a letter first",
    _INSTANCE_TYPE: "ml.m5.xlarge",
    _MODEL: "flight_delay: up to 41 small letters, digits and _",
    _PLATFORM: "my-platform: small letters, digits and single dashes",
    _REGION: "eu-west-1",
    _SCHEDULE: "cron(0 6 * * ? *), six fields, or rate(1 day)",
    _SECURITY_GROUP: "sg-0123456789abcdef0",
    _SUBNET: "subnet-0123456789abcdef0",
    _TABLE: "flights: small letters, digits and _",
    _TEAM: "delays or flight-delays: small letters, digits and single dashes, a letter first",
    _USER: "ada or ada-lovelace: letters, digits and single dashes",
    _VPC: "vpc-0123456789abcdef0",
}
"""What a value that has to match a pattern looks like."""


def unique(values: list[str]) -> list[str]:
    """Refuse a list that names something twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError(
                "listed_twice", "{value} is listed twice; remove one", {"value": repr(value), "at": (index,)}
            )
    return values


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise PydanticCustomError("scalar_type", "must be text, a number, or true or false")
    return value


Account = Annotated[str, Field(pattern=_ACCOUNT)]
ColumnName = Annotated[str, Field(pattern=_COLUMN)]
ColumnType = Annotated[str, Field(pattern=_COLUMN_TYPE)]
DatasetName = Annotated[str, Field(pattern=_MODEL)]
Day = Annotated[str, Field(pattern=_DAY)]
Description = Annotated[str, Field(min_length=1, max_length=1024)]
Email = Annotated[str, Field(pattern=_EMAIL)]
EnvironmentName = Annotated[str, Field(pattern=_ENVIRONMENT)]
FleetName = Annotated[str, Field(pattern=_FLEET)]
InstanceType = Annotated[str, Field(pattern=_INSTANCE_TYPE)]
ModelName = Annotated[str, Field(pattern=_MODEL)]
Percent = Annotated[int, Field(ge=0, le=100)]
PlatformName = Annotated[str, Field(pattern=_PLATFORM, max_length=21)]
Positive = Annotated[int, Field(ge=1)]
Region = Annotated[str, Field(pattern=_REGION)]
Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]
Schedule = Annotated[str, Field(pattern=_SCHEDULE)]
SecurityGroupId = Annotated[str, Field(pattern=_SECURITY_GROUP)]
SubnetId = Annotated[str, Field(pattern=_SUBNET)]
TableName = Annotated[str, Field(pattern=_TABLE)]
TeamName = Annotated[str, Field(pattern=_TEAM, max_length=20)]
UniqueNames = Annotated[list[ColumnName], AfterValidator(unique)]
UserName = Annotated[str, Field(pattern=_USER, max_length=40)]
VpcId = Annotated[str, Field(pattern=_VPC)]


class Section(BaseModel):
    """A part of a file: no unknown keys, no conversions, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)
