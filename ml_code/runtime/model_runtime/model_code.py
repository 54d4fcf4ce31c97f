"""A model's own code: the package `<model>/` with plain functions, as a directory or in a zip file."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from model_runtime.errors import JobError

Encoder = Callable[[str], float]


@dataclass(frozen=True)
class ModelCode:
    """A model's package and what its module `features` declares."""

    name: str
    package: Path
    features: tuple[str, ...]
    label: str
    encoders: Mapping[str, Encoder]

    def function(self, module: str, name: str) -> Callable[..., object]:
        """The function `<model>.<module>.<name>`; raises JobError when it isn't there."""
        found = self.optional_module(module)
        function = getattr(found, name, None)
        if not callable(function):
            raise JobError(f"the model {self.name!r} has no function {self.name}.{module}.{name}")
        return function  # type: ignore[no-any-return]

    def optional_module(self, module: str) -> ModuleType | None:
        """The module `<model>.<module>`, or None when the package has no such file."""
        if not (self.package / f"{module}.py").is_file():
            return None
        return importlib.import_module(f"{self.name}.{module}")


def load_model_code(directory: Path, name: str | None = None) -> ModelCode:
    """Find the package in `directory`, or in the only zip file there, and make it importable.

    `name` is the package's name; without it MODEL_NAME decides, or else the package must be the only one. Raises
    JobError when it isn't there, or doesn't declare FEATURES and LABEL.
    """
    root = _unpacked(directory)
    packages = sorted(path.parent.name for path in root.glob("*/__init__.py"))
    wanted = name or os.environ.get("MODEL_NAME") or (packages[0] if len(packages) == 1 else None)
    if wanted not in packages:
        raise JobError(
            f"no package {wanted!r} in {directory}; it holds {', '.join(packages) or 'no package'}. "
            "MODEL_NAME must name the package of the model"
        )
    package = root / wanted
    _make_importable(root, wanted)
    features = importlib.import_module(f"{wanted}.features")
    missing = [attribute for attribute in ("FEATURES", "LABEL") if not hasattr(features, attribute)]
    if missing:
        raise JobError(f"{wanted}.features must declare {' and '.join(missing)}")
    return ModelCode(wanted, package, tuple(features.FEATURES), features.LABEL, getattr(features, "ENCODERS", {}))


def _unpacked(directory: Path) -> Path:
    if not directory.is_dir():
        raise JobError(f"the model's code isn't there: no directory {directory}")
    archives = sorted(directory.glob("*.zip"))
    if not archives:
        return directory
    if len(archives) > 1:
        names = ", ".join(path.name for path in archives)
        raise JobError(f"{directory} must hold one zip file with the model's code, found {names}")
    target = Path(tempfile.mkdtemp(prefix="model-code-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    try:
        with zipfile.ZipFile(archives[0]) as archive:
            archive.extractall(target)
    except zipfile.BadZipFile as error:
        raise JobError(f"{archives[0]} is no zip file: {error}") from error
    return target


def _make_importable(root: Path, name: str) -> None:
    """Put `root` first on the path, and forget a package of the same name that came from elsewhere."""
    loaded = sys.modules.get(name)
    if loaded is not None and Path(str(loaded.__file__)).parent != root / name:
        for module in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[module]
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    importlib.invalidate_caches()
