"""The released version of a model on a fleet that it shares with others.

Source: "Deploy models with inference components" in SageMaker's developer guide.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aws_cdk import ArnFormat, CfnCondition, Fn, Stack
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from .endpoint_options import VARIANT, ServingMetricNames
from .endpoint_release import (
    LONGEST_SECONDS,
    PERIOD,
    ReleaseAlarms,
    ReleaseLimits,
    ReleasePolicy,
    WatchedVariant,
    alarm_prefix,
)
from .endpoint_scaling import EndpointScaling, define_target
from .findings import acknowledge
from .grants import grant_decrypt
from .job_role import JobRole
from .log_retention import LogRetention
from .runtime_image import RuntimeImage

COMPONENT_LOGS = "/aws/sagemaker/InferenceComponents/"
"""What SageMaker puts before a component's name to get that of its log group."""
COPIES = "sagemaker:inference-component:DesiredCopyCount"
LEAST_MEMORY_MB, LEAST_CPUS = 128, 0.25


@dataclass(frozen=True, kw_only=True)
class ComponentSizing:
    """Copies of a model, and what each of them is promised of a machine.

    Parameters
    ----------
    copies
        Copies, each a container of its own. With a scaling, how many a release begins with.
    memory_mb
        Memory of a copy in MiB, 128 at least.
    cpus
        Cores of a copy, 0.25 at least; none are promised when left out.
    """

    copies: int = 1
    memory_mb: int = 1024
    cpus: float | None = None

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        if self.copies < 1:
            raise ValueError(f"copies must be at least 1, got {self.copies}")
        if self.memory_mb < LEAST_MEMORY_MB:
            raise ValueError(f"memory_mb must be at least {LEAST_MEMORY_MB}, got {self.memory_mb}")
        if self.cpus is not None and self.cpus < LEAST_CPUS:
            raise ValueError(f"cpus must be at least {LEAST_CPUS}, got {self.cpus:g}")


@dataclass(frozen=True, kw_only=True)
class ComponentOptions:
    """What a component may have beside its model.

    Parameters
    ----------
    enabled
        False: there is no component, whatever is released; role and logs stay.
    sizing
        Copies and their share of machines.
    release, limits
        How a new version takes over: ``rolling``, in steps of some copies, with alarms that take it back, or
        ``all_at_once``, where alarms only tell. A version that doesn't start is taken back either way.
    scaling
        Copies follow the traffic: `EndpointScaling` with copies in place of instances; always as many when left out.
    metrics
        Of the containers; none when left out.
    topic
        Is told when an alarm goes off.
    """

    enabled: bool = True
    sizing: ComponentSizing = field(default_factory=ComponentSizing)
    release: ReleasePolicy = field(default_factory=ReleasePolicy)
    limits: ReleaseLimits = field(default_factory=ReleaseLimits)
    scaling: EndpointScaling | None = None
    metrics: ServingMetricNames | None = None
    topic: sns.ITopic | None = None

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        copies, scaling = self.sizing.copies, self.scaling
        if self.release.strategy not in ("all_at_once", "rolling"):
            raise ValueError(f"a component is released all_at_once or rolling, not {self.release.strategy}")
        if scaling and not scaling.minimum <= copies <= scaling.maximum:
            raise ValueError(f"copies must be from {scaling.minimum} to {scaling.maximum} as scaling, got {copies}")
        least = min(copies, scaling.least) if scaling else copies
        if least < 1:
            raise ValueError("scaling has a minimum of 0: nothing would bring the first copy back")
        self.release.check(least)


class WatchedComponent(WatchedVariant):
    """A component's metrics, which are the same ones for each of its versions: only the alarms' names differ."""

    def metric(self, name: str, statistic: str) -> cloudwatch.Metric:
        """A metric of SageMaker's own."""
        return cloudwatch.Metric(
            namespace="AWS/SageMaker",
            metric_name=name,
            dimensions_map={"InferenceComponentName": self.endpoint_name},
            statistic=statistic,
            period=PERIOD,
        )


