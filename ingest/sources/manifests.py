"""Text manifests: one source a line, ``#`` comments, UTF-8."""

from collections.abc import Iterator
from typing import TextIO

#: A file with one of these endings is a list of sources when it is named on the command line, and only then.
TEXT_SUFFIXES = frozenset({".txt", ".list"})
TABLE_SUFFIXES = frozenset({".csv", ".jsonl"})


class BadManifest(Exception):
    """A sentence."""


def lines(data: bytes, name: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that names a source; raises ``BadManifest`` where the text is no UTF-8."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise BadManifest(f"{name} line {number}: not valid UTF-8; save the list as UTF-8.") from error
    # Not splitlines(): it also splits at characters that may stand in a file's name.
    for number, line in enumerate(text.split("\n"), start=1):
        source = line.strip(" \t\r")
        if source and not source.startswith("#"):
            yield number, source


def read_all(stream: TextIO) -> bytes:
    """The bytes behind a text stream, so that the terminal's locale does not decide how a list is read."""
    buffer = getattr(stream, "buffer", None)
    if buffer is not None:
        return bytes(buffer.read())
    return stream.read().encode("utf-8", "surrogateescape")
