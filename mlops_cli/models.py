"""`mlops model`: what is known of a model, and which of its versions serves."""

from __future__ import annotations

import typer

from mlops_cli import release_commands
from mlops_cli.leaderboard import leaderboard
from mlops_cli.model_card import card
from mlops_cli.versions import versions

app = typer.Typer(help="Look at a model, and say which version serves.", no_args_is_help=True)
for command in (
    versions, card, leaderboard, release_commands.approve, release_commands.rollback, release_commands.pin,
    release_commands.unpin, release_commands.challenge, release_commands.history,
):  # fmt: skip
    app.command()(command)


@app.callback()
def model() -> None:
    """Look at a model, and say which version serves."""
