"""Captions of videos and images (contract B.7): what was asked, what is told, and how it reaches the caller.

What is told follows from what was asked and from nothing else, so that each result can be recognised.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox import callbacks, ids
from sandbox.agenda import Agenda
from sandbox.callbacks import Letter, Outbox
from sandbox.faults import Faults
from sandbox.library import FAILED, RUNNING, SUCCEEDED
from sandbox.options import Options, Span

VIDEO, IMAGE = "video", "image"


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    url: str | None
    sha256: str | None  # of the picture that was sent instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One caption as asked for. `cause` tells why it will fail, None when it will not."""

    kind: str
    sync: bool  # the result goes into the answer
    source: str  # url or file name
    sha256: str | None  # of the file that was sent
    prompt: str
    system_prompt: str
    thinking: bool
    persons: tuple[Person, ...]
    callback: str | None
    cause: str | None

    @property
    def text(self) -> str:
        what = self.source if self.sha256 is None else f"sha256 {self.sha256}"
        seen = f" Seen: {', '.join(person.name for person in self.persons)}." if self.persons else ""
        return f"The {self.kind} {what}, asked '{self.prompt}'.{seen}"

    @property
    def token(self) -> dict[str, int]:
        spent = 500 + len((self.prompt + self.system_prompt).encode()) + 100 * len(self.persons)
        told = len(self.text.split())
        return {"input": spent, "output": told, "total": spent + told}


@dataclass(slots=True, eq=False)
class Caption:
    task_id: str
    created_ms: int
    key: str
    order: Order
    status: str = RUNNING

    @property
    def result(self) -> dict[str, Any]:
        """contract B.7 D3, D4"""
        return {"text": self.order.text, "token": self.order.token}


class Captions:
    """Each caption that was accepted, hence paid for, whatever becomes of it and of its answer."""

    def __init__(
        self, options: Options, faults: Faults, agenda: Agenda, outbox: Outbox, draw: Callable[[Span], float]
    ) -> None:
        self._options = options
        self._faults = faults
        self._agenda = agenda
        self._outbox = outbox
        self._draw = draw
        self._lock = threading.Lock()
        self._captions: dict[Caption, None] = {}  # oldest first

    def forget(self) -> None:
        with self._lock:
            self._captions.clear()

    def promise(self, order: Order, key: str) -> Caption:
        """The result is called back, perhaps before this returns (contract B.7 D1, D2)."""
        caption = self._accept(order, key)
        if self._faults.befalls("callback_early"):
            self._outbox.send_now(self._end(caption))
        else:
            self._agenda.after(self._draw(self._options.caption), lambda: self._call_back(caption))
        return caption

    def wait(self, order: Order, key: str) -> Caption:
        """Returns when the caption has ended (contract B.7 D3 to D6)."""
        caption = self._accept(order, key)
        time.sleep(self._draw(self._options.caption))
        caption.status = FAILED if order.cause else SUCCEEDED
        return caption

    def report(self, brief: bool) -> dict[str, Any]:
        with self._lock:
            captions = list(self._captions)
        report: dict[str, Any] = {
            "paid": len(captions),
            "caption_counts": dict(Counter(caption.status for caption in captions)),
            "captions_twice": _twice(captions),
        }
        return report if brief else {**report, "captions": [_report_caption(caption) for caption in captions]}

    def _accept(self, order: Order, key: str) -> Caption:
        caption = Caption(ids.new_caption_id(), time.time_ns() // 1_000_000, key, order)
        with self._lock:
            self._captions[caption] = None
        return caption

    def _call_back(self, caption: Caption) -> None:
        with self._lock:
            if caption not in self._captions:  # a reset has come between
                return
        self._outbox.post(self._end(caption))

    def _end(self, caption: Caption) -> Letter:
        """K4, K4b or K5 of a caption that ends now."""
        order, url = caption.order, caption.order.callback or ""
        if order.cause:
            caption.status = FAILED
            return Letter("K5", url, callbacks.k5(caption.task_id))
        caption.status = SUCCEEDED
        if self._options.k4_response or self._faults.befalls("callback_response"):
            return Letter("K4b", url, callbacks.k4(caption.task_id, order.text, order.token, "response"))
        return Letter("K4", url, callbacks.k4(caption.task_id, order.text, order.token))


def _twice(captions: list[Caption]) -> list[dict[str, Any]]:
    """What one key asked more than once: the same source, the same question, the same persons."""
    seen: dict[tuple[Any, ...], list[Caption]] = {}
    for caption in captions:
        order = caption.order
        source = order.sha256 or order.source
        question = (order.kind, source, order.prompt, order.system_prompt, order.thinking, order.persons)
        seen.setdefault((caption.key, *question), []).append(caption)
    return [
        {
            "key": same[0].key[-4:],
            "source": same[0].order.sha256 or same[0].order.source,
            "prompt": same[0].order.prompt,
            "task_ids": [caption.task_id for caption in same],
        }
        for same in seen.values()
        if len(same) > 1
    ]


def _report_caption(caption: Caption) -> dict[str, Any]:
    order = caption.order
    ended_well = caption.status == SUCCEEDED
    return {
        "task_id": caption.task_id,
        "kind": order.kind,
        "sync": order.sync,
        "source": order.source,
        "sha256": order.sha256,
        "prompt": order.prompt,
        "system_prompt": order.system_prompt,
        "thinking": order.thinking,
        "persons": [{"name": who.name, "url": who.url, "sha256": who.sha256} for who in order.persons],
        "callback": order.callback is not None,
        "status": caption.status,
        "cause": order.cause if caption.status == FAILED else None,
        "text": order.text if ended_well else None,
        "token": order.token if ended_well else None,
        "key": caption.key[-4:],
        "created_ms": caption.created_ms,
    }
