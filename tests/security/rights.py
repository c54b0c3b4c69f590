"""What the template's roles may do, against what they ought to: roles.toml says it, action by action."""

from __future__ import annotations

import fnmatch
import pathlib
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from rendering import LANE_ROLE, OPTIONS, Template, rendered

EXPECTED = tomllib.loads(pathlib.Path(__file__).with_name("roles.toml").read_text())

Rights = dict[str, set[str]]

# What hands out rights besides roles. The template has none of them, and none may slip in past the list of roles.
ELSEWHERE = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy", "AWS::IAM::UserPolicy")


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def where(resource: Any) -> str:
    """A resource in few words: `Bucket/sweeps/*`, `iot job/*`, `iot job/* in *`, `DeleteExpiredQueue`."""
    text = resource
    if isinstance(resource, dict):
        ((function, text),) = resource.items()
        if function == "Fn::GetAtt":
            return text[0]
    for name, short in (("Partition", "aws"), ("Region", "here"), ("AccountId", "ours")):
        text = text.replace(f"${{AWS::{name}}}", short)
    text = re.sub(r"\$\{(\w+)(\.Arn)?\}", r"\1", text)
    arn = re.fullmatch(r"arn:aws:([\w-]+):([^:]*):(ours|aws):(.*)", text)
    if not arn:
        return text
    service, region, _, rest = arn.groups()
    return f"{service} {rest}" if region in ("here", "") else f"{service} {rest} in {region}"


def conditions(statement: dict[str, Any]) -> str:
    keys = sorted(key for test in statement.get("Condition", {}).values() for key in test)
    return f" where {', '.join(keys)}" if keys else ""


def roles(template: Template) -> dict[str, dict[str, Any]]:
    return {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == "AWS::IAM::Role"}


def statements(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for policy in role.get("Policies", []):
        yield from listed(policy["PolicyDocument"]["Statement"])


def rights(role: dict[str, Any]) -> Rights:
    """The resources on which a role may do something, by action."""
    found: Rights = defaultdict(set)
    for statement in statements(role):
        odd = sorted({"NotAction", "NotResource"} & set(statement))
        if odd or statement["Effect"] != "Allow":
            found[f"{statement['Effect']} {odd}"] = {"*"}
        for action in listed(statement.get("Action", [])):
            found[action] |= {where(r) + conditions(statement) for r in listed(statement.get("Resource", []))}
    return found


def trusted(role: dict[str, Any]) -> set[str]:
    """Who may assume a role, and under which conditions."""
    found = set()
    for statement in listed(role["AssumeRolePolicyDocument"]["Statement"]):
        principal = statement["Principal"]
        kinds = principal.values() if isinstance(principal, dict) else [principal]
        found |= {where(who) + conditions(statement) for whom in kinds for who in listed(whom)}
    return found


def expected(name: str, options: dict[str, str]) -> Rights:
    """What roles.toml gives a role where the template is deployed with these options."""
    role = EXPECTED["roles"][name]
    tables = [role]
    for names, part in role.get("with", {}).items():
        if all(OPTIONS[option].items() <= options.items() for option in names.split("-and-")):
            tables.append(part)
    found: Rights = defaultdict(set)
    for table in tables:
        for rights_of in [*(EXPECTED["rights"][each] for each in table.get("has", [])), table.get("may", {})]:
            for action, resources in rights_of.items():
                own = name.removesuffix("Role")
                found[action] |= {r.replace("OWN", own).replace("LANE_ROLE", LANE_ROLE) for r in resources}
    return found


def findings(template: Template, options: dict[str, str]) -> list[str]:
    """Everything wrong with the roles of the template as it would be deployed with these options."""
    template = rendered(template, options)
    found = [
        f"rights-are-in-roles: {name} is a {resource['Type']}"
        for name, resource in template["Resources"].items()
        if resource["Type"] in ELSEWHERE
    ]
    for name, role in roles(template).items():
        if name not in EXPECTED["roles"]:
            found.append(f"roles-are-known: {name} is not in roles.toml")
            continue
        found += _differences(name, rights(role), expected(name, options))
        managed = {where(policy) for policy in role.get("ManagedPolicyArns", [])}
        if managed != set(EXPECTED["roles"][name].get("managed", [])):
            found.append(f"managed-policies: {name} has {sorted(managed)}")
        if trusted(role) != set(EXPECTED["roles"][name]["assumed_by"]):
            found.append(f"roles-are-assumed-by: {name} by {sorted(trusted(role))}")
        found += _forbidden(name, rights(role))
        found += _unbounded(name, rights(role))
    return found


def _differences(name: str, given: Rights, wanted: Rights) -> list[str]:
    found = []
    for action in sorted({*given, *wanted}):
        if more := given.get(action, set()) - wanted.get(action, set()):
            found.append(f"roles-do-their-own-work: {name} may {action} on {sorted(more)}")
        if less := wanted.get(action, set()) - given.get(action, set()):
            found.append(f"roles-can-do-their-work: {name} may not {action} on {sorted(less)}")
    return found


def _forbidden(name: str, given: Rights) -> list[str]:
    """What no list may allow: a mistake in roles.toml must not let a worker do the other's work."""
    patterns = EXPECTED["never"].get(name, []) + EXPECTED["never"]["anybody"]
    return [
        f"never: {name} may {action}"
        for action in sorted(given)
        # A wildcard covers what it matches and what it is matched by.
        if any(fnmatch.fnmatchcase(action, p) or fnmatch.fnmatchcase(p, action) for p in patterns)
    ]


def _unbounded(name: str, given: Rights) -> list[str]:
    """Only what AWS knows no resources for is allowed on every one, and roles.toml says why."""
    return [
        f"no-unbounded-rights: {name} may {action} on everything"
        for action, resources in sorted(given.items())
        if "*" in resources and action not in EXPECTED["unbounded"]
    ]
