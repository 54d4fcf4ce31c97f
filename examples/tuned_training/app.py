"""Another CDK app, on the library alone: a model is tuned in twenty training jobs, and the best one is registered."""

from pathlib import Path

from aws_cdk import App, Stack, aws_kms, aws_s3

from mlops_constructs import pipeline_steps as steps
from mlops_constructs.data_lake import DataLake
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.pipeline_definition import PipelineDefinition
from mlops_constructs.runtime_image import RuntimeImage
from mlops_constructs.training_pipeline import TrainingPipeline

app = App()
stack = Stack(app, "churn")
key, logs = aws_kms.Key(stack, "Key"), aws_s3.Bucket(stack, "Logs")
lake = DataLake(stack, "Lake", key=key, access_logs=logs)
image = RuntimeImage(stack, "Image", repository_name="churn", source=Path(__file__).parent / "runtime", key=key)
registry = ModelRegistry(stack, "Registry", group_name="churn", description="Does a customer leave?")
training = TrainingPipeline(stack, "Training", pipeline_name="churn", image=image, key=key)
lake.grant_read(training.job_role, "curated", "churn/")
lake.grant_read_write(training.job_role, "artifacts", "churn/")
registry.grant_register(training.pipeline_role)

rows, models = f"s3://{lake.curated.bucket_name}/churn", f"s3://{lake.artifacts.bucket_name}/churn/models"
channels, machine = {"train": f"{rows}/train/", "validation": f"{rows}/validation/"}, "ml.m5.xlarge"
job: dict = {"role_arn": training.job_role.role_arn, "resources": steps.JobResources(instance_type=machine)}
job |= {"image_uri": image.uri, "kms_key_arn": key.key_arn, "channels": channels, "output_path": models}
depth = steps.IntegerRange(minimum=3, maximum=10)
rate = steps.ContinuousRange(minimum=0.01, maximum=0.3, scaling="Logarithmic")
goal = steps.TuningObjective(metric="validation:auc", regex="validation-auc:([0-9.]+)", goal="Maximize")
search = {"ranges": {"max_depth": depth, "learning_rate": rate}, "objective": goal, "trials": 20, "parallel": 4}
tune = steps.TuningStep(name="Tune", training=steps.TrainingStep(name="Train", **job), **search)
served = {"image_uri": image.uri, "model_artifact": tune.model_artifact, "group_name": "churn"}
types = {"content_types": ["text/csv"], "response_types": ["text/csv"]}
register = steps.RegisterModelStep(name="Register", **served, **types)
training.define(PipelineDefinition(parameters=[], steps=[tune, register]), description="Tunes and registers a model")
app.synth()
