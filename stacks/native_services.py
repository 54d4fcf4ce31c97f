"""SageMaker's own services in a stack: what Clarify is to do as an asset, the permissions, and a note at synth."""

from __future__ import annotations

from aws_cdk import Annotations, Stack
from aws_cdk import aws_iam as iam

from mlops_constructs.glue_job import JsonAsset
from mlops_constructs.grants import grant_read_assets
from mlops_constructs.native_grants import grant_ask_models, grant_pull_image

from .model_settings import Model
from .native_settings import CLOSED, Native, images_needed
from .native_steps import NativeServices, analyses_of, asked_of_prepare


def define_native(
    stack: Stack, *, model: Model, name: str, native: Native | None, job_role: iam.Role
) -> NativeServices:
    """Prepare a stack for what its model asks of SageMaker's own services; nothing for most."""
    images, prefix, uri = native or Native(), f"check-{name}", None
    needed = images_needed(model)
    for image in needed:
        grant_pull_image(job_role, getattr(images, image))
    analyses = analyses_of(model, prefix)
    if model.native_checks:
        asset = JsonAsset(stack, "Checks", content=asked_of_prepare(model, prefix))
        grant_read_assets([asset], job_role)
        uri = asset.s3_object_url
    if any(each.predictor for each in analyses.values()):
        grant_ask_models(job_role, [prefix])
    if needed:
        Annotations.of(stack).add_info_v2(
            "mlops:native-services",
            f"{model.name} asks for {', '.join(sorted(needed))}: SageMaker Debugger, Clarify and Model Monitor are "
            f"closed to new customers since {CLOSED}, and an account that hasn't used them before refuses their jobs. "
            "The local AWS runs data_quality and data_bias.",
        )
    return NativeServices(images=images, endpoint_prefix=prefix, analyses_uri=uri)
