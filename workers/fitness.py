"""Look at what a turn has in its hands right before it is sent; what is unfit ends here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlmodel import Session

from ingest import captions, content, cutting, pictures, queries, store
from ingest.captions import Asked, is_link
from ingest.clock import now_ms
from ingest.home import make_private
from ingest.models import Item
from ingest.sources.found import Kind
from ingest.statuses import News
from ingest.store import Claimed
from workers.context import Context

T = TypeVar("T")


def fit(context: Context, claimed: Claimed) -> Claimed | None:
    """What of the claim may be sent; None when all of it ended here."""
    assert claimed.submission.id is not None
    kind = claimed.items[0].kind
    with context.renewer.holding(claimed.submission.id):
        if kind == Kind.FILE:
            return claimed if _fit_file(context, claimed) else None
        if kind == Kind.IMAGE:
            return _fit_pictures(context, claimed)
        if kind == Kind.CAPTION:
            return claimed if _or_end(context, claimed, lambda: _look_at_caption(context, claimed.items[0])) else None
    return claimed


# Files


def _fit_file(context: Context, claimed: Claimed) -> bool:
    item = claimed.items[0]
    assert item.id is not None

    def look() -> tuple[content.Fitness, str | None]:
        found = content.check_file(Path(item.source))
        return found, _hash_where_it_matters(context, item, found)

    seen = _or_end(context, claimed, look)
    if seen is None:
        return False
    fitness, sha256 = seen
    with context.database.write() as session:
        twin = store.learn_content(session, item.id, sha256, fitness.size, fitness.mtime_ns) if sha256 else None
        if fitness.warning:
            store.warn(session, item.id, fitness.warning)
        if twin is not None:  # in one transaction: a twin that frees its content must find its copy
            close_unsent(session, claimed, News.DUPLICATE, **store.copy_of(*twin))
    return twin is None


def _hash_where_it_matters(context: Context, item: Item, fitness: content.Fitness) -> str | None:
    """sha256 when another live item of the namespace has as many bytes; else the upload hashes on its way."""
    with context.database.read() as session:
        others = queries.same_size(session, item.unique_id, item.library, [fitness.size], but=item.id)
    if not others or item.again:
        return None
    for other in others:
        content.learn_of(context.database, other)
    if item.sha256 and (item.size, item.mtime_ns) == (fitness.size, fitness.mtime_ns):
        return item.sha256
    return content.hash_file(Path(item.source))


def _or_end(context: Context, claimed: Claimed, look: Callable[[], T]) -> T | None:
    """What ``look`` sees; None when it shows that the claim cannot be sent, which ended then, with the reason."""
    try:
        return look()
    except content.Unfit as error:
        code, said = error.code, str(error)
    except OSError as error:
        code, said = "unreadable", f"{error.filename or claimed.items[0].source} cannot be read: {error.strerror}"
    with context.database.write() as session:
        close_unsent(session, claimed, News.UNFIT, error_code=code, error=said)
    return None


def close_unsent(session: Session, claimed: Claimed, news: News, **values: object) -> None:
    submission_id = claimed.submission.id
    assert submission_id is not None
    if store.close_submission(session, submission_id, "released", ended_at=now_ms(), message=str(values["error"])):
        for item_id in claimed.fences:
            store.tell(session, item_id, news, submission_id=submission_id, values=values)


# Pictures


def _fit_pictures(context: Context, claimed: Claimed) -> Claimed | None:
    """One bad picture refuses the whole call, so each is looked at; they are small, so each is hashed."""
    left: Claimed | None = claimed
    for item in list(claimed.items):
        if item.id not in claimed.fences or left is None:
            continue
        assert item.id is not None
        path, news, values = Path(item.source), News.UNFIT, None
        try:
            pictures.check_picture(path)
            sha256, status = content.hash_file(path), path.stat()
        except content.Unfit as error:
            values = {"error_code": error.code, "error": str(error)}
        except OSError as error:
            values = {"error_code": "unreadable", "error": f"{path} cannot be read: {error.strerror}"}
        with context.database.write() as session:
            if values is None and not item.again:
                twin = store.learn_content(session, item.id, sha256, status.st_size, status.st_mtime_ns)
                if twin is not None:
                    news, values = News.DUPLICATE, store.copy_of(*twin)
            if values is not None:
                left = store.end_one(session, left, item, news, **values)
    return left


# Captions


def _look_at_caption(context: Context, item: Item) -> bool:
    """True, or Unfit, or an OSError."""
    asked, path, bounds = Asked.read(item.wish or {}), Path(item.source), context.settings.caption_bounds
    for _, source in asked.persons:
        if not is_link(source):
            pictures.check_picture(Path(source))
    if is_link(item.source):
        return True
    if asked.media == captions.IMAGE:
        pictures.check_picture(path)
    elif item.span is not None:
        status = path.stat()
        if (status.st_size, status.st_mtime_ns) != (item.size, item.mtime_ns):
            raise content.Unfit("changed", f"{path} is another file than when its parts were planned; add it again")
    else:
        if (item.wish or {}).get("split"):  # it was to be cut and could not: that is the reason, not its length
            cutting.plan_parts(path, bounds.longest, bounds.largest, bounds.shortest)
        content.check_length(path, bounds)
    return True


#: Containers that parts are written to; what stands in another one travels as Matroska, which holds everything.
_CUT = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})


@contextmanager
def part_of(context: Context, item: Item, short_id: str) -> Iterator[Path]:
    """The file to send for a caption: the source itself, or the part of it, cut into the spool and removed afterwards."""
    source = Path(item.source)
    if item.span is None:
        yield source
        return
    target = (
        make_private(context.settings.home / "spool")
        / f"{short_id}{source.suffix.lower() if source.suffix.lower() in _CUT else '.mkv'}"
    )
    start, end = item.span
    try:
        cutting.cut(source, cutting.Span(start, end), target)
        yield target
    finally:
        target.unlink(missing_ok=True)
