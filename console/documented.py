"""What the OpenAPI document says of every operation alike: who may, what goes wrong, what is answered to whom knows already."""

from typing import Any

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel

from console import schemas
from console.answering import PROBLEM_JSON
from console.once import HEADER, REPLAYED
from console.schemas import Problem

PREFIX = "/api/v1"
_SCHEME = "token"
SECURITY_SCHEMES: dict[str, Any] = {
    _SCHEME: {"type": "http", "scheme": "bearer", "description": "`ingest tokens add NAME [--operate]` makes one."}
}
_WORDS = {
    "400": "The request cannot be read.",
    "401": "A token is needed, or this one opens nothing.",
    "403": "The token only reads.",
    "404": "There is no such thing.",
    "409": "The same request is being carried out, or its key came with another one.",
    "410": "The cursor is too old; begin again.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "422": "Something of it is wrong; `errors` says what.",
    "429": "Too many wrong tokens came from this address.",
    "502": "Memories.ai could not be asked.",
    "503": "The database, or what keeps the limits, does not answer.",
}
#: What any operation may answer.
_ALWAYS = ("400", "401", "422", "429", "503")
_WHEN_WRITING = ("403", "409", "413", "415")
_ETAG = {"ETag": {"description": "Send it as `If-None-Match`.", "schema": {"type": "string"}}}
_KNOWN = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` you have: 304 where nothing has changed.",
    "schema": {"type": "string"},
}
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": f"Sent again with the same key within 24 h, a request is carried out once and answered alike (`{REPLAYED}`).",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}


def blueprint(name: str, about: str) -> APIBlueprint:
    tag = Tag(name=name, description=about)
    return APIBlueprint(name, name, url_prefix=PREFIX, abp_tags=[tag], abp_security=[{_SCHEME: []}])


def answers(model: type[BaseModel], *wrong: int, status: int = 200) -> dict[Any, Any]:
    """What an operation answers when all is well, and what goes wrong besides that which may go wrong anywhere."""
    return {str(status): model, **_problems(*wrong)}


def _problems(*statuses: int) -> dict[str, Any]:
    return {str(one): {"description": _WORDS[str(one)], "content": _problem_content()} for one in statuses}


def _problem_content() -> dict[str, Any]:
    return {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}


def finish(spec: dict[str, Any], untagged: frozenset[str], optional_bodies: frozenset[str]) -> dict[str, Any]:
    """Add to the document what holds for all: ``untagged`` paths send no ETag, ``optional_bodies`` are models that may be left out."""
    _as_pydantic_says(spec["components"]["schemas"])
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if not path.startswith(PREFIX):
                operation["responses"].pop("422", None)
                continue
            given, parameters = operation["responses"], operation.setdefault("parameters", [])
            given |= _problems(*map(int, _ALWAYS))
            if method == "get" and path not in untagged:
                given["200"]["headers"] = _ETAG
                given["304"] = {"description": "It is as you have it.", "headers": _ETAG}
                parameters.append(_KNOWN)
            if method == "post":
                given |= _problems(*map(int, _WHEN_WRITING))
                parameters.append(_KEY)
            if body := operation.get("requestBody"):
                model = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                body["required"] = model not in optional_bodies
    return spec


def _as_pydantic_says(components: dict[str, Any]) -> None:
    """The framework knows some keywords of JSON Schema and drops the others: of the names of a map, for one."""
    for name in components:
        model = getattr(schemas, name, None)
        if isinstance(model, type) and issubclass(model, BaseModel):
            whole = model.model_json_schema(ref_template="#/components/schemas/{model}")
            whole.pop("$defs", None)
            components[name] = whole
