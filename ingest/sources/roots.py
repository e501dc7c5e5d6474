"""The folders that may be imported from where it is not the owner of the machine who asks: the operator's API."""

# realpath must answer for what does not exist as well, and paths are compared as texts.
# ruff: noqa: PTH100

import os
from collections.abc import Iterable
from pathlib import Path

#: Of a symbolic link that was met on the way through a folder.
LEADS_OUT = "It is a symbolic link that leads out of the folders of INGEST_LIBRARY_ROOTS."


class Roots:
    """Nothing outside of these folders is opened, nor told to exist; without a folder, no path may be taken."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._named = [os.path.abspath(folder) for folder in folders]
        self._real = [os.path.realpath(folder) for folder in self._named]

    def hold(self, path: str) -> bool:
        """Whether an absolute path lies in one of them, as it is named and with every link followed."""
        # By its name first: of what is named outside not even a link is read.
        if not _below(os.path.normpath(path), {*self._named, *self._real}):
            return False
        try:
            return _below(os.path.realpath(path), self._real)
        except ValueError:  # a NUL byte, or half a surrogate pair
            return False

    def refusal(self, shown: str) -> str:
        """The same sentence whether something is there or not."""
        if not self._named:
            return f"{shown} is a path, and INGEST_LIBRARY_ROOTS names no folder that may be imported from."
        return f"{shown} is not in a folder of INGEST_LIBRARY_ROOTS; nothing else may be imported from."


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)
