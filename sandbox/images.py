"""Pictures of the library (contract B.2 U9, B.3 L9)."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sandbox import ids

#: The word of the one known sample; no source tells of another, or of a time until it holds (contract B.3 L9).
READY = "PARSE"


class Picture(NamedTuple):
    """What was sent."""

    name: str  # the file's stem, as listed
    file_name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    image_no: str
    created_ms: int
    unique_id: str
    picture: Picture
    extras: dict[str, Any]


class Images:
    def __init__(self, mint: ids.Mint) -> None:
        self._mint = mint
        self._lock = threading.Lock()
        self._images: list[Image] = []  # oldest first

    def forget(self) -> None:
        with self._lock:
            self._images.clear()

    def add(self, unique_id: str, pictures: Iterable[Picture], extras: dict[str, Any]) -> list[Image]:
        """In the order of `pictures`, which is that of their ids."""
        with self._lock:
            added = [Image(*self._mint.new(ids.IMAGE), unique_id, picture, extras) for picture in pictures]
            self._images += added
            return added

    def of(self, unique_id: str) -> list[Image]:
        """Newest first."""
        with self._lock:
            return [image for image in reversed(self._images) if image.unique_id == unique_id]

    def report(self) -> list[dict[str, Any]]:
        with self._lock:
            images = list(self._images)
        return [
            {
                "id": image.image_no,
                "unique_id": image.unique_id,
                **image.picture._asdict(),
                "metadata": image.extras,
                "created_ms": image.created_ms,
            }
            for image in images
        ]

    def twice(self) -> list[dict[str, Any]]:
        """Bytes that one namespace accepted more than once."""
        seen: dict[tuple[str, str], list[str]] = {}
        with self._lock:
            for image in self._images:
                seen.setdefault((image.unique_id, image.picture.sha256), []).append(image.image_no)
        return [
            {"unique_id": unique_id, "sha256": sha256, "ids": image_nos}
            for (unique_id, sha256), image_nos in seen.items()
            if len(image_nos) > 1
        ]