class InferenceComponent(Construct):
    """A component with a fixed name that serves one model package, and nothing as long as there is none.

    The model has no name, so that CloudFormation replaces it, and the component goes from one to the other.

    Parameters
    ----------
    component_name
        A contract: clients name it beside the fleet's endpoint.
    fleet_name
        The endpoint of the `InferenceFleet`, which has to be there. A component stays on its fleet: take it away
        (`enabled`) before it goes to another one.
    model_package_arn
        The version to serve, usually a stack parameter. With an empty text nothing is created.
    image
        What the package's container runs.
    key
        Encrypts what the container reads, and its logs.
    options
        All else; one copy, all at once, when left out.
    logs
        How long logs are kept: 90 days, also when the stack goes, when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        component_name: str,
        fleet_name: str,
        model_package_arn: str,
        image: RuntimeImage,
        key: kms.IKey,
        options: ComponentOptions | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.component_name = component_name
        self._fleet_name = fleet_name
        self._options = options or ComponentOptions()
        named = Fn.condition_not(Fn.condition_equals(model_package_arn, ""))
        self.released = CfnCondition(self, "Released", expression=named)
        self.role = self._define_role(image, key)
        group = (logs or LogRetention()).define(self, "Logs", name=f"{COMPONENT_LOGS}{component_name}", key=key)
        if not self._options.enabled:
            return
        self._fleet = Fn.select(2, Fn.split("/", model_package_arn))
        self.model = self._define_model(model_package_arn)
        self.alarms = self._define_alarms()
        self.component = self._define_component()
        self.component.node.add_dependency(group, self.role.ready)
        if self._options.scaling:
            self._define_scaling(self._options.scaling)

    def _define_role(self, image: RuntimeImage, key: kms.IKey) -> JobRole:
        role = JobRole(
            self,
            "Role",
            service="sagemaker.amazonaws.com",
            log_groups=f"{COMPONENT_LOGS}{self.component_name}",
            metrics_namespaces=["/aws/sagemaker/InferenceComponents"],
        )
        image.grant_pull(role)
        grant_decrypt(key, role)
        # SageMaker looks at the alarms of a release by the role of the model
        prefix = alarm_prefix(self.component_name)
        arn = Stack.of(self).format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=f"{prefix}*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        role.add_to_policy(iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=[arn]))
        reason = "Each release has alarms of its own, whose names begin alike"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:alarm:{prefix}*]": reason})
        return role

    def _define_model(self, package: str) -> sagemaker.CfnModel:
        metrics = self._options.metrics
        variables = metrics.variables(self.component_name, VARIANT, self._fleet) if metrics else None
        container = sagemaker.CfnModel.ContainerDefinitionProperty(model_package_name=package, environment=variables)
        model = sagemaker.CfnModel(self, "Model", execution_role_arn=self.role.role_arn, primary_container=container)
        model.cfn_options.condition = self.released
        model.node.add_dependency(self.role.ready)
        return model

    def _define_alarms(self) -> list[cloudwatch.Alarm]:
        metrics = self._options.metrics
        watched = WatchedComponent(
            endpoint_name=self.component_name,
            variant_name=VARIANT,
            configuration_name=self.model.attr_model_name,
            shift=metrics.shift(self.component_name, self._fleet) if metrics else None,
        )
        return ReleaseAlarms(
            self,
            "Alarms",
            limits=self._options.limits,
            variant=watched,
            condition=self.released,
            topic=self._options.topic,
        ).alarms

    def _define_component(self) -> sagemaker.CfnInferenceComponent:
        property_of, sizing = sagemaker.CfnInferenceComponent, self._options.sizing
        component = property_of(
            self,
            "Component",
            inference_component_name=self.component_name,
            endpoint_name=self._fleet_name,
            variant_name=VARIANT,
            specification=property_of.InferenceComponentSpecificationProperty(
                model_name=self.model.attr_model_name,
                compute_resource_requirements=property_of.InferenceComponentComputeResourceRequirementsProperty(
                    min_memory_required_in_mb=sizing.memory_mb,
                    max_memory_required_in_mb=sizing.memory_mb,
                    number_of_cpu_cores_required=sizing.cpus,
                ),
            ),
            runtime_config=property_of.InferenceComponentRuntimeConfigProperty(copy_count=sizing.copies),
            deployment_config=self._deployment(),
        )
        component.cfn_options.condition = self.released
        return component

    def _deployment(self) -> sagemaker.CfnInferenceComponent.InferenceComponentDeploymentConfigProperty | None:
        release, property_of = self._options.release, sagemaker.CfnInferenceComponent
        if release.strategy == "all_at_once":
            return None
        rollback = property_of.AutoRollbackConfigurationProperty(
            alarms=[property_of.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in self.alarms]
        )
        return property_of.InferenceComponentDeploymentConfigProperty(
            auto_rollback_configuration=rollback if self.alarms else None,
            rolling_update_policy=property_of.InferenceComponentRollingUpdatePolicyProperty(
                maximum_batch_size=property_of.InferenceComponentCapacitySizeProperty(
                    type="CAPACITY_PERCENT", value=release.percent
                ),
                wait_interval_in_seconds=release.wait_seconds,
                maximum_execution_timeout_in_seconds=LONGEST_SECONDS,
            ),
        )

    def _define_scaling(self, scaling: EndpointScaling) -> None:
        """Copies between bounds. It depends on the component, which a scalable target can't be registered before."""
        policy_of = autoscaling.CfnScalingPolicy
        target = define_target(
            self,
            "Scaling",
            dimension=COPIES,
            resource_id=f"inference-component/{self.component_name}",
            scaling=scaling,
            condition=self.released,
            scaled=self.component,
        )
        policy = policy_of(
            self,
            "Policy",
            policy_name=f"{self.component_name}-traffic",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=policy_of.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=scaling.requests_per_instance,
                predefined_metric_specification=policy_of.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="SageMakerInferenceComponentInvocationsPerCopy"
                ),
                scale_in_cooldown=scaling.scale_in_seconds,
                scale_out_cooldown=scaling.scale_out_seconds,
                disable_scale_in=not scaling.scale_in,
            ),
        )
        policy.cfn_options.condition = self.released
