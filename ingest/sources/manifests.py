"""Manifests: lists of sources as text (one a line, ``#`` comments), CSV with a header, or JSON lines. UTF-8.

A manifest is read twice, once to check it and once to yield its rows, so that a million rows are never held.
"""

import csv
import io
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TextIO

from ingest.sources.files import is_utf8
from ingest.sources.found import NO_OPTIONS, Options
from ingest.sources.options import COLUMNS, BadOptions, read_options, shown, unknown_columns

Format = Literal["text", "csv", "jsonl"]

#: A file with one of these endings is a list of sources when it is named on the command line, and only then.
FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".list": "text",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}

#: Characters. A file of one endless line is no list, and must not fill the memory.
LONGEST_LINE = 1_000_000

_NOT_UTF8 = "not valid UTF-8; save the list as UTF-8."
_NOTHING: dict[Format, str] = {
    "text": "names no source: every line is empty or a comment.",
    "csv": "names no source: no row follows its header.",
    "jsonl": "names no source: every line is empty.",
}


class BadManifest(Exception):
    """What is wrong with a manifest as a whole. Not a whole sentence: ``told`` puts its name in front."""

    def __init__(self, what: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(what)

    def told(self, name: str) -> str:
        return f"'{name}' {self}" if self.line is None else f"{name} line {self.line}: {self}"


class Changed(Exception):
    """The file is another one than before."""


@dataclass(frozen=True, slots=True)
class Row:
    #: The physical line where it begins.
    line: int
    #: None where the row could not be read so far.
    source: str | None
    options: Options = NO_OPTIONS
    #: One or more sentences.
    wrong: str | None = None


class OnDisk:
    """A manifest that is read where it lies; ``Changed`` when it is not what it was when it was first opened."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stamp: tuple[int, ...] | None = None

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        with Path(self.path).open("rb") as stream:
            self._compare(stream)
            yield stream
            self._compare(stream)

    def _compare(self, stream: BinaryIO) -> None:
        status = os.fstat(stream.fileno())
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._stamp is None:
            self._stamp = stamp
        elif stamp != self._stamp:
            raise Changed


class Spooled:
    """What a stream held, kept in a temporary file so that it can be read twice. One reading at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        # The bytes behind the text, so that the terminal's locale does not decide how a list is read.
        buffer = getattr(stream, "buffer", None)
        if buffer is not None:
            shutil.copyfileobj(buffer, self._file, 1 << 20)
        else:
            self._file.write(stream.read().encode("utf-8", "surrogateescape"))

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        self._file.seek(0)
        yield self._file


def rows(stream: BinaryIO, format: Format) -> Iterator[Row]:
    """Every row, those with a fault too. Raises ``BadManifest``, before the first row, for what is wrong as a whole."""
    # Ends of lines: \n alone, for text: \r and others may stand in a file's name. CSV knows its own.
    text = io.TextIOWrapper(
        stream, encoding="utf-8-sig", errors="surrogateescape", newline="" if format == "csv" else "\n"
    )
    empty = True
    try:
        for row in _READERS[format](_lines(text)):
            empty = False
            yield row
    except _TooLong as cut:
        empty = False
        yield Row(
            cut.line, None, wrong=f"longer than {LONGEST_LINE:,} characters; nothing from this line on can be read."
        )
    finally:
        if not stream.closed:
            text.detach()
    if empty:
        raise BadManifest(_NOTHING[format])


class _TooLong(Exception):
    def __init__(self, line: int) -> None:
        self.line = line


_Lines = Iterator[tuple[int, str]]


def _lines(text: TextIO) -> _Lines:
    for number, line in enumerate(iter(lambda: text.readline(LONGEST_LINE + 1), ""), start=1):
        if number == 1 and line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
            raise BadManifest("is UTF-16; save the list as UTF-8.")
        if len(line) > LONGEST_LINE:
            raise _TooLong(number)
        yield number, line


def _text_rows(lines: _Lines) -> Iterator[Row]:
    for number, line in lines:
        source = line.strip(" \t\r\n")
        if not is_utf8(source):
            yield Row(number, None, wrong=_NOT_UTF8)
        elif source and not source.startswith("#"):
            yield Row(number, source)


def _jsonl_rows(lines: _Lines) -> Iterator[Row]:
    for number, line in lines:
        line = line.strip(" \t\r\n")
        if line:
            yield _json_row(number, line)


def _json_row(number: int, line: str) -> Row:
    if not is_utf8(line):
        return Row(number, None, wrong=_NOT_UTF8)
    try:
        values = _JSON.decode(line)
    except json.JSONDecodeError as error:
        return Row(number, None, wrong=f"no valid JSON: {error.msg} at column {error.colno}.")
    except (_Twice, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, _Twice) else "a number too long, or nested too deep"
        return Row(number, None, wrong=f"no valid row: {why}.")
    if not isinstance(values, dict):
        return Row(number, None, wrong='each line must hold one object, such as {"source": "beach.mp4"}.')
    source = values.pop("source", None)
    if source is None:
        return _row(number, None, values, 'it has no "source".')
    if not isinstance(source, str):
        return _row(number, None, values, f"source is {shown(source)}, but must be a text.")
    return _row(number, source, values)


class _Twice(Exception):
    """A key that stands twice in one object."""


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"{shown(next(name for name in names if names.count(name) > 1))} stands in it twice")
    return values


