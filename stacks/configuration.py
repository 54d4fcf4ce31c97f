"""Reads config/, dataset.yaml and model.yaml files into `Settings`, or raises one error that lists everything wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import yaml_source
from .code_checks import check_dataset, check_model
from .dataset_settings import Dataset
from .fleet_settings import check_fleets
from .model_settings import Model
from .name_checks import check_names
from .native_checks import check_images
from .nearest import nearest
from .settings import Environment, EnvironmentSettings, Platform, Repository, Settings
from .studio_checks import check_studio
from .validation import validate
from .yaml_source import YamlSource, dotted

Sources = Mapping[str, YamlSource]


class ConfigurationError(Exception):
    """Everything that is wrong in the configuration, one finding a line: file, line, key, value and the fix."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


def load(repository: Repository) -> Settings:
    """Read the whole configuration.

    Raises
    ------
    ConfigurationError
        with all findings of all files.
    """
    problems: list[str] = []
    shared = _read(repository, repository.config / "platform.yaml")
    platform = validate(Platform, shared, problems)
    if platform is None:
        raise ConfigurationError(problems)
    environments = _listed(repository, shared, "environments", repository.config, "{}.yaml", problems)
    declared = _Declared(
        repository=repository,
        datasets=_listed(repository, shared, "datasets", repository.datasets, "{}/dataset.yaml", problems),
        models=_listed(repository, shared, "models", repository.models, "{}/model.yaml", problems),
        problems=problems,
    )
    datasets, models = declared.validate(platform)
    problems += check_names(shared, datasets, list(models))
    settings = [_environment(name, platform, source, declared) for name, source in environments.items()]
    if problems:
        raise ConfigurationError(problems)
    return Settings(platform=platform, environments=tuple(found for found in settings if found))


def unlisted_models(repository: Repository, settings: Settings) -> list[str]:
    """The models that have a folder but aren't listed in platform.yaml, so that they aren't deployed."""
    there = {path.parent.name for path in repository.models.glob("*/model.yaml")}
    return sorted(there - set(settings.platform.models))


@dataclass(frozen=True, kw_only=True)
class _Declared:
    """The declarations of all datasets and models, as they are or with an environment's values laid over them."""

    repository: Repository
    datasets: Sources
    models: Sources
    problems: list[str]

    def overridden_by(self, environment: YamlSource) -> _Declared:
        def merged(kind: str, sources: Sources) -> Sources:
            return {name: source.overridden_by(environment, (kind, name)) for name, source in sources.items()}

        return _Declared(
            repository=self.repository,
            datasets=merged("datasets", self.datasets),
            models=merged("models", self.models),
            problems=self.problems,
        )

    def validate(self, platform: Platform) -> tuple[Mapping[str, Dataset | None], Mapping[str, Model | None]]:
        """The declarations by name, None for those that aren't sound, which add to the problems."""
        datasets = {name: self._dataset(name, source) for name, source in self.datasets.items()}
        # A dataset without a file is told by itself: its models have no finding of their own.
        by_name = dict.fromkeys(platform.datasets) | datasets
        return datasets, {name: self._model(name, source, by_name) for name, source in self.models.items()}

    def _dataset(self, folder: str, source: YamlSource) -> Dataset | None:
        dataset = validate(Dataset, source, self.problems)
        if dataset is not None:
            self.problems.extend(check_dataset(self.repository, folder, source, dataset))
        return dataset

    def _model(self, folder: str, source: YamlSource, datasets: Mapping[str, Dataset | None]) -> Model | None:
        model = validate(Model, source, self.problems)
        if model is not None:
            self.problems.extend(check_model(self.repository, folder, source, model, datasets))
        return model


def _listed(
    repository: Repository, source: YamlSource, key: str, folder: Path, pattern: str, problems: list[str]
) -> dict[str, YamlSource]:
    """The files that the names under a key of platform.yaml stand for."""
    found = {}
    there = sorted(path.relative_to(folder).parts[0].removesuffix(".yaml") for path in folder.glob(pattern.format("*")))
    for index, name in enumerate(source.data[key]):
        path = folder / pattern.format(name)
        if path.is_file():
            found[name] = _read(repository, path)
        else:
            place, file = source.place((key, index)), path.relative_to(repository.root).as_posix()
            hint = nearest(name, [each for each in there if each not in source.data[key]])
            problems.append(f"{place}: {dotted(place.key)}: {name!r} has no file {file}; create it{hint}")
    return found


def _environment(name: str, platform: Platform, source: YamlSource, declared: _Declared) -> EnvironmentSettings | None:
    problems = declared.problems
    environment = validate(Environment, source, problems)
    for kind, known in (("dataset", platform.datasets), ("model", platform.models)):
        overrides = source.data.get(f"{kind}s")
        for override in overrides if isinstance(overrides, Mapping) else ():
            if override not in known:
                place = source.place((f"{kind}s", override))
                said = f"{override!r} is no {kind} of config/platform.yaml{nearest(override, known)}"
                problems.append(f"{place}: {dotted(place.key)}: {said}")
    overridden = declared.overridden_by(source)
    datasets, models = overridden.validate(platform)
    problems += check_studio(environment, source, models, overridden.models)
    problems += check_images(environment, source, models, overridden.models)
    problems += check_fleets(environment, source, models, overridden.models)
    if environment is None:
        return None
    return EnvironmentSettings(
        name=name,
        platform=platform,
        environment=environment,
        datasets=tuple(each for each in datasets.values() if each),
        models=tuple(each for each in models.values() if each),
    )


def _read(repository: Repository, path: Path) -> YamlSource:
    return yaml_source.read(path, path.relative_to(repository.root).as_posix())
