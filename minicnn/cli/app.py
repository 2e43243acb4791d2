"""The command that all commands are added to."""

import typer

app = typer.Typer(
    help="Train and look at small convnets in NumPy and Numba.", add_completion=False, no_args_is_help=True
)
