"""The schemas of the catalog's tables, from what datasets and models declare."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_constructs.data_catalog import Column, TableSchema, daily, hourly

from .dataset_settings import PARTITION, Dataset, RawTable
from .dataset_settings import Column as DeclaredColumn
from .model_settings import Model

_ANSWERS = {
    "binary_classification": "What the model answered: the probability of the label 1",
    "regression": "What the model answered",
}
_CLASSES = {
    "binary_classification": [
        Column(name="predicted_class", type="int", comment="1 where the probability is one half or more, 0 elsewhere")
    ]
}
_TEXT_IN_CSV = {"timestamp": "; text here, as CSV tables can't read time zones"}


def raw_table(dataset: Dataset, name: str, bucket: str) -> TableSchema:
    """A raw table over its CSV files, whose columns are read in the order that is declared."""
    declared: RawTable = dataset.tables[name]
    location = f"s3://{bucket}/{name}/"
    keys, projection = daily(location, dataset.first_day) if declared.daily else ((), None)
    taken = {key.name for key in keys}
    columns = [
        Column(
            # The place of a CSV column tells what it is: its name may give way to the partition key.
            name=f"{column}_column" if column in taken else column,
            type="string" if each.type in _TEXT_IN_CSV else each.type,
            comment=each.description + _TEXT_IN_CSV.get(each.type, ""),
        )
        for column, each in declared.columns.items()
    ]
    return TableSchema(
        description=declared.description,
        columns=columns,
        location=location,
        format="csv",
        partition_keys=keys,
        projection=projection,
        parameters={"dataset": dataset.name},
    )


def prepared_table(dataset: Dataset, bucket: str, *, staged: bool = False) -> TableSchema:
    """The curated table, or its twin with the days that aren't published, both with registered partitions."""
    about = dataset.prepared.description
    return TableSchema(
        description=f"Days that are not published: claimed, staged or held. {about}" if staged else about,
        columns=_columns(dataset.prepared.columns),
        location=f"s3://{bucket}/{dataset.name}/",
        partition_keys=[Column(name=PARTITION, type="date", comment="The day that the rows belong to")],
        parameters={"dataset": dataset.name, "key": ",".join(dataset.prepared.key)},
    )


def quarantine_table(dataset: Dataset, bucket: str) -> TableSchema:
    """The rows that were bad, as they came, with the reasons."""
    location = f"s3://{bucket}/{dataset.name}/"
    keys, projection = daily(location, dataset.first_day)
    return TableSchema(
        description=f"Rows that were too bad for the dataset {dataset.name}",
        columns=[
            Column(name="source_table", type="string", comment="The raw table"),
            Column(name="file", type="string", comment="The file that the row came in"),
            Column(name="reason", type="string", comment="What is wrong with it"),
            Column(name="row", type="string", comment="The line of the file, as it came"),
        ],
        location=location,
        partition_keys=keys,
        projection=projection,
        parameters={"dataset": dataset.name},
    )


def predictions_table(model: Model, dataset: Dataset, bucket: str) -> TableSchema:
    """What a model answered, by the rows that it was asked about."""
    location = f"s3://{bucket}/predictions/{model.name}/"
    keys, projection = daily(location, dataset.first_day)
    return TableSchema(
        description=f"Predictions of the model {model.name}",
        columns=[
            *_columns({name: dataset.prepared.columns[name] for name in dataset.prepared.key}),
            Column(name="prediction", type="double", comment=_ANSWERS[model.problem]),
            *_CLASSES.get(model.problem, ()),
            Column(name="model_package", type="string", comment="The ARN of the version that answered"),
            Column(name="inference_id", type="string", comment="The id that ground truth is matched by"),
            Column(name="predicted_at", type="timestamp", comment="When it was published, in UTC"),
        ],
        location=location,
        partition_keys=keys,
        projection=projection,
        parameters={"model": model.name},
    )


def ground_truth_table(model: Model, dataset: Dataset, bucket: str) -> TableSchema:
    """What became of what a model predicted, in the form that SageMaker's monitors read: the job `labels` writes it."""
    location = f"s3://{bucket}/ground-truth/{model.name}/"
    keys, projection = hourly(location, dataset.first_day)
    return TableSchema(
        description=f"Ground truth for the model {model.name}",
        columns=[
            Column(name="groundTruthData", type="struct<data:string,encoding:string>", comment="The label"),
            Column(name="eventMetadata", type="struct<eventId:string>", comment="The inference id of the prediction"),
            Column(name="eventVersion", type="string", comment="The version of this form: 0"),
        ],
        location=location,
        format="json",
        partition_keys=keys,
        projection=projection,
        parameters={"model": model.name},
    )


def _columns(declared: Mapping[str, DeclaredColumn]) -> list[Column]:
    return [Column(name=name, type=each.type, comment=each.description) for name, each in declared.items()]
