"""Where experiments are tracked: a serverless MLflow app."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .grants import grant_encrypt_decrypt, grant_read_write_objects
from .job_role import service_principal


class Experiments(Construct):
    """An MLflow app, which SageMaker runs without a charge of its own, and the role with which it reads artifacts.

    MLflow's clients reach it with its ARN as their tracking URI, through the package ``sagemaker-mlflow``. They write
    the files of runs to the bucket themselves, so that `grant_track` gives them its folder too. What can be called
    isn't told apart further: an app knows one permission for all of MLflow's API, ``sagemaker:CallMlflowAppApi``.

    Parameters
    ----------
    app_name
        Names the app in the account; changing it makes another one, without the runs of this one.
    artifacts
        The bucket that the files of runs go to.
    prefix
        Their folder in it, with a slash at its end.
    key
        Encrypts what lies in the bucket.
    removal
        What happens to the app, and what it knows of runs, when the stack goes. It is kept when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        app_name: str,
        artifacts: s3.IBucket,
        key: kms.IKey,
        prefix: str = "mlflow/",
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, construct_id)
        self._artifacts, self._prefix, self._key = artifacts, prefix, key
        self.role = self._define_role()
        self.app = self._define_app(app_name, removal)

    @property
    def tracking_uri(self) -> str:
        """The app's ARN, as MLFLOW_TRACKING_URI takes it."""
        return self.app.attr_arn

    def grant_track(self, role: iam.IRole) -> None:
        """Let a role read and write experiments and runs, and the files of runs."""
        iam.Grant.add_to_principal(
            grantee=role, actions=["sagemaker:CallMlflowAppApi"], resource_arns=[self.tracking_uri]
        )
        self._grant_files(role)

    def grant_open(self, role: iam.IRole) -> None:
        """Let a role find the app, and open its pages in a browser."""
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["sagemaker:CreatePresignedMlflowAppUrl", "sagemaker:DescribeMlflowApp"],
            resource_arns=[self.tracking_uri],
        )

    def _grant_files(self, role: iam.IRole) -> None:
        grant_read_write_objects(self._artifacts, role, self._prefix)
        grant_encrypt_decrypt(self._key, role)

    def _define_role(self) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=service_principal(self, "sagemaker.amazonaws.com"))
        self._grant_files(role)
        return role

    def _define_app(self, name: str, removal: RemovalPolicy) -> sagemaker.CfnMlflowApp:
        app = sagemaker.CfnMlflowApp(
            self,
            "App",
            name=name,
            artifact_store_uri=f"s3://{self._artifacts.bucket_name}/{self._prefix.rstrip('/')}",
            role_arn=self.role.role_arn,
            # Versions are registered by pipelines that a gate has let through, and by nothing else.
            model_registration_mode="AutoModelRegistrationDisabled",
        )
        app.apply_removal_policy(removal)
        app.node.add_dependency(self.role.node.find_child("DefaultPolicy"))
        return app
