"""What models ask of SageMaker's own services, their environment has to name the images of."""

from __future__ import annotations

from collections.abc import Mapping

from .model_settings import Model
from .native_settings import CLOSED, Native, images_needed
from .settings import Environment
from .yaml_source import YamlSource, dotted


def check_images(
    environment: Environment | None,
    source: YamlSource,
    models: Mapping[str, Model | None],
    sources: Mapping[str, YamlSource],
) -> list[str]:
    """Every setting of a model that needs an image which its environment doesn't name."""
    if environment is None:
        return []
    native, problems = environment.native or Native(), []
    for name, model in models.items():
        for image, key in images_needed(model).items() if model else ():
            if getattr(native, image) is None:
                place = sources[name].place(key)
                said = (
                    f"needs the image of a service that is closed to new customers since {CLOSED}; name it in "
                    f"{source.file} as native.{image}, or leave the setting out there"
                )
                problems.append(f"{place}: {dotted(place.key)}: {said}")
    return problems
