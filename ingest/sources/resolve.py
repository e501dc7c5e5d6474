"""From what a user typed to the items it names: ``resolve(["beach.mp4", "holiday/", "https://youtu.be/..."])``.

Checked first, yielded then: a source that cannot be taken stops the call before its first item. Manifests are read once
for each of the two, so that a million rows are never held.
"""

# Path.resolve() would replace links by what they lead to, and a path is to be shown as it was named.
# ruff: noqa: PTH100, PTH114, PTH118, PTH120, PTH122

import os
import re
import stat
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TextIO, get_args

from ingest.sources import files, links, manifests, posts
from ingest.sources.files import quoted
from ingest.sources.found import NO_OPTIONS, Found, Kind, Options, SourceError
from ingest.sources.manifests import Format
from ingest.sources.roots import LEADS_OUT, Roots

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BARE_HOST = re.compile(r"(?:[\w-]+\.)+[A-Za-z]{2,}/")
_STDIN = "standard input"
#: Sentences that are kept; the others are counted.
MOST_PROBLEMS = 100
#: Characters. A row with a forgotten quote may hold half a manifest.
_LONGEST_SENTENCE = 2_000
#: What the vendor takes with files and links alone.
_METADATA = ("tags", "datetime_taken", "camera_model", "latitude", "longitude")


