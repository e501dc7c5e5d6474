"""The vendor's calls as Flask routes (contract B), and the controls under `/_sandbox/`."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from sandbox import answers, forms, library, shapes
from sandbox.answers import Refusal
from sandbox.calls import Calls
from sandbox.faults import check_faults
from sandbox.scrapers import add_scrapers
from sandbox.server import BrokenBody
from sandbox.stage import add_stage
from sandbox.understand import add_understand
from sandbox.vendor import Vendor

DEFAULT_PAGE, LARGEST_PAGE = 20, 200
LARGEST_DELETE = 100


def create_app(vendor: Vendor) -> Flask:
    app = Flask("sandbox", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    calls = Calls(app, vendor)
    options = vendor.options

    def upload() -> dict[str, Any]:
        """contract B.2 U1"""
        with forms.multipart(request) as sent:
            video = vendor.take_file(
                forms.file_of(sent),
                forms.namespace(sent.fields, request.args),
                forms.callback(sent.fields, request.args),
                forms.extras(sent.fields),
            )
        return shapes.accepted(video)

    def upload_img() -> list[dict[str, Any]]:
        """contract B.2 U9"""
        with forms.multipart(request) as sent:
            images = vendor.take_images(
                sent.all("files"),
                forms.namespace(sent.fields, request.args),
                forms.extras(sent.fields, forms.IMAGE_TAGS),
            )
        return [shapes.accepted_image(image) for image in images]

    def upload_url() -> dict[str, Any]:
        """contract B.2 U2"""
        fields = forms.read_fields(request)
        video = vendor.take_link(
            forms.link(fields),
            forms.namespace(fields, request.args),
            forms.callback(fields, request.args),
            forms.extras(fields),
        )
        return shapes.accepted(video)

    def list_videos() -> dict[str, Any]:
        """contract B.3 L1"""
        fields = forms.read_fields(request)
        page = forms.number(fields, "page", 1)
        size = min(forms.number(fields, "size", DEFAULT_PAGE), LARGEST_PAGE)
        tests: list[Callable[[library.Video], bool]] = []
        if video_no := fields.get("video_no"):
            tests.append(lambda video: video.video_no == video_no)
        if options.honour_video_nos and (wanted := set(forms.words(fields, "video_nos"))):
            tests.append(lambda video: video.video_no in wanted)
        if video_name := fields.get("video_name"):
            tests.append(lambda video: str(video_name) in video.name)
        if status := fields.get("status"):
            tests.append(lambda video: video.status == status)
        found = vendor.library.private_videos(forms.namespace(fields), tests)
        return {
            "videos": [shapes.listed(video, options.late_size) for video in found[(page - 1) * size : page * size]],
            "current_page": page,
            "page_size": size,
            "total_count": str(len(found)),
        }

    def list_images() -> dict[str, Any]:
        """contract B.3 L9"""
        fields = forms.read_fields(request)
        page = forms.number(fields, "page", 1)
        size = min(forms.number(fields, "page_size", DEFAULT_PAGE), LARGEST_PAGE)
        found = vendor.images.of(forms.namespace(fields))
        return {
            "images": [shapes.listed_image(image) for image in found[(page - 1) * size : page * size]],
            "current_page": page,
            "page_size": size,
            "total_count": str(len(found)),
        }

    def task_status() -> dict[str, Any]:
        """contract B.3 L3; both shapes at once (E.3 40)"""
        task_id = _required("task_id")
        videos = vendor.library.videos_of_task(task_id, forms.namespace(request.args))
        return {
            "taskId": task_id,
            "video_ids": [video.video_no for video in videos],
            "videos": [shapes.scraped(video, options.late_size) for video in videos],
        }

    def get_metadata() -> dict[str, Any] | None:
        """contract B.3 L4"""
        video = vendor.library.find(_required("video_no"), library.PRIVATE, forms.namespace(request.args))
        return None if video is None else shapes.metadata(video, options.late_size)

    def private_details() -> dict[str, Any] | None:
        """contract B.3 L5"""
        video = vendor.library.find(_required("video_no"), library.PRIVATE, forms.namespace(request.args))
        return None if video is None else shapes.private_details(video, options.late_size)

    def public_detail() -> dict[str, Any] | None:
        """contract B.3 L6"""
        video = vendor.library.find(_required("video_no"), library.PUBLIC)
        return None if video is None else shapes.public_detail(video, options.late_size, *vendor.facts(video))

    def delete_videos() -> None:
        """contract B.3 L2: a bare array with `unique_id` in the query, or an object (E.2 22)"""
        body = request.get_json(force=True, silent=True)
        video_nos = forms.words({"ids": body}, "ids") if isinstance(body, list) else None
        if isinstance(body, dict):
            video_nos = forms.words(body, "video_nos")
        if not video_nos:
            raise Refusal("the body is no array of video ids")
        if len(video_nos) > LARGEST_DELETE:
            raise Refusal(f"more than {LARGEST_DELETE} videos in one call")
        unique_id = forms.namespace(request.args, body if isinstance(body, dict) else {})
        vendor.library.delete(video_nos, unique_id)

    calls.add("upload", "POST", "upload", upload, slow=True)
    calls.add("upload", "POST", "upload_url", upload_url, slow=True)
    calls.add("image", "POST", "upload_img", upload_img, slow=True)
    calls.add("list", "POST", "list_videos", list_videos)
    calls.add("list", "POST", "img_list_page", list_images)
    calls.add("task_status", "GET", "get_video_ids_by_task_id", task_status)
    calls.add("detail", "GET", "get_metadata", get_metadata)
    calls.add("detail", "GET", "get_private_video_details", private_details)
    calls.add("detail", "GET", "get_private_video_detail", private_details)
    calls.add("detail", "GET", "get_public_video_detail", public_detail)
    calls.add("delete", "POST", "delete_videos", delete_videos)
    add_scrapers(calls, vendor)
    add_understand(app, vendor)
    _add_controls(app, vendor)
    add_stage(app, vendor)
    _add_errors(app, vendor)
    return app


def _add_controls(app: Flask, vendor: Vendor) -> None:
    @app.get("/_sandbox/health")
    def health() -> dict[str, Any]:
        return {"status": "ok"}

    @app.get("/_sandbox/report")
    def report() -> dict[str, Any]:
        return vendor.report(brief=request.args.get("brief", "") not in ("", "0"))

    @app.post("/_sandbox/reset")
    def reset() -> dict[str, Any]:
        vendor.reset()
        return {"status": "reset"}

    _add_fault_controls(app, vendor)
    _add_account_controls(app, vendor)


def _add_fault_controls(app: Flask, vendor: Vendor) -> None:
    @app.get("/_sandbox/faults")
    def faults() -> dict[str, float]:
        return vendor.faults.in_force

    @app.post("/_sandbox/faults")
    def replace_faults() -> Any:
        try:
            vendor.faults.replace(check_faults(request.get_json(force=True, silent=True)))
        except ValueError as error:
            return {"error": str(error)}, 400
        return vendor.faults.in_force


def _add_account_controls(app: Flask, vendor: Vendor) -> None:
    @app.post("/_sandbox/credit")
    def credit() -> Any:
        given = _control("calls")
        if given is not None and (type(given) is not int or given < 0):  # JSON's true is no number of calls
            return {"error": "Credit is {'calls': N}, a number from 0 or null for any number."}, 400
        vendor.admission.top_up(given)
        return {"calls": given}

    @app.post("/_sandbox/key")
    def key() -> Any:
        given = _control("refused")
        if not isinstance(given, bool):
            return {"error": "The key's control is {'refused': true} or {'refused': false}."}, 400
        vendor.admission.refuse_keys(given)
        return {"refused": given}


def _control(name: str) -> Any:
    """The value of `name` in the body; a body without it is as wrong as a wrong value."""
    body = request.get_json(force=True, silent=True)
    return body[name] if isinstance(body, dict) and name in body else ""


def _add_errors(app: Flask, vendor: Vendor) -> None:
    @app.errorhandler(404)
    def unknown_path(_: Exception) -> Response:
        return answers.refused(Refusal(f"No static resource {request.path.lstrip('/')}."))

    @app.errorhandler(405)
    def wrong_method(_: Exception) -> Response:
        return answers.refused(Refusal(f"Request method '{request.method}' is not supported"))

    @app.errorhandler(BrokenBody)
    def broken_body(_: Exception) -> Response:
        """Nobody is left to read this answer."""
        vendor.journal.broken_body()
        return answers.refused(Refusal("the body ended early"))


def _required(name: str) -> str:
    value = request.args.get(name)
    if not value:
        raise Refusal(f"the parameter '{name}' is missing")
    return value
