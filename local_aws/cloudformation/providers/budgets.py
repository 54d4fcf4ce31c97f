"""AWS::Budgets::Budget."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from local_aws.cloudformation.providers.api_shape import fit_input
from local_aws.cloudformation.providers.provider import Provisioned, Request, is_gone


class Budget:
    """A budget and who is told about it. moto can't update one, so an update deletes and creates it by its name."""

    name_property: str | None = None

    def create(self, request: Request) -> Provisioned:
        """Create the budget; its physical id is its name."""
        name = request.properties["Budget"].get("BudgetName") or request.name("BudgetName", length=100)
        self._create(request, name)
        request.identified(name)
        return Provisioned(name, {"Id": name})

    def update(self, request: Request) -> Provisioned:
        """Change the budget's limit, period or filters."""
        self.delete(request)
        self._create(request, request.physical_id)
        return Provisioned(request.physical_id, request.attributes)

    def delete(self, request: Request) -> None:
        """Delete the budget, if it is still there."""
        try:
            request.client("budgets").delete_budget(AccountId=request.account, BudgetName=request.physical_id)
        except ClientError as error:
            if not is_gone(error):
                raise

    def _create(self, request: Request, name: str) -> None:
        wanted: dict[str, Any] = {
            "AccountId": request.account,
            "Budget": {**request.properties["Budget"], "BudgetName": name},
            "NotificationsWithSubscribers": request.properties.get("NotificationsWithSubscribers"),
            "ResourceTags": request.properties.get("ResourceTags"),
        }
        given = {member: value for member, value in wanted.items() if value is not None}
        request.client("budgets").create_budget(**fit_input("budgets", "CreateBudget", given))