@dataclass(slots=True)
class Plan:
    """Sources that were looked at: what is wrong with them, and the items of those that are right."""

    #: Sources and rows that cannot be taken, each counted once.
    invalid: int = 0
    _sentences: list[str] = field(default_factory=list)
    _steps: list["Found | _Folder | _Manifest"] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether anything can be taken."""
        return bool(self._steps)

    @property
    def problems(self) -> list[str]:
        """One entry for each invalid source or row, after ``MOST_PROBLEMS`` how many more; empty when all can be taken."""
        more = self.invalid - len(self._sentences)
        return [*self._sentences, f"... and {more:,} more that cannot be taken."] if more else list(self._sentences)

    def found(self) -> Iterator[Found]:
        """The items of the good sources in the order they were named. Folders and manifests are read here, streaming.

        SourceError when one of them can no longer be read, or is another one than the one that was checked.
        """
        for step in self._steps:
            if isinstance(step, Found):
                yield step
            else:
                yield from step.walk()

    def refuse(self, problem: str) -> None:
        self.invalid += 1
        if len(self._sentences) < MOST_PROBLEMS:
            if len(problem) > _LONGEST_SENTENCE:
                half = _LONGEST_SENTENCE // 2
                problem = f"{problem[:half]} ... {problem[-half:]}"
            # A path in quotes may hold ends of lines; a problem is one line.
            self._sentences.append(problem.replace("\r", "\\r").replace("\n", "\\n"))


def resolve(
    sources: Sequence[str],
    *,
    cwd: Path | None = None,
    stdin: TextIO | None = None,
    format: Format = "text",
    options: Options = NO_OPTIONS,
) -> Iterator[Found]:
    """The items that ``sources`` name. Raises ``SourceError`` with every problem, before any item.

    A source is a file, a folder (walked), an http(s) link or post, a manifest (``.txt``, ``.list``, ``.csv``, ``.jsonl``,
    ``.ndjson``), or ``-`` for a manifest of that ``format`` on ``stdin``. Relative paths start at ``cwd``; in a manifest,
    at its folder. ``options`` hold for all items where the row of a manifest says nothing else; what an item's kind
    has no use for is left out of its ``Found.options``, and refused only where a row asks for it.
    """
    plan = examine(sources, cwd=cwd, stdin=stdin, format=format, options=options)
    if plan.problems:
        raise SourceError(plan.problems)
    return plan.found()


def examine(
    sources: Sequence[str],
    *,
    cwd: Path | None = None,
    stdin: TextIO | None = None,
    format: Format = "text",
    options: Options = NO_OPTIONS,
    roots: Roots | None = None,
) -> Plan:
    """As ``resolve``, but keeps the good sources beside the problems (``--skip-invalid``).

    With ``roots``, whole paths in them are the only ones: others, manifests and links that lead out included, are a problem
    before anything of them is read, and there is no standard input. Links and posts are free.
    """
    if format not in get_args(Format):
        raise ValueError(f"unknown format of a manifest: {format}")
    plan = Plan()
    base = os.path.abspath(cwd or ".") if roots is None else None
    examiner = _Examiner(plan, base, stdin or sys.stdin, format, options, roots)
    for source in sources:
        examiner.add(source)
    return plan


class _Wrong(Exception):
    """A sentence about one source."""


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    origin: str | None
    options: Options
    roots: Roots | None

    def walk(self) -> Iterator[Found]:
        try:
            yield from files.walk(self.path, self.origin, self.options, self.roots)
        except OSError as error:  # it was there when it was examined
            raise SourceError([f"'{self.path}' can no longer be read: {error.strerror}."]) from error


@dataclass(slots=True)
class _Manifest:
    """A manifest on its two ways: ``check`` finds what is wrong, ``walk`` yields the items of the other rows."""

    file: manifests.OnDisk | manifests.Spooled
    #: As it stands in sentences and origins.
    name: str
    format: Format
    #: Where relative paths start.
    base: str
    options: Options
    roots: Roots | None
    #: Lines of the rows that are left out, in order. Eight bytes each.
    _bad: "array[int]" = field(default_factory=lambda: array("Q"))

    def check(self, plan: Plan) -> None:
        """Hands every faulty row to ``plan``; raises ``_Wrong`` for what is wrong as a whole."""
        try:
            with self.file.reading() as stream:
                for row in manifests.rows(stream, self.format):
                    wrong = self._fault(row)
                    if wrong:
                        self._bad.append(row.line)
                        plan.refuse(f"{self._origin(row)}: {wrong}")
        except manifests.BadManifest as bad:
            raise _Wrong(bad.told(self.name)) from bad
        except manifests.Changed:
            raise _Wrong(f"'{self.name}' was changed while it was read; try again when it is complete.") from None
        except OSError as error:
            raise _Wrong(f"'{self.name}' cannot be read: {error.strerror}.") from error

    def walk(self) -> Iterator[Found]:
        bad = iter(self._bad)
        next_bad = next(bad, None)
        try:
            with self.file.reading() as stream:
                for row in manifests.rows(stream, self.format):
                    if row.line == next_bad:
                        next_bad = next(bad, None)
                    elif row.source is None or row.wrong:
                        raise manifests.Changed
                    else:
                        yield from self._again(row, row.source)
        except (manifests.Changed, manifests.BadManifest):
            problem = f"'{self.name}' was changed after it was checked: what follows in it was not taken."
            raise SourceError([problem]) from None
        except OSError as error:
            raise SourceError([f"'{self.name}' can no longer be read: {error.strerror}."]) from error

    def _origin(self, row: manifests.Row) -> str:
        return f"{self.name} line {row.line}"

    def _fault(self, row: manifests.Row) -> str | None:
        wrong = row.wrong
        if row.source is not None:
            try:
                step = _step(row.source, self.base, row.options, self.options, self.roots)
                if isinstance(step, _List):
                    raise _Wrong(f"{quoted(row.source)} is another manifest; name it on the command line instead.")
            except _Wrong as fault:
                return f"{fault} {wrong}" if wrong else str(fault)
        return wrong

    def _again(self, row: manifests.Row, source: str) -> Iterator[Found]:
        """The items of a row that was checked. What vanished since is an item too: preflight tells what is wrong."""
        origin = self._origin(row)
        if _SCHEME.match(source.lstrip()):
            yield _link(source, origin, row.options, self.options, again=True)
            return
        path = os.path.abspath(os.path.join(self.base, source))
        options = _fitting(Kind.FILE, None, self.options.merged(row.options))
        if self.roots is not None and not self.roots.hold(path):
            yield files.led_out(path, origin, options)
            return
        status = files.status_of(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            yield from _Folder(path, origin, options, self.roots).walk()
            return
        found = files.found_as(path, status, origin, options, named=True)
        # A path without the ending of a video that is gone now was maybe a folder, and is not to be skipped in silence.
        yield replace(found, skip=None) if status is None and found.skip == files.NOT_A_VIDEO else found


@dataclass(slots=True)
class _Examiner:
    """Takes what stands on the command line, source by source."""

    plan: Plan
    #: Where relative paths start; None where there are none.
    base: str | None
    stdin: TextIO
    format: Format
    options: Options
    roots: Roots | None
    _stdin_read: bool = False

    def add(self, source: str) -> None:
        try:
            self._add(source)
        except _Wrong as wrong:
            self.plan.refuse(str(wrong))

    def _add(self, source: str) -> None:
        if source == "-":
            manifest = self._manifest_on_stdin()
        else:
            step = _step(source, self.base, NO_OPTIONS, self.options, self.roots)
            if not isinstance(step, _List):
                self.plan._steps.append(step)
                return
            name = files.printable(source)
            base = os.path.dirname(step.path)
            manifest = _Manifest(manifests.OnDisk(step.path), name, step.format, base, self.options, self.roots)
        manifest.check(self.plan)
        self.plan._steps.append(manifest)

    def _manifest_on_stdin(self) -> _Manifest:
        if self.base is None:
            raise _Wrong(
                "'-' (standard input) cannot be read here; give a whole path, or a link that begins with https://."
            )
        if self._stdin_read:
            raise _Wrong("'-' (standard input) was named twice; it can be read once.")
        self._stdin_read = True
        try:
            spooled = manifests.Spooled(self.stdin)
        except OSError as error:
            raise _Wrong(f"'-' (standard input) cannot be read: {error.strerror}.") from error
        return _Manifest(spooled, _STDIN, self.format, self.base, self.options, self.roots)


@dataclass(frozen=True, slots=True)
class _List:
    """A manifest, by its name."""

    path: str
    format: Format


def _step(
    source: str, base: str | None, given: Options, default: Options, roots: Roots | None
) -> Found | _Folder | _List:
    """What one source is; ``given`` are the options of its own row. Raises ``_Wrong``."""
    scheme = _SCHEME.match(source.lstrip())
    if not source.strip():
        raise _Wrong("An empty source was given.")
    if source == "-":
        raise _Wrong("'-' (standard input) cannot be named inside a manifest.")
    if scheme is None:
        return _path(source, base, default.merged(given), roots)
    if scheme[1].lower() in ("http", "https"):
        return _link(source, None, given, default)
    raise _Wrong(_unknown_scheme(source, scheme[1].lower()))


def _path(source: str, base: str | None, options: Options, roots: Roots | None) -> Found | _Folder | _List:
    if base is None and not Path(source).is_absolute():
        raise _Wrong(f"{quoted(source)} is no whole path; begin it with /, or a link with https://.")
    path = os.path.abspath(os.path.join(base or "/", source))
    if roots is not None and not roots.hold(path):
        raise _Wrong(roots.refusal(quoted(source)))
    status = _status(path, source)
    if stat.S_ISDIR(status.st_mode):
        _check_folder(path, source, roots)
        _check_library(options, source, "a folder")
        return _Folder(path, None, _fitting(Kind.FILE, None, options), roots)
    if not stat.S_ISREG(status.st_mode):
        raise _Wrong(f"{quoted(source)} is neither a file nor a folder.")
    if format := manifests.FORMATS.get(os.path.splitext(path)[1].lower()):
        return _List(path, format)
    _check_library(options, source, "a file")
    return files.found_as(path, status, None, _fitting(Kind.FILE, None, options), named=True)


def _check_library(options: Options, source: str, what: str) -> None:
    if options.library == "public":
        raise _Wrong(f"Only posts can go to the public library; {quoted(source)} is {what}.")


def _fitting(kind: Kind, platform: str | None, options: Options) -> Options:
    """The options that an item can use; the others are dropped in silence."""
    if options.quality is not None and platform != posts.YOUTUBE:
        options = replace(options, quality=None)
    if kind is Kind.POST and any(_given(options)):
        options = replace(options, tags=(), datetime_taken=None, camera_model=None, latitude=None, longitude=None)
    return options


def _given(options: Options) -> Iterator[str]:
    return (name for name in _METADATA if getattr(options, name) not in (None, ()))


def _status(path: str, source: str) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        raise _Wrong(_missing(path, source)) from None
    except OSError as error:
        raise _Wrong(f"{quoted(source)} cannot be opened: {error.strerror}.") from error
    except ValueError as error:  # a NUL byte
        raise _Wrong(f"{quoted(source)} is no path: {error}.") from error


def _missing(path: str, source: str) -> str:
    if os.path.islink(path):
        return f"{quoted(source)} is a symbolic link that leads nowhere."
    hint = "; if it is a link, write https:// in front of it" if _BARE_HOST.match(source) else ""
    return f"{quoted(source)} does not exist{hint}."


def _check_folder(path: str, source: str, roots: Roots | None) -> None:
    found = files.walk(path, roots=roots)
    try:
        first = next(found, None)
        if roots is not None:
            leads_out = next((one for one in chain([first], found) if one and one.skip == LEADS_OUT), None)
            if leads_out is not None:
                raise _Wrong(f"{quoted(source)} holds {quoted(leads_out.source)}: {LEADS_OUT}")
    except OSError as error:
        raise _Wrong(f"The folder {quoted(source)} cannot be read: {error.strerror}.") from error
    if first is None:
        raise _Wrong(f"The folder {quoted(source)} holds no files (hidden ones are not counted).")


def _link(url: str, origin: str | None, given: Options, default: Options, *, again: bool = False) -> Found:
    problem = None if again else links.problem_of(url)
    if problem is not None:
        raise _Wrong(problem)
    options = default.merged(given)
    match posts.recognise(url, elsewhere=not again):
        case None:
            _check_library(options, url, "a link")
            options = _fitting(Kind.LINK, None, options)
            return Found(Kind.LINK, url, key=f"link:{links.normalise(url)}", origin=origin, options=options)
        case posts.Post(platform, post_id) as post:
            if useless := list(_given(given)):
                raise _Wrong(
                    f"'{url}' is a post, and Memories.ai takes no {' or '.join(useless)} with one: leave "
                    f"{'it' if len(useless) == 1 else 'them'} out of this row."
                )
            options = _fitting(Kind.POST, platform, options)
            return Found(
                Kind.POST, url, key=post.key, platform=platform, post_id=post_id, origin=origin, options=options
            )
        case page:
            raise _Wrong(_no_post(url, page))


def _no_post(url: str, page: posts.Creator | posts.NeedsNetwork | posts.NoPost | posts.OtherPlatform) -> str:
    match page:
        case posts.Creator(platform, _, what):
            return (
                f"'{url}' is a {what} of {posts.NAMES[platform]}, not a post: give the addresses of its posts; "
                "or follow it: `ingest creators add URL --every 6h`"
            )
        case posts.NeedsNetwork(platform):
            return (
                f"'{url}' is a short or forwarding address of {posts.NAMES[platform]}, which cannot be resolved "
                "offline: open it and give the full address of the post it leads to."
            )
        case posts.NoPost(platform, what):
            return f"'{url}' is {what} of {posts.NAMES[platform]}, not a post: give the address of each post."
        case posts.OtherPlatform(name):
            return (
                f"'{url}' is a page of {name}: Memories.ai takes posts of TikTok, YouTube and Instagram "
                "only; give a direct link to the file instead."
            )


def _unknown_scheme(source: str, scheme: str) -> str:
    shown = quoted(links.without_credentials(source))
    if scheme == "s3":
        return f"{shown}: s3:// sources are not supported yet; give files, folders or https:// links."
    if scheme == "file":
        return f"{shown}: give the plain path instead of a file:// address."
    return f"{shown} has the unknown scheme {scheme}://; give a path, or a link that begins with https://."
