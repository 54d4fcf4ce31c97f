"""`mlops model`: what is known of a model."""

from __future__ import annotations

import typer

from mlops_cli.leaderboard import leaderboard
from mlops_cli.model_card import card
from mlops_cli.versions import versions

app = typer.Typer(help="Look at a model.", no_args_is_help=True)
app.command()(leaderboard)
app.command()(card)
app.command()(versions)


@app.callback()
def model() -> None:
    """Look at a model."""
