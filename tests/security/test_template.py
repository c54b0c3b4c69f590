"""The template as it would be deployed: nothing is open that ought to be closed, and no role has more than its work."""

from __future__ import annotations

import judges
import pytest
import rights
from rendering import EVERYTHING, OPTIONS, rendered

DEPLOYMENTS = {"nothing": {}, **OPTIONS, "everything": EVERYTHING}


@pytest.mark.parametrize("options", DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_each_role_has_the_rights_of_its_work_and_no_other(template, options):
    assert rights.findings(template, options) == []


def test_every_role_and_right_that_is_listed_exists(template):
    deployed = rendered(template, EVERYTHING)
    assert set(rights.EXPECTED["roles"]) == set(rights.roles(deployed))
    used = {action for role in rights.roles(deployed).values() for action in rights.rights(role)}
    assert set(rights.EXPECTED["unbounded"]) <= used
    assert set(rights.EXPECTED["never"]) - {"anybody"} <= set(rights.EXPECTED["roles"])


@pytest.mark.parametrize("options", DEPLOYMENTS.values(), ids=DEPLOYMENTS)
def test_routes_logs_bucket_and_queues_are_as_the_rules_ask(template, options, program):
    assert judges.guard(program, rendered(template, options)) == []


def test_each_schedule_starts_the_operation_whose_setting_names_it(template):
    """The function compares the whole ARN, so a schedule of another name or group would start nothing."""
    deployed = rendered(template, EVERYTHING)["Resources"]
    settings = deployed["StartSweep"]["Properties"]["Environment"]["Variables"]
    named = {name: value for name, value in settings.items() if name.endswith("_SCHEDULE_ARN")}
    place = "arn:${AWS::Partition}:scheduler:${AWS::Region}:${AWS::AccountId}:schedule"
    found = {}
    for schedule in deployed.values():
        if schedule["Type"] == "AWS::Scheduler::Schedule":
            properties = schedule["Properties"]
            name = properties["Name"]["Fn::Sub"]
            operation = name.removeprefix("${AWS::StackName}-").upper().replace("-", "_")
            arn = f"{place}/{properties.get('GroupName', 'default')}/{name}"
            found[f"JOBWARDEN_{operation}_SCHEDULE_ARN"] = {"Fn::Sub": arn}
            assert properties["Target"]["Arn"] == {"Fn::GetAtt": ["StartSweep", "Arn"]}
            assert "Input" not in properties["Target"], "the function reads the event that comes without one"
    assert named == found
    assert len(named) == 2
