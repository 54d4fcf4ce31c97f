"""Checks of tables by Glue Data Quality: rulesets, the role of their runs, and who may start runs."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from constructs import Construct

from .data_catalog import CatalogTable
from .findings import acknowledge
from .job_role import JobRole

_RULESETS_OF_A_RUN = 10
"""How many rulesets the service evaluates in one run."""


class DataQuality(Construct):
    """The rulesets of a table, and the role that evaluates them.

    The role may read the table in the catalog, and publish results and metrics; the bucket that the files lie in grants
    the rest.

    Parameters
    ----------
    table
        The table that the rules are about.
    """

    def __init__(self, scope: Construct, construct_id: str, *, table: CatalogTable) -> None:
        super().__init__(scope, construct_id)
        self._table = table
        self.ruleset_names: list[str] = []
        self.role = self._define_role()

    def add_ruleset(
        self, construct_id: str, *, name: str, description: str, rules: Sequence[str]
    ) -> glue.CfnDataQualityRuleset:
        """Add a ruleset of DQDL rules, which a contract names. Raises ValueError when there is nothing to check."""
        if not rules:
            raise ValueError(f"the ruleset {name!r} has no rules")
        if len(self.ruleset_names) == _RULESETS_OF_A_RUN:
            raise ValueError(f"a run evaluates at most {_RULESETS_OF_A_RUN} rulesets; {name!r} is one too many")
        self.ruleset_names.append(name)
        lines = ",\n".join(f"    {rule}" for rule in rules)
        ruleset = glue.CfnDataQualityRuleset(
            self,
            construct_id,
            name=name,
            description=description,
            ruleset=f"Rules = [\n{lines}\n]",
            target_table=glue.CfnDataQualityRuleset.DataQualityTargetTableProperty(
                database_name=self._table.database_name, table_name=self._table.table_name
            ),
        )
        ruleset.node.add_dependency(self._table.table)
        return ruleset

    def grant_evaluate(self, role: iam.IRole) -> None:
        """Let a role start evaluations, in the role that is made for them, and read what comes out."""
        self._grant(
            role,
            [
                "glue:GetDataQualityResult",
                "glue:GetDataQualityRulesetEvaluationRun",
                "glue:StartDataQualityRulesetEvaluationRun",
            ],
        )
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "glue.amazonaws.com"}},
            )
        )

    def _define_role(self) -> JobRole:
        stack = Stack.of(self)
        role = JobRole(
            self,
            "Role",
            service="glue.amazonaws.com",
            log_groups="/aws-glue/",
            metrics_namespaces=["Glue Data Quality"],
        )
        self._table.grant_read(role)
        self._grant(
            role, ["glue:GetDataQualityRuleset", "glue:GetDataQualityRulesetEvaluationRun", "glue:PublishDataQuality"]
        )
        # The program that a run consists of, which Glue fetches in the run's role.
        programs = f"arn:{stack.partition}:s3:::aws-glue-ml-data-quality-assets-{stack.region}/*"
        role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[programs]))
        acknowledge(
            role,
            {"AwsSolutions-IAM5[Resource::*aws-glue-ml-data-quality-assets-*/*]": "Glue's own bucket, and its files"},
        )
        return role

    def _grant(self, role: iam.IRole, actions: Sequence[str]) -> None:
        # Runs and results have no names of their own in IAM: Glue documents any ruleset as their resource.
        rulesets = Stack.of(self).format_arn(service="glue", resource="dataQualityRuleset", resource_name="*")
        iam.Grant.add_to_principal(grantee=role, actions=list(actions), resource_arns=[rulesets])
        acknowledge(role, {"AwsSolutions-IAM5[Resource::*:dataQualityRuleset/*]": "Runs and results have no names"})
