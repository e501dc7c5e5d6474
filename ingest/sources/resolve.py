"""From what a user typed to the items it names: ``resolve(["beach.mp4", "holiday/", "https://youtu.be/..."])``.

Checked first, yielded then: a source that cannot be taken stops the call before its first item.
"""

# Path.resolve() would replace links by what they lead to, and a path is to be shown as it was named.
# ruff: noqa: PTH100, PTH114, PTH116, PTH118, PTH120, PTH122

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from ingest.sources import files, links, manifests, posts
from ingest.sources.found import Found, Kind, SourceError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BARE_HOST = re.compile(r"(?:[\w-]+\.)+[A-Za-z]{2,}/")
_NAMES = {posts.TIKTOK: "TikTok", posts.YOUTUBE: "YouTube", posts.INSTAGRAM: "Instagram"}
_STDIN = "standard input"


@dataclass(slots=True)
class Plan:
    """Sources that were looked at: what is wrong with them, and the items of those that are right."""

    #: One sentence each; empty when all can be taken.
    problems: list[str] = field(default_factory=list)
    _steps: list["Found | _Folder"] = field(default_factory=list)

    def found(self) -> Iterator[Found]:
        """The items of the good sources in the order they were named. Folders are walked here, streaming."""
        for step in self._steps:
            if isinstance(step, Found):
                yield step
            else:
                yield from step.walk()


def resolve(sources: Sequence[str], *, cwd: Path | None = None, stdin: TextIO | None = None) -> Iterator[Found]:
    """The items that ``sources`` name. Raises ``SourceError`` with every problem, before any item.

    A source is a file, a folder (walked), an http(s) link or post, a text manifest (``.txt``, ``.list``), or
    ``-`` for a manifest on ``stdin``. Relative paths start at ``cwd``; in a manifest, at its folder.
    """
    plan = examine(sources, cwd=cwd, stdin=stdin)
    if plan.problems:
        raise SourceError(plan.problems)
    return plan.found()


def examine(sources: Sequence[str], *, cwd: Path | None = None, stdin: TextIO | None = None) -> Plan:
    """As ``resolve``, but keeps the good sources beside the problems (``--skip-invalid``)."""
    plan = Plan()
    examiner = _Examiner(plan, os.path.abspath(cwd or "."), stdin or sys.stdin)
    for source in sources:
        examiner.add(source)
    return plan


@dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    origin: str | None

    def walk(self) -> Iterator[Found]:
        try:
            yield from files.walk(self.path, self.origin)
        except OSError as error:  # it was there when it was examined
            raise SourceError([f"'{self.path}' can no longer be read: {error.strerror}."]) from error


class _Wrong(Exception):
    """A sentence about one source."""


@dataclass(slots=True)
class _Examiner:
    plan: Plan
    base: str
    stdin: TextIO
    origin: str | None = None
    _stdin_read: bool = False

    def add(self, source: str) -> None:
        try:
            self._add(source)
        except (_Wrong, manifests.BadManifest) as wrong:
            where = f"{self.origin}: " if self.origin else ""
            self.plan.problems.append(f"{where}{wrong}")

    def _add(self, source: str) -> None:
        scheme = _SCHEME.match(source.lstrip())
        if not source.strip():
            raise _Wrong("An empty source was given.")
        if source == "-":
            self._add_stdin()
        elif scheme is None:
            self._add_path(source)
        elif scheme[1].lower() in ("http", "https"):
            self.plan._steps.append(_link(source, self.origin))
        else:
            raise _Wrong(_unknown_scheme(source, scheme[1].lower()))

    def _add_path(self, source: str) -> None:
        path = os.path.abspath(os.path.join(self.base, source))
        mode = _mode(path, source)
        if stat.S_ISDIR(mode):
            _check_folder(path, source)
            self.plan._steps.append(_Folder(path, self.origin))
        elif not stat.S_ISREG(mode):
            raise _Wrong(f"{_quoted(source)} is neither a file nor a folder.")
        elif (suffix := os.path.splitext(path)[1].lower()) in manifests.TEXT_SUFFIXES:
            self._add_manifest(path, source)
        elif suffix in manifests.TABLE_SUFFIXES:
            raise _Wrong(
                f"{_quoted(source)}: manifests in {suffix[1:].upper()} are not supported yet; give a text "
                "manifest (.txt, one source a line)."
            )
        else:
            self.plan._steps.append(files.found_file(path, self.origin))

    def _add_manifest(self, path: str, name: str) -> None:
        if self.origin:
            raise _Wrong(f"{_quoted(name)} is another manifest; name it on the command line instead.")
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise _Wrong(f"{_quoted(name)} cannot be read: {error.strerror}.") from error
        self._add_lines(data, files.printable(name), os.path.dirname(path))

    def _add_stdin(self) -> None:
        if self.origin:
            raise _Wrong("'-' (standard input) cannot be named inside a manifest.")
        if self._stdin_read:
            raise _Wrong("'-' (standard input) was named twice; it can be read once.")
        self._stdin_read = True
        self._add_lines(manifests.read_all(self.stdin), _STDIN, self.base)

    def _add_lines(self, data: bytes, name: str, base: str) -> None:
        inner = _Examiner(self.plan, base, self.stdin)
        for number, source in manifests.lines(data, name):
            inner.origin = f"{name} line {number}"
            inner.add(source)
        if inner.origin is None:
            raise _Wrong(f"{_quoted(name)} names no source: every line is empty or a comment.")


