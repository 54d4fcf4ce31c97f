"""Who else may use the versions in the registries of an environment."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from .setting_types import Account, Section, unique


class Registry(Section):
    """The model registries of an environment."""

    shared_with: Annotated[list[Account], Field(max_length=100), AfterValidator(unique)] = Field(default_factory=list)
    """Other AWS accounts, in quotes, which may read the versions of all models, their artifacts and reports, and serve
    them. They can't register, approve or delete any, nor read the rows that models were trained on. Left out: none."""


def check_sharing(account: str | None, registry: Registry) -> None:
    """Refuse to share with the environment's own account, which needs no sharing."""
    for index, other in enumerate(registry.shared_with):
        if other == account:
            raise PydanticCustomError(
                "own_account",
                "{account} is this environment's own account, which its registries are in; remove it",
                {"account": repr(other), "at": ("registry", "shared_with", index)},
            )
