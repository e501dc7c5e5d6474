"""Results go to stdout; this is for everything else."""

import sys
from typing import NoReturn

import typer


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> NoReturn:
    """Usage or configuration: nothing was changed."""
    say(text)
    raise typer.Exit(2)


def number_of(count: int, one: str) -> str:
    """``1 item``, ``3 items``."""
    return f"{count} {one}{'' if count == 1 else 's'}"
