"""docs/only-deleters.scp.json: it leaves to the stack's roles what they need, and to nobody else."""

from __future__ import annotations

import fnmatch
import json
import pathlib
from typing import Any

import pytest
import rights
from rendering import EVERYTHING, ROOT, Template, rendered

TEXT = (ROOT / "docs" / "only-deleters.scp.json").read_text()
STATEMENTS = json.loads(TEXT)["Statement"]
LANE = "jobwarden-lane"
DEPLOYER = "jobwarden-deploy"


def arn(role: str) -> str:
    return f"arn:aws:iam::123456789012:role/{role}"


def named(logical: str) -> str:
    """How CloudFormation names a role that the template gives no name, in a stack named `jobwarden`."""
    return arn(f"jobwarden-{logical}-1A2B3C4D5E6F")


def roles_with(template: Template, action: str) -> set[str]:
    deployed = rights.roles(rendered(template, EVERYTHING))
    return {name for name, role in deployed.items() if action in rights.rights(role)}


def denied(action: str, resource: str, principal: str) -> bool:
    """Whether one of the statements denies this."""

    def matches(patterns: Any, value: str) -> bool:
        return any(fnmatch.fnmatchcase(value, pattern) for pattern in rights.listed(patterns))

    return any(
        matches(statement["Action"], action)
        and matches(statement["Resource"], resource)
        and not matches(statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"], principal)
        for statement in STATEMENTS
    )


def test_it_is_a_policy_of_denials_that_aws_takes():
    assert len(json.dumps(json.loads(TEXT), separators=(",", ":"))) <= 5120
    assert len({statement["Sid"] for statement in STATEMENTS}) == len(STATEMENTS)
    for statement in STATEMENTS:
        assert set(statement) == {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert statement["Effect"] == "Deny"
        assert statement["Sid"].isalnum()
        assert list(statement["Condition"]) == ["ArnNotLike"]
        assert list(statement["Condition"]["ArnNotLike"]) == ["aws:PrincipalArn"]


@pytest.mark.parametrize("action", ["iot:DeleteJobExecution", "iot:CancelJobExecution", "iot:DeleteJob"])
def test_who_needs_it_may_and_nobody_else(template, action):
    job = "arn:aws:iot:eu-west-1:123456789012:job/fw"
    needy = roles_with(template, action)
    assert needy
    for role in rights.roles(rendered(template, EVERYTHING)):
        assert denied(action, job, named(role)) is (role not in needy), role
    # A lane's role may, as docs/lane-role.yaml makes it by default; what a session may in it goes by its name.
    assert not denied(action, job, arn(LANE))
    assert f"Default: {LANE}\n" in pathlib.Path(ROOT / "docs" / "lane-role.yaml").read_text()
    for other in ("Admin", "jobwarden-operators", "jobwarden-force", DEPLOYER, "my-jobwarden-DeleteExpiredRole-x"):
        assert denied(action, job, arn(other)), other


def test_roles_have_the_names_that_it_knows_them_by(template):
    # CloudFormation shortens a name of more than 64 characters, and a name that the template gives is no pattern.
    for statement in STATEMENTS:
        for pattern in rights.listed(statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]):
            name = pattern.removeprefix("arn:*:iam::*:role/")
            if name in (LANE, DEPLOYER):
                continue
            logical = name.removeprefix("jobwarden-").removesuffix("-*")
            role = rendered(template, EVERYTHING)["Resources"][logical]
            assert role["Type"] == "AWS::IAM::Role"
            assert "RoleName" not in role["Properties"]
            assert len(name) + len("1A2B3C4D5E6F") <= 64


def test_nobody_becomes_one_of_them_but_by_a_deployment(template):
    for action in ("iam:PutRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:CreateRole", "iam:PassRole"):
        for role in rights.roles(rendered(template, EVERYTHING)):
            assert denied(action, named(role), arn("Admin"))
            assert not denied(action, named(role), arn(DEPLOYER))
        assert denied(action, arn(LANE), arn("Admin"))


def test_functions_are_changed_by_a_deployment_and_invoked_by_schedules_only(template):
    functions = [
        n for n, r in rendered(template, EVERYTHING)["Resources"].items() if r["Type"] == "AWS::Lambda::Function"
    ]
    for function in functions:
        its_arn = f"arn:aws:lambda:eu-west-1:123456789012:function:jobwarden-{function}-1A2B3C4D5E6F"
        assert denied("lambda:UpdateFunctionCode", its_arn, arn("Admin"))
        assert not denied("lambda:UpdateFunctionCode", its_arn, arn(DEPLOYER))
        assert denied("lambda:InvokeFunction", its_arn, arn("Admin"))
        assert denied("lambda:InvokeFunction", its_arn, arn("jobwarden-force"))
        assert not denied("lambda:InvokeFunction", its_arn, named("SchedulerRole"))
