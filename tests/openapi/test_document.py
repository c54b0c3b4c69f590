"""docs/openapi.yaml beside the template: the same routes, and nothing in it that does not hold together."""

from __future__ import annotations

import json
import pathlib
import re
import sys

import document
import openapi_spec_validator
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "security"))

import rendering

DOCUMENT = document.load()


def deployed() -> dict:
    """What SAM hands to API Gateway."""
    return rendering.rendered(rendering.translated(), {})["Resources"]["Api"]["Properties"]["Body"]


def test_it_is_openapi_3_1():
    openapi_spec_validator.validate(DOCUMENT.whole)
    assert DOCUMENT.whole["openapi"].startswith("3.1.")


def test_it_has_the_routes_of_the_template_and_no_others():
    routes = {(method, path) for path, item in deployed()["paths"].items() for method in item}
    assert {(operation.method, operation.path) for operation in DOCUMENT.operations} == routes
    assert len(routes) == 7


def test_its_first_authorizer_is_the_one_of_every_route_of_the_template():
    def schemes(requirements: list, body: dict) -> list:
        known = body["securityDefinitions"] if "securityDefinitions" in body else body["components"]["securitySchemes"]
        return [known[name]["x-amazon-apigateway-authtype"] for requirement in requirements for name in requirement]

    body = deployed()
    for path, item in body["paths"].items():
        for method, operation in item.items():
            assert schemes(operation["security"], body) == ["awsSigv4"], (method, path)
    assert schemes(DOCUMENT.whole["security"][:1], DOCUMENT.whole) == ["awsSigv4"]
    assert not [operation.name for operation in DOCUMENT.operations if "security" in operation.parts]


def test_what_api_gateway_answers_itself_is_documented_for_every_operation():
    responses = rendering.rendered(rendering.translated(), {})["Resources"]["Api"]["Properties"]["Body"][
        "x-amazon-apigateway-gateway-responses"
    ]
    assert responses
    for response in responses.values():
        status = str(response["statusCode"])
        (header,) = response["responseParameters"].values()
        for operation in DOCUMENT.operations:
            if status == "404" and status not in operation.parts["responses"]:
                continue  # RESOURCE_NOT_FOUND is of paths that are not there.
            documented = DOCUMENT.part(operation.parts["responses"][status])
            names = DOCUMENT.part(documented["headers"]["x-amzn-errortype"])["schema"]["enum"]
            assert header.strip("'") in names, (operation.name, status)


@pytest.mark.parametrize("operation", DOCUMENT.operations, ids=lambda operation: operation.name)
def test_every_parameter_of_a_path_is_there_once(operation):
    parameters = [DOCUMENT.part(parameter) for parameter in operation.parts.get("parameters", [])]
    assert re.findall(r"\{(\w+)\}", operation.path) == [p["name"] for p in parameters if p["in"] == "path"]
    names = [p["name"] for p in parameters]
    assert len(set(names)) == len(names)
    for parameter in parameters:
        assert parameter["description"], parameter


@pytest.mark.parametrize("operation", DOCUMENT.operations, ids=lambda operation: operation.name)
def test_every_example_is_of_its_own_schema(operation):
    for parameter in map(DOCUMENT.part, operation.parts.get("parameters", [])):
        shown = [example["value"] for example in parameter.get("examples", {}).values()]
        shown += [parameter["example"]] if "example" in parameter else []
        for value in shown:
            assert DOCUMENT.problems(value, parameter["schema"]) == []
        assert shown or parameter["in"] != "path", f"{parameter['name']} has no example"
    contents = [operation.parts["requestBody"]["content"]] if "requestBody" in operation.parts else []
    contents += [DOCUMENT.part(response)["content"] for response in operation.parts["responses"].values()]
    for content in contents:
        assert list(content) == ["application/json"]
        assert content["application/json"]["examples"]
        for name, example in content["application/json"]["examples"].items():
            assert DOCUMENT.problems(example["value"], content["application/json"]["schema"]) == [], name


def test_each_name_of_an_error_has_an_example_where_its_status_is():
    for name, response in DOCUMENT.whole["components"]["responses"].items():
        named = DOCUMENT.part(response["headers"]["x-amzn-errortype"])["schema"]["enum"]
        shown = response["content"]["application/json"]["examples"]
        assert shown.keys() <= set(named), name
        ours = DOCUMENT.whole["components"]["schemas"]["Error"]["properties"]["__type"]["enum"]
        assert set(named) & set(ours) <= shown.keys(), name


def test_nothing_in_it_is_left_over():
    text = json.dumps(DOCUMENT.whole)
    for kind, parts in DOCUMENT.whole["components"].items():
        for name in parts:
            used = f'"#/components/{kind}/{name}"' in text or kind == "securitySchemes"
            assert used, f"{kind}/{name} is used nowhere"


def test_an_undocumented_answer_is_told():
    json_type = {"Content-Type": "application/json"}
    refused = {**json_type, "x-amzn-ErrorType": "ResourceNotFoundException"}
    sweep = "/sweeps/20261121T020000Z-delete-expired-1a2b3c4d"
    DOCUMENT.check("GET", sweep, 404, refused, b'{"message": "there is none"}')
    for status, headers, body, told in [
        (418, json_type, b"{}", "418 is no status"),
        (404, json_type, b'{"message": "none"}', "no header x-amzn-errortype"),
        (404, {**refused, "x-amzn-ErrorType": "Other"}, b'{"message": "none"}', "'Other' is not one of"),
        (404, refused, b"{}", "'message' is a required property"),
        (404, refused, b'{"message": "none", "more": 1}', "'more' was unexpected"),
        (404, {**refused, "Content-Type": "text/html"}, b"none", "of the type 'text/html'"),
        (200, refused, b"{}", "has the header of an error"),
    ]:
        with pytest.raises(document.UndocumentedError, match=re.escape(told)):
            DOCUMENT.check("GET", sweep, status, headers, body)
    DOCUMENT.check("GET", "/elsewhere", 418, {}, b"")
