"""The translated template, and what is left of it when its parameters have values."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "dev"))

from environments import program  # noqa: E402

Template = dict[str, Any]

# No value at all, and one that only a deployment has.
NOTHING, UNKNOWN = object(), object()
LANE_ROLE = "arn:aws:iam::111122223333:role/jobwarden-lane"
# Each parameter that brings resources or rights of its own, with the value that does.
OPTIONS = {
    "RetireJobs": {"RetireJobs": "true"},
    "Lanes": {"Lanes": f"us=us-east-1,plant=eu-west-1@{LANE_ROLE}", "LaneRoles": LANE_ROLE},
    "CreateOperatorRoles": {"CreateOperatorRoles": "true"},
    "AlarmEmail": {"AlarmEmail": "somebody@example.com"},
}
EVERYTHING = {name: value for values in OPTIONS.values() for name, value in values.items()}


@functools.cache
def _translated() -> str:
    command = [program("sam", "python"), pathlib.Path(__file__).with_name("translate.py")]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def translated() -> Template:
    """A copy of its own for each that asks, because some plant a fault in it."""
    return json.loads(_translated())


def rendered(template: Template, given: dict[str, str]) -> Template:
    """The template without conditions: each is decided by the parameters' values, given or by default.

    What is only known when it is deployed (ARNs, names, the account) stays as it is written.
    """
    values = {name: given.get(name, parameter.get("Default")) for name, parameter in template["Parameters"].items()}
    if unknown := set(given) - set(values):
        raise KeyError(f"no such parameters: {unknown}")
    for name, parameter in template["Parameters"].items():
        if parameter["Type"] == "CommaDelimitedList":
            values[name] = values[name].split(",")
    resolve = functools.partial(_resolve, template, values)
    resources = {
        name: {key: value for key, part in resource.items() if (value := resolve(part)) is not NOTHING}
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or _holds(template, values, resource["Condition"])
    }
    for resource in resources.values():
        resource.pop("Condition", None)
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _holds(template: Template, values: dict[str, Any], condition: Any) -> bool:
    if isinstance(condition, str):
        return _holds(template, values, template["Conditions"][condition])
    ((function, arguments),) = condition.items()
    holds = functools.partial(_holds, template, values)
    match function:
        case "Condition":
            return holds(arguments)
        case "Fn::Not":
            return not holds(arguments[0])
        case "Fn::And":
            return all(holds(argument) for argument in arguments)
        case "Fn::Or":
            return any(holds(argument) for argument in arguments)
        case "Fn::Equals":
            left, right = (_resolve(template, values, argument) for argument in arguments)
            return left == right
    raise ValueError(f"{function} is no condition that is known here")


def _resolve(template: Template, values: dict[str, Any], part: Any) -> Any:
    resolve = functools.partial(_resolve, template, values)
    if isinstance(part, list):
        return [value for item in part if (value := resolve(item)) is not NOTHING]
    if not isinstance(part, dict):
        return part
    if len(part) == 1:
        known = _called(template, values, *next(iter(part.items())))
        if known is not UNKNOWN:
            return known
    return {key: value for key, item in part.items() if (value := resolve(item)) is not NOTHING}


def _called(template: Template, values: dict[str, Any], function: str, arguments: Any) -> Any:
    """What a function gives, where that is known without a deployment."""
    resolve = functools.partial(_resolve, template, values)
    known = UNKNOWN
    match function:
        case "Ref" if arguments == "AWS::NoValue":
            known = NOTHING
        case "Ref":
            known = values.get(arguments, UNKNOWN)
        case "Fn::If":
            condition, yes, no = arguments
            known = resolve(yes if _holds(template, values, condition) else no)
        case "Fn::FindInMap":
            name, first, second = resolve(arguments)
            known = template["Mappings"][name][first][second]
        case "Fn::Join":
            separator, items = resolve(arguments)
            known = separator.join(items) if all(isinstance(item, str) for item in items) else UNKNOWN
        case "Fn::Sub" if isinstance(arguments, str):
            text = re.sub(r"\$\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), arguments)
            known = {"Fn::Sub": text} if "${" in text else text
    return known
