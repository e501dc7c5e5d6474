"""The controls of the made-up platforms: their pages and posts, and the truth about them."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, request

from sandbox.pages import Page, recognise_page
from sandbox.posts import recognise
from sandbox.vendor import Vendor
from sandbox.world import report_post

_MOST = 1000  # posts that are added at once


def add_stage(app: Flask, vendor: Vendor) -> None:
    world = vendor.world

    @app.get("/_sandbox/profiles")
    @_or_400
    def profiles() -> dict[str, Any]:
        """The page `url` or all that were looked at or told of; counters of the moment `at_ms`."""
        url, at_ms = request.args.get("url"), request.args.get("at_ms", "")
        if at_ms and not at_ms.isdecimal():
            raise ValueError("'at_ms' is a time in milliseconds since 1970.")
        pages = None if url is None else [_page(url)]
        return {"profiles": vendor.profiles(pages, int(at_ms) if at_ms else None)}

    @app.post("/_sandbox/profiles")
    @_or_400
    def tell() -> dict[str, Any]:
        said = _said()
        page = _page(said.pop("url", None))
        world.tell(page, said)
        return vendor.profiles([page], None)[0]

    @app.post("/_sandbox/posts/add")
    @_or_400
    def add() -> dict[str, Any]:
        said = _said()
        count = said.get("count", 1)
        if type(count) is not int or not 1 <= count <= _MOST:
            raise ValueError(f"'count' is a number from 1 to {_MOST}.")
        made = world.publish(_page(said.get("profile")), count)
        return {"posts": [report_post(published, published.published_ms) for published in reversed(made)]}

    @app.post("/_sandbox/posts/remove")
    @_or_400
    def remove() -> dict[str, Any]:
        return _switch(visible=False)

    @app.post("/_sandbox/posts/restore")
    @_or_400
    def restore() -> dict[str, Any]:
        return _switch(visible=True)

    def _switch(visible: bool) -> dict[str, Any]:
        url = _said().get("post")
        post = recognise(url) if isinstance(url, str) else None
        if post is None or not world.switch(post, visible):
            raise ValueError(f"'{url}' is no address of a post of a page that was looked at or told of.")
        return {"post_id": post.post_id, "visible": visible}


def _or_400(act: Callable[[], dict[str, Any]]) -> Callable[[], Any]:
    """What is wrong with a control is told in a sentence."""

    @wraps(act)
    def view() -> Any:
        try:
            return act()
        except ValueError as error:
            return {"error": str(error)}, 400

    return view


def _said() -> dict[str, Any]:
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise ValueError("The body is a JSON object.")
    return body


def _page(url: Any) -> Page:
    page = recognise_page(url) if isinstance(url, str) else None
    if page is None:
        raise ValueError(f"'{url}' is no profile of TikTok, YouTube or Instagram and no hashtag of TikTok.")
    return page
