"""A video or an image as each call shows it: numbers as strings, "null" for no cause (contract A.3, E.3 41, 42)."""

from typing import Any

from sandbox.addresses import player
from sandbox.counters import counters
from sandbox.images import READY, Image
from sandbox.library import Video
from sandbox.profiles import Published


def accepted(video: Video) -> dict[str, Any]:
    """contract B.2 U1, U2"""
    return {
        "videoNo": video.video_no,
        "videoName": video.name,
        "videoStatus": "UNPARSE",
        "uploadTime": str(video.created_ms),
    }


def listed(video: Video, late: bool) -> dict[str, Any]:
    """contract B.3 L1; with `late`, size and duration are "0" until parsing is over"""
    known = video.parsed or not late
    return {
        "duration": str(video.verdict.duration) if known else "0",
        "size": str(video.verdict.size) if known else "0",
        "status": video.status,
        "cause": _cause(video),
        "video_no": video.video_no,
        "video_name": video.name,
        "create_time": str(video.created_ms),
    }


def scraped(video: Video, late: bool) -> dict[str, Any]:
    """contract B.3 L3; the technical fields of a fresh item are null"""
    return {
        **_technical(video, late),
        "status": video.status,
        "video_no": video.video_no,
        "video_name": video.name,
        "create_time": str(video.created_ms),
        "video_url": video.url,
    }


def metadata(video: Video, late: bool) -> dict[str, Any]:
    """contract B.3 L4"""
    return {
        **listed(video, late),
        **{name: value for name, value in _technical(video, late).items() if name not in ("duration", "size")},
        "datetime_taken": video.extras.get("datetime_taken"),
        "camera_model": video.extras.get("camera_model"),
        "latitude": video.extras.get("latitude"),
        "longitude": video.extras.get("longitude"),
        "tags": video.extras.get("tags", ["api"]),
        "bucket": "sandbox",
        "blob": f"library/{video.video_no}",
    }


def private_details(video: Video, late: bool) -> dict[str, Any]:
    """contract B.3 L5"""
    return {
        **_technical(video, late),
        "status": video.status,
        "video_no": video.video_no,
        "video_name": video.name,
        "create_time": str(video.created_ms),
        "video_url": video.url or f"https://storage.example.com/library/{video.video_no}.mp4",
    }


def public_detail(video: Video, late: bool, published: Published, at_ms: int) -> dict[str, Any]:
    """contract B.3 L6; `publish_time` is in seconds, all else in ms; counters of the moment `at_ms`"""
    return {
        "duration": _technical(video, late)["duration"],
        "status": video.status,
        "video_no": video.video_no,
        "video_name": video.name,
        "create_time": str(video.created_ms),
        "video_url": player(published.post) if published.post.platform == "tiktok" else video.url,
        **{name: str(count) for name, count in counters(published, at_ms).items()},
        "blogger_id": published.author,
        "text_language": "en",
        "music_name": "original sound",
        "hash_tag": "".join(f"#{tag}" for tag in published.tags),
        "publish_time": str(published.published_ms // 1000),
    }


def accepted_image(image: Image) -> dict[str, Any]:
    """contract B.2 U9, the sample's form (E.3 46)"""
    return {"id": image.image_no}


def listed_image(image: Image) -> dict[str, Any]:
    """contract B.3 L9"""
    return {
        "image_no": image.image_no,
        "image_name": image.picture.name,
        "status": READY,
        "upload_time": str(image.created_ms),
    }


def _cause(video: Video) -> str:
    return video.cause or "null"


def _technical(video: Video, late: bool) -> dict[str, Any]:
    verdict = video.verdict
    if late and not video.parsed:
        nothing = dict.fromkeys(("size", "fps", "width", "height", "resolution_label"))
        return {"duration": "0", **nothing}
    return {
        "duration": str(verdict.duration),
        "size": str(verdict.size),
        "fps": _text(verdict.fps),
        "width": _text(verdict.width),
        "height": _text(verdict.height),
        "resolution_label": f"{verdict.height}p" if verdict.height else None,
    }


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
