"""What is asked about videos and pictures: the question and every source are checked before a row is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest import content, cutting, pictures
from ingest.captions import IMAGE, VIDEO, Asked, is_link
from ingest.settings import ConfigurationError, Settings
from ingest.sources import links
from ingest.sources.files import is_picture_name, quoted
from ingest.sources.found import Found, Kind, SourceError
from ingest.sources.roots import Roots
from ingest.upstream.client import MOST_PERSONS


@dataclass(frozen=True, slots=True)
class Question:
    """One question about all sources, as it was put."""

    prompt: str
    system_prompt: str
    persons: Sequence[str]
    thinking: bool
    sync: bool
    split: bool


def read_question(settings: Settings, question: Question, roots: Roots | None = None) -> Asked:
    """ConfigurationError is a sentence. With ``roots``, pictures of persons are links, or files in them."""
    if not question.prompt.strip():
        raise ConfigurationError("--prompt is empty; say what you want to know about each video")
    if not question.system_prompt.strip():
        raise ConfigurationError("--system-prompt is empty, which Memories.ai refuses; leave it out for the usual one")
    if not settings.public_url and not question.sync:
        raise ConfigurationError(
            "The result of a caption exists only in its callback, and INGEST_PUBLIC_URL is not set; set it to the address "
            "under which Memories.ai reaches the receiver, or use --sync"
        )
    if len(question.persons) > MOST_PERSONS:
        raise ConfigurationError(
            f"{len(question.persons)} persons; Memories.ai takes at most {MOST_PERSONS} in one call"
        )
    persons = tuple(_person(text, roots) for text in question.persons)
    return Asked(question.prompt, question.system_prompt, persons, question.thinking, question.sync)


def _person(text: str, roots: Roots | None) -> tuple[str, str]:
    name, equals, source = (part.strip() for part in text.partition("="))
    if not (name and equals and source):
        raise ConfigurationError(f"--person '{text}': write NAME=PICTURE, for example --person Ann=ann.jpg")
    if is_link(source):
        if problem := links.problem_of(source):
            raise ConfigurationError(f"--person {name}: {problem}")
        return name, source
    path = Path(source).absolute()
    if roots is not None and not (Path(source).is_absolute() and roots.hold(str(path))):
        raise ConfigurationError(f"--person {name}: {roots.refusal(quoted(source))}")
    try:
        pictures.check_picture(path)
    except (content.Unfit, OSError) as error:
        raise ConfigurationError(f"--person {name}: {error}") from None
    return name, str(path)


def to_caption(found: Iterator[Found], asked: Asked, settings: Settings, *, split: bool) -> Iterator[Found]:
    """Captions of what was found. Posts have no file to caption; what is no video or picture by its name stays skipped."""
    for one in found:
        if one.kind is Kind.POST:
            raise SourceError([f"'{one.source}' is a post; a caption needs a file or a direct link to one."])
        if one.kind is Kind.LINK and any(not is_link(source) for _, source in asked.persons):
            raise SourceError(
                [
                    f"'{one.source}' is a link, and Memories.ai takes pictures of persons with it as links only; give both alike."
                ]
            )
        media = IMAGE if one.kind is Kind.IMAGE or is_picture_name(one.source.partition("?")[0]) else VIDEO
        if media == IMAGE and asked.persons:
            raise SourceError([f"'{one.source}' is a picture; persons are looked for in videos alone."])
        wish = replace(asked, media=media, now=asked.now or media == IMAGE)
        key = _key(one, wish)
        caption = replace(one, kind=Kind.CAPTION, wish=wish.row() | {"key": key}, lane=wish.lane, key=key)
        yield _split(caption, settings) if split and media == VIDEO and one.kind is Kind.FILE else caption


def _key(one: Found, asked: Asked) -> str | None:
    if one.skip:
        return None
    if one.kind is Kind.LINK:
        return f"caption:{one.key}:{asked.digest()}"
    try:
        return f"caption:file:{content.hash_file(Path(one.source))}:{asked.digest()}"
    except OSError:
        return None  # its turn says what is wrong with it


def _split(caption: Found, settings: Settings) -> Found:
    """A video that is too long as the whole of its parts; one that cannot be cut fails at its turn, with the reason."""
    if caption.skip:
        return caption
    try:
        bounds = settings.caption_bounds
        spans = cutting.plan_parts(Path(caption.source), bounds.longest, bounds.largest, bounds.shortest)
    except (content.Unfit, OSError):
        return replace(caption, wish={**(caption.wish or {}), "split": True})
    if len(spans) < 2:
        return caption
    wish = {**(caption.wish or {}), "key": None}
    parts = tuple(replace(caption, key=None, wish=wish, span=(span.start, span.end)) for span in spans)
    # Another question than about the whole, which is too long to be asked about.
    key = f"{caption.key}:parts" if caption.key else None
    return replace(caption, parts=parts, key=key, wish=wish | {"key": key, "parts": len(parts)})
