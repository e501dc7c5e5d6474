"""What is asked about a video or a picture, as rows keep it; and how the captions of parts become one. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ingest import cutting
from ingest.cutting import Span
from ingest.lanes import Lane
from ingest.upstream.fields import Caption

VIDEO, IMAGE = "video", "image"
#: Who answers, where nobody is named: Memories.ai refuses a call without.
SYSTEM_PROMPT = "Answer from what can be seen and heard in the video, and from nothing else."


def is_link(source: str) -> bool:
    return source.startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Asked:
    """``persons``: (name, path or link of a picture). ``now``: the result comes in the answer instead of a callback."""

    prompt: str
    system_prompt: str = ""
    persons: tuple[tuple[str, str], ...] = ()
    thinking: bool = False
    now: bool = False
    media: str = VIDEO

    def row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Asked":
        persons = tuple((name, source) for name, source in row.get("persons") or ())
        return cls(
            prompt=row["prompt"],
            system_prompt=row.get("system_prompt") or "",
            persons=persons,
            thinking=bool(row.get("thinking")),
            now=bool(row.get("now")),
            media=row.get("media") or VIDEO,
        )

    @property
    def lane(self) -> Lane:
        """In whose line it waits; what else it counts against is ``lanes.ALSO``."""
        if self.persons:
            return Lane.HUMAN_REID
        return Lane.CAPTION_IMAGE if self.media == IMAGE else Lane.CAPTION_VIDEO

    def digest(self) -> str:
        """The same question about the same video is not paid twice; how its answer comes is no part of the question."""
        question = [self.prompt, self.system_prompt, sorted(self.persons), self.thinking]
        return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]


def result_of(caption: Caption) -> dict[str, Any]:
    """As rows keep it: ``{"text": ..., "tokens": {"input", "output", "total"}}``."""
    return {"text": caption.text, "tokens": asdict(caption.tokens)}


def join(parts: Sequence[tuple[Sequence[float], Mapping[str, Any]]]) -> dict[str, Any]:
    """The result of a whole from those of its parts, (seconds from and to, result): texts by time, tokens added up."""
    texts = [(Span(span[0], span[1]), result.get("text") or "") for span, result in parts]
    tokens: dict[str, int] = {}
    for _, result in parts:
        for name, number in (result.get("tokens") or {}).items():
            tokens[name] = tokens.get(name, 0) + (number or 0)
    return {"text": cutting.join(texts), "tokens": tokens, "parts": len(parts)}
