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
