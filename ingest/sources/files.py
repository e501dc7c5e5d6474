"""Files and folders: which names look like a video, and a walk that streams."""

# A walk of a million names: pathlib takes several times as long.
# ruff: noqa: PTH114, PTH116, PTH118, PTH122

import os
import stat
from collections.abc import Iterator
from pathlib import PurePath

from ingest.sources.found import NO_OPTIONS, Found, Kind, Options
from ingest.sources.roots import LEADS_OUT, Roots

VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "ts", "m2ts", "mts"),
        *("wmv", "flv", "3gp", "ogv", "vob"),
    )
)

#: What the seed names for upload_img.
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

A_PICTURE = "A picture in a folder; with --images those are taken too."
NOT_A_VIDEO = "Not a video by its name: it has none of the usual endings (.mp4, .mov, .mkv, .webm, ...)."
NOT_UTF8 = "Its name is not valid UTF-8 and cannot be stored; rename it, then add it again."
DEAD_LINK = "It is a symbolic link that leads nowhere."


def is_video_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_picture_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def walk(
    folder: str | PurePath, origin: str | None = None, options: Options = NO_OPTIONS, roots: Roots | None = None
) -> Iterator[Found]:
    """Every regular file below ``folder``, in path order, streamed. Each gets the same ``options``.

    Names with a leading dot are left out. Links are followed; a folder that was already entered (a loop, a
    second link) is not entered again. Raises OSError for ``folder`` itself alone: a folder further down that
    cannot be opened is yielded as an item to skip, so that nothing is left out in silence. So is a link that leads out of ``roots``.
    """
    top = os.fspath(folder)
    entered = {_identity(top)}
    # A stack, not recursion: a path may hold 2,000 folders, more than Python's recursion limit.
    stack = [(top, iter(_names(top)))]
    while stack:
        parent, names = stack[-1]
        name = next(names, None)
        if name is None:
            stack.pop()
            continue
        path = os.path.join(parent, name)
        # What is no link lies where its folder does.
        if roots is not None and os.path.islink(path.rstrip("/")) and not roots.hold(path):
            yield led_out(path.rstrip("/"), origin, options)
            continue
        if not name.endswith("/"):
            yield from _leaf(path, origin, options)
            continue
        path = path[:-1]
        try:
            identity = _identity(path)
            if identity not in entered:
                entered.add(identity)
                stack.append((path, iter(_names(path))))
        except OSError as error:
            yield _unopened(path, error, origin, options)


def _names(folder: str) -> list[str]:
    """Sorted; folders end in ``/`` and so sort as the paths below them do. Names alone: small in memory."""
    with os.scandir(folder) as entries:
        names = [
            entry.name + "/" if _is_folder(entry) else entry.name for entry in entries if not entry.name.startswith(".")
        ]
    names.sort()
    return names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that loops, or leads into a closed folder: told when it is met as a file
        return False


def _leaf(path: str, origin: str | None, options: Options) -> Iterator[Found]:
    status = status_of(path)
    if status is None and os.path.islink(path):
        yield _skipped(path, DEAD_LINK, origin, options)
    elif status is None or stat.S_ISREG(status.st_mode):
        yield found_as(path, status, origin, options)
    # What remains is a socket, pipe or device: no file that anybody meant.


def led_out(path: str, origin: str | None, options: Options) -> Found:
    return _skipped(path, LEADS_OUT, origin, options)


def found_as(
    path: str, status: os.stat_result | None, origin: str | None, options: Options, *, named: bool = False
) -> Found:
    """The item of one file whose ``status_of`` is known; ``named``: by the user, not met in a folder."""
    if not is_utf8(path):
        return _skipped(path, NOT_UTF8, origin, options)
    if is_picture_name(path):
        return Found(
            Kind.IMAGE,
            path,
            size=None if status is None else status.st_size,
            mtime_ns=None if status is None else status.st_mtime_ns,
            skip=None if named or options.images else A_PICTURE,
            origin=origin,
            options=options,
        )
    return Found(
        Kind.FILE,
        path,
        size=None if status is None else status.st_size,
        mtime_ns=None if status is None else status.st_mtime_ns,
        skip=None if is_video_name(path) else NOT_A_VIDEO,
        origin=origin,
        options=options,
    )


def _unopened(path: str, error: OSError, origin: str | None, options: Options) -> Found:
    why = f"This folder could not be opened ({error.strerror}): nothing below it was taken."
    return _skipped(path, why, origin, options)


def _skipped(path: str, why: str, origin: str | None, options: Options) -> Found:
    return Found(Kind.FILE, printable(path), skip=why, origin=origin, options=options)


def printable(path: str) -> str:
    """The text with what is no UTF-8 spelled ``\\xff``: it can be stored and shown, not opened."""
    if is_utf8(path):
        return path
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, as JSON may hold: it stands for no byte
        return path.encode("utf-8", "backslashreplace").decode()


def quoted(source: str) -> str:
    """As it stands in sentences."""
    return f"'{printable(source)}'"


def visible(text: str) -> str:
    """A text from outside, on one line: what would move the cursor or change colours is shown, not done."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def status_of(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino
