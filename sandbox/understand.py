"""The calls under `/v1/understand/` (contract B.7): reading what is asked, and the routes.

At the vendor they live on a host of their own, here on the same port. Where the contract is silent:

- What breaks the rules of the request (a field, the callback, the persons) is refused with code -1 and costs nothing.
- What is wrong with the content (size, length, codec, an unreadable picture, the word `bad` in the last piece of the
  name) is accepted, paid for and fails: by callback, or with code -1 where the result is in the answer. A link is never
  fetched, so only its name decides.
- A call with persons counts against `human_reid` besides its own lane, and is accepted when both have room.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from flask import Flask, Response, request

from sandbox import answers, fates, forms
from sandbox.answers import Refusal
from sandbox.calls import Calls, key_of_request
from sandbox.captions import IMAGE, VIDEO, Order, Person
from sandbox.forms import Multipart, Part
from sandbox.options import Options
from sandbox.probe import picture, probe
from sandbox.spool import Spool
from sandbox.vendor import Vendor

PERSONS = 5
#: File types of an inline picture (contract B.7 D6).
INLINE_TYPES = ("png", "jpeg")


def add_understand(app: Flask, vendor: Vendor) -> None:
    calls = Calls(app, vendor)
    options = vendor.options

    def promise(order: Order) -> Response:
        return answers.understood({"task_id": vendor.captions.promise(order, key_of_request()).task_id})

    def wait(order: Order) -> Response:
        caption = vendor.captions.wait(order, key_of_request())
        return answers.declined(Refusal(order.cause)) if order.cause else answers.understood(caption.result)

    def add(lane: str, name: str, read: Callable[[], Order], sync: bool) -> None:
        calls.add_understand(lane, name, read, _lanes_of_persons, wait if sync else promise, slow=not sync)

    for suffix, sync in (("", False), ("Sync", True)):
        add("caption_video", f"upload{suffix}", partial(_video_link, sync), sync)
        add("caption_video", f"uploadFile{suffix}", partial(_video_file, options, sync), sync)
    add("caption_image", "uploadImg", _image_link, sync=True)
    add("caption_image", "uploadImgFile", _image_file, sync=True)
    add("caption_image", "uploadImgFileBase64", _image_inline, sync=True)


def _lanes_of_persons(order: Order) -> tuple[str, ...]:
    return ("human_reid",) if order.persons else ()


def _video_link(sync: bool) -> Order:
    """contract B.7 D1, D3"""
    fields = forms.read_object(request)
    url = forms.link(fields, "video_url")
    return _order(fields, [], kind=VIDEO, sync=sync, source=url, sha256=None, cause=fates.of_link(url))


def _video_file(options: Options, sync: bool) -> Order:
    """contract B.7 D2, D3: `req`, one `files`, and a `file` for each person without a url"""
    with forms.multipart(request) as sent:
        fields = _req(sent)
        video, *more = sent.all("files")
        if more:
            raise Refusal("one video a call")
        source, sha256, cause = video.file_name, video.spool.sha256, _why_not(video, options)
        portraits = sent.all("file", needed=False)
        return _order(fields, portraits, kind=VIDEO, sync=sync, source=source, sha256=sha256, cause=cause)


def _image_link() -> Order:
    """contract B.7 D4: clients also send `urls`, or a list; more than one picture has no known answer"""
    fields = forms.read_object(request)
    given = fields.get("url", fields.get("urls"))
    urls = given if isinstance(given, list) else [given]
    if len(urls) != 1:
        raise Refusal("one picture a call")
    url = forms.link({"url": urls[0]})
    return _order(fields, [], kind=IMAGE, sync=True, source=url, sha256=None, cause=fates.of_link(url))


def _image_file() -> Order:
    """contract B.7 D5: `req` and `file`; as in the seed's sample, pictures of persons are `file` parts after the first"""
    with forms.multipart(request) as sent:
        fields = _req(sent)
        image, *portraits = sent.all("file")
        source, sha256, cause = image.file_name, image.spool.sha256, _bad_name(image) or picture(image.spool)
        return _order(fields, portraits, kind=IMAGE, sync=True, source=source, sha256=sha256, cause=cause)


def _image_inline() -> Order:
    """contract B.7 D6, a single picture; the shape of its batch `images` is not known"""
    fields = forms.read_object(request)
    if fields.get("img_type") not in INLINE_TYPES:
        raise Refusal(f"img_type is none of {', '.join(INLINE_TYPES)}")
    encoded = fields.get("image_base64")
    try:
        content = base64.b64decode(encoded if isinstance(encoded, str) else "", validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise Refusal("image_base64 is missing or no base64")
    spool = Spool()
    try:
        spool.write(content)
        sha256, cause = spool.sha256, picture(spool)
    finally:
        spool.close()
    source = f"inline.{fields['img_type']}"
    return _order(fields, [], kind=IMAGE, sync=True, source=source, sha256=sha256, cause=cause)


def _order(
    fields: Mapping[str, Any], portraits: list[Part], *, kind: str, sync: bool, cause: str | None, **source: Any
) -> Order:
    persons = _persons(fields, portraits)
    unseen = next(
        (f"the picture '{part.file_name}': {why}" for part in portraits if (why := picture(part.spool))), None
    )
    thinking = fields.get("thinking", False)
    if not isinstance(thinking, bool):
        raise Refusal("thinking is no boolean")
    callback = forms.callback(fields)
    if callback is None and not sync:
        raise Refusal("the parameter 'callback' is missing")
    return Order(
        kind=kind,
        sync=sync,
        prompt=forms.text(fields, "user_prompt"),
        system_prompt=forms.text(fields, "system_prompt"),
        thinking=thinking,
        persons=persons,
        callback=callback,
        cause=cause or unseen,
        **source,
    )


def _persons(fields: Mapping[str, Any], portraits: list[Part]) -> tuple[Person, ...]:
    """A person without a url has the next of `portraits` (contract B.7 D2); none may be left over."""
    given = fields.get("persons") or []
    if not isinstance(given, list) or not all(isinstance(person, dict) for person in given):
        raise Refusal("persons is no list of objects")
    if len(given) > PERSONS:
        raise Refusal(f"more than {PERSONS} persons")
    left = iter(portraits)
    persons = tuple(_person(person, left) for person in given)
    if next(left, None) is not None:
        raise Refusal("more 'file' parts than persons without a url")
    return persons


def _person(fields: Mapping[str, Any], portraits: Iterator[Part]) -> Person:
    name = forms.text(fields, "name")
    if fields.get("url"):
        return Person(name, forms.link(fields), None)
    portrait = next(portraits, None)
    if portrait is None:
        raise Refusal(f"the person '{name}' has neither a url nor a file")
    return Person(name, None, portrait.spool.sha256)


def _req(sent: Multipart) -> Mapping[str, Any]:
    """The JSON document of a multipart body: a file part in the seed's sample, a field will do."""
    try:
        fields = json.loads(sent.text("req"))
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise Refusal("the part 'req' is missing or no JSON object")
    return fields


def _why_not(video: Part, options: Options) -> str | None:
    """Why a video that was sent cannot be captioned."""
    if cause := _bad_name(video):
        return cause
    if video.spool.size > options.caption_megabytes * 1_000_000:
        return f"the video is larger than {options.caption_megabytes} MB"
    verdict = probe(video.spool, options.codecs)
    if verdict.cause:
        return verdict.cause
    low, high = options.caption_seconds
    if not low <= verdict.seconds <= high:
        return f"the video takes {verdict.seconds:.1f} s; from {low:g} to {high:g} s can be understood"
    return None


def _bad_name(part: Part) -> str | None:
    return "the file could not be understood" if fates.BAD.search(fates.file_piece(part.file_name)) else None
