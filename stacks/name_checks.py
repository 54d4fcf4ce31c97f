"""Names that datasets and models are given must not meet: tables, rules and folders are named after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .dataset_settings import Dataset
from .yaml_source import YamlSource, dotted

RESERVED: Mapping[str, Mapping[str, str]] = {
    "datasets": {
        "ground_truth": "the folder of what became of predictions",
        "predictions": "the folder of predictions",
    },
    "models": {
        "experiments": "the folder of what teams try",
        "mlflow": "the folder of experiments",
        "queries": "the folder of the results of queries",
    },
}
"""Names that stand for other folders of the buckets that datasets and models have folders in."""


def check_names(shared: YamlSource, datasets: Mapping[str, Dataset | None], models: Sequence[str]) -> list[str]:
    """Where the names in platform.yaml meet each other's, or folders that are somebody else's."""
    problems: list[str] = []
    owners: dict[str, str] = {}
    for kind, name, taken in _names(datasets, models):
        place = shared.place((kind, shared.data[kind].index(name)))
        start = f"{place}: {dotted(place.key)}: "
        if name in RESERVED[kind]:
            problems.append(f"{start}{name!r} is {RESERVED[kind][name]}; choose another name")
        owner = f"the {kind.removesuffix('s')} {name!r}"
        for what in taken:
            if what in owners:
                problems.append(f"{start}the {what} belongs to {owners[what]} too; rename one")
            owners.setdefault(what, owner)
    return problems


def _names(datasets: Mapping[str, Dataset | None], models: Sequence[str]) -> Iterator[tuple[str, str, Sequence[str]]]:
    for name, dataset in datasets.items():
        raw = [f"raw_{table}" for table in dataset.tables] if dataset else []
        tables = [*raw, name, f"{name}_staged", f"{name}_quarantine"]
        yield "datasets", name, [_rules(name), *(f"table {each!r}" for each in tables)]
    for name in models:
        tables = [f"{name}_predictions", f"{name}_ground_truth"]
        yield "models", name, [_rules(name), *(f"table {each!r}" for each in tables)]


def _rules(name: str) -> str:
    return f"ruleset {name!r}"
