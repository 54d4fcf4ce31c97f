"""`python -m mlops_cli`."""

from mlops_cli.commands import app

app(prog_name="mlops")