def _mode(path: str, source: str) -> int:
    try:
        return os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise _Wrong(_missing(path, source)) from None
    except OSError as error:
        raise _Wrong(f"{_quoted(source)} cannot be opened: {error.strerror}.") from error
    except ValueError as error:  # a NUL byte
        raise _Wrong(f"{_quoted(source)} is no path: {error}.") from error


def _missing(path: str, source: str) -> str:
    if os.path.islink(path):
        return f"{_quoted(source)} is a symbolic link that leads nowhere."
    hint = "; if it is a link, write https:// in front of it" if _BARE_HOST.match(source) else ""
    return f"{_quoted(source)} does not exist{hint}."


def _check_folder(path: str, source: str) -> None:
    try:
        empty = next(files.walk(path), None) is None
    except OSError as error:
        raise _Wrong(f"The folder {_quoted(source)} cannot be read: {error.strerror}.") from error
    if empty:
        raise _Wrong(f"The folder {_quoted(source)} holds no files (hidden ones are not counted).")


def _link(url: str, origin: str | None) -> Found:
    problem = links.problem_of(url)
    if problem is not None:
        raise _Wrong(problem)
    match posts.recognise(url):
        case None:
            return Found(Kind.LINK, url, key=f"link:{links.normalise(url)}", origin=origin)
        case posts.Post() as post:
            return Found(Kind.POST, url, key=post.key, platform=post.platform, post_id=post.post_id, origin=origin)
        case page:
            raise _Wrong(_no_post(url, page))


def _no_post(url: str, page: posts.Creator | posts.NeedsNetwork | posts.NoPost | posts.OtherPlatform) -> str:
    match page:
        case posts.Creator(platform, _, what):
            return (
                f"'{url}' is a {what} of {_NAMES[platform]}, not a post: give the addresses of its posts, or "
                "follow profiles with `ingest creators add`."
            )
        case posts.NeedsNetwork(platform):
            return (
                f"'{url}' is a short or forwarding address of {_NAMES[platform]}, which cannot be resolved "
                "offline: open it and give the full address of the post it leads to."
            )
        case posts.NoPost(platform, what):
            return f"'{url}' is {what} of {_NAMES[platform]}, not a post: give the address of each post."
        case posts.OtherPlatform(name):
            return (
                f"'{url}' is a page of {name}: Memories.ai takes posts of TikTok, YouTube and Instagram "
                "only; give a direct link to the file instead."
            )


def _unknown_scheme(source: str, scheme: str) -> str:
    shown = _quoted(links.without_credentials(source))
    if scheme == "s3":
        return f"{shown}: s3:// sources are not supported yet; give files, folders or https:// links."
    if scheme == "file":
        return f"{shown}: give the plain path instead of a file:// address."
    return f"{shown} has the unknown scheme {scheme}://; give a path, or a link that begins with https://."


def _quoted(source: str) -> str:
    return f"'{files.printable(source)}'"