_JSON = json.JSONDecoder(object_pairs_hook=_once)


def _row(line: int, source: str | None, given: dict[str, object], wrong: str | None = None) -> Row:
    if not given:
        return Row(line, source, wrong=wrong)
    try:
        return Row(line, source, read_options(given), wrong)
    except BadOptions as bad:
        return Row(line, source, wrong=f"{wrong} {bad}" if wrong else str(bad))


# CSV


def _csv_rows(lines: _Lines) -> Iterator[Row]:
    for number, line in lines:
        if line.strip():
            table = _Table(line, number)
            break
    else:
        raise BadManifest("is empty: its first line must name the columns, at least `source`.")
    return table.rows(line for _, line in lines)


class _Table:
    """What the header of a table says: the delimiter and the columns."""

    def __init__(self, header: str, line: int) -> None:
        self.header_line = line
        if not is_utf8(header):
            raise BadManifest(_NOT_UTF8, line)
        # The delimiter is the one that shows the most columns we know; a comma where all show the same.
        readings = {delimiter: _split(header, delimiter) for delimiter in ",;\t"}
        self.delimiter = max(readings, key=lambda delimiter: _known(readings[delimiter]))
        cells = readings[self.delimiter]
        # Who writes "source, tags" puts the blank into the rows as well.
        self.blanks = len(cells) > 1 and all(cell.startswith(" ") for cell in cells[1:])
        if self.blanks:
            cells = _split(header, self.delimiter, blanks=True)
        self.names = [cell.strip().lower() for cell in cells]
        while self.names and not self.names[-1]:
            self.names.pop()
        self._check()

    def _check(self) -> None:
        line = self.header_line
        if "source" not in self.names:
            raise BadManifest(f"this line must name the columns: `source` and any of {', '.join(COLUMNS[1:])}.", line)
        if "" in self.names:
            raise BadManifest(f"column {self.names.index('') + 1} has no name.", line)
        if unknown := [name for name in self.names if name not in COLUMNS]:
            raise BadManifest(unknown_columns(unknown), line)
        if twice := [name for name in COLUMNS if self.names.count(name) > 1]:
            raise BadManifest(f"the column {twice[0]} is named twice.", line)

    def rows(self, lines: Iterable[str]) -> Iterator[Row]:
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=self.blanks)
        while True:
            begins = self.header_line + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                wrong, ends = _why(error)
                yield Row(begins, None, wrong=wrong)
                if ends:
                    return
                continue
            if any(map(str.strip, cells)):  # a row of empty cells is what spreadsheets make of an empty line
                yield self._row(begins, cells)

    def _row(self, line: int, cells: list[str]) -> Row:
        if not is_utf8("".join(cells)):
            return Row(line, None, wrong=_NOT_UTF8)
        columns = len(self.names)
        while len(cells) > columns and not cells[-1]:
            cells.pop()
        if len(cells) > columns:
            return Row(
                line,
                None,
                wrong=f"it has {len(cells)} fields, but the header names {columns}; "
                f"a field that holds a {_DELIMITERS[self.delimiter]} must stand in quotes.",
            )
        given: dict[str, object] = {
            name: cell for name, cell in zip(self.names, cells, strict=False) if cell and not cell.isspace()
        }
        source = given.pop("source", None)
        if source is None:
            return _row(line, None, given, "its source is empty.")
        return _row(line, str(source), given)


_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


def _split(header: str, delimiter: str, blanks: bool = False) -> list[str]:
    try:
        return next(csv.reader([header], delimiter=delimiter, strict=True, skipinitialspace=blanks), [])
    except csv.Error:
        return []


def _known(cells: list[str]) -> int:
    return len({cell.strip().lower() for cell in cells}.intersection(COLUMNS))


def _why(error: csv.Error) -> tuple[str, bool]:
    """A sentence, and whether nothing behind can be read."""
    words = str(error)
    if "end of data" in words:
        return "a quote that is opened in this row is never closed; nothing from this row on can be read.", True
    if "field limit" in words:
        return (
            f"a field has more than {csv.field_size_limit():,} characters (is a closing quote missing?); nothing from "
            "this row on can be read.",
            True,
        )
    if "expected after" in words:
        return 'text follows a closing quote; a quote inside a quoted field is written twice ("").', False
    return f"it cannot be read: {words}.", False


_READERS = {"text": _text_rows, "csv": _csv_rows, "jsonl": _jsonl_rows}
