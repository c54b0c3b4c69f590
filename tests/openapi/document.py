"""docs/openapi.yaml as its tests read it: routes, examples, and whether an answer is one that it has."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import referencing
import referencing.jsonschema
import yaml

FILE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# The emulator's word for JSON where API Gateway's own refusal of a caller is meant, which AWS sends as JSON.
EMULATED = {"application/x-amz-json-1.0": "application/json"}
FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or (datetime.datetime.fromisoformat(value).tzinfo is not None and "T" in value)


@FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.date.fromisoformat(value))


class UndocumentedError(AssertionError):
    """An answer that the document does not have, and where it differs."""


@dataclasses.dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    parts: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.parts["operationId"]


@dataclasses.dataclass(frozen=True)
class Example:
    """A request of the document with the answer that it has for it."""

    operation: Operation
    name: str
    path: str
    query: dict[str, Any]
    body: Any
    status: int
    answer: Any


class Document:
    """The document, with every reference resolved where it is asked for."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self.whole = whole
        strict = {**whole, "components": {**whole["components"], "schemas": closed(whole["components"]["schemas"])}}
        resource = referencing.Resource(contents=strict, specification=referencing.jsonschema.DRAFT202012)
        self._registry = referencing.Registry().with_resource("urn:openapi", resource)

    @functools.cached_property
    def operations(self) -> list[Operation]:
        return [
            Operation(method, path, parts)
            for path, item in self.whole["paths"].items()
            for method, parts in item.items()
            if method in METHODS
        ]

    def part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """A parameter, header or response, wherever it is written."""
        while "$ref" in part:
            place = part["$ref"].removeprefix("#/").split("/")
            part = functools.reduce(lambda inside, name: inside[name], place, self.whole)
        return part

    def find(self, method: str, path: str) -> Operation | None:
        """The operation that a request of that method and path is for; fixed parts go before parameters."""
        for operation in sorted(self.operations, key=lambda operation: "{" in operation.path):
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.path))
            if operation.method == method.lower() and re.fullmatch(pattern, path):
                return operation
        return None

    def problems(self, value: Any, schema: Mapping[str, Any]) -> list[str]:
        """What is wrong with a value. A member of an object that the document does not name is wrong, too."""
        # A schema's own references are of this document.
        absolute = json.loads(json.dumps(closed(schema)).replace('"$ref": "#/', '"$ref": "urn:openapi#/'))
        validator = jsonschema.Draft202012Validator(absolute, registry=self._registry, format_checker=FORMATS)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def check(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Complains of an answer that the document does not have. Paths that it does not have are the gateway's."""
        operation = self.find(method, path)
        if operation is None:
            return
        place = f"{operation.name}: {status}"
        if str(status) not in operation.parts["responses"]:
            raise UndocumentedError(f"{place} is no status of it: {body[:500]!r}")
        response = self.part(operation.parts["responses"][str(status)])
        found = {name.lower(): value for name, value in headers.items()}
        for name, header in response.get("headers", {}).items():
            described = self.part(header)
            if name.lower() in found:
                for problem in self.problems(found[name.lower()], described["schema"]):
                    raise UndocumentedError(f"{place}, header {name}: {problem}")
            elif described.get("required"):
                raise UndocumentedError(f"{place} has no header {name}: {found}")
        if "x-amzn-errortype" in found and "x-amzn-errortype" not in response.get("headers", {}):
            raise UndocumentedError(f"{place} has the header of an error: {found['x-amzn-errortype']}")
        kind = found.get("content-type", "").split(";")[0]
        kind = EMULATED.get(kind, kind) if status == 403 else kind
        if kind not in response["content"]:
            raise UndocumentedError(f"{place} is of the type {kind!r}")
        for problem in self.problems(json.loads(body), response["content"][kind]["schema"]):
            raise UndocumentedError(f"{place}: {problem}")

    def examples(self) -> Iterator[Example]:
        """Each successful answer that the document shows, with the request of the same name."""
        for operation in self.operations:
            for status, response in operation.parts["responses"].items():
                shown = self.part(response)["content"]["application/json"].get("examples", {})
                if status.startswith("2"):
                    for name, answer in shown.items():
                        yield self._example(operation, name, int(status), answer["value"])

    def _example(self, operation: Operation, name: str, status: int, answer: Any) -> Example:
        path, query = operation.path, {}
        for parameter in map(self.part, operation.parts.get("parameters", [])):
            given = parameter.get("examples", {}).get(name, {}).get("value")
            if parameter["in"] == "path":
                given = parameter["example"] if given is None else given
                path = path.replace(f"{{{parameter['name']}}}", str(given))
            elif given is not None:
                query[parameter["name"]] = json.dumps(given) if isinstance(given, bool) else str(given)
        bodies = operation.parts.get("requestBody", {"content": {"application/json": {}}})["content"][
            "application/json"
        ]
        body = bodies.get("examples", {}).get(name, {}).get("value")
        return Example(operation, name, path, query, body, status, answer)


def closed(schema: Any) -> Any:
    """The same schema, where an object has the members that are named and no others."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema and "additionalProperties" not in schema:
        inside["additionalProperties"] = False
    return inside


def load() -> Document:
    return Document(yaml.safe_load(FILE.read_text()))
