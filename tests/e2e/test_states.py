"""Every state of an execution against every operation, as the principal who may do all of it."""

from __future__ import annotations

import pytest
from fleet import identity
from world import ACTIVE, STATES

# What each operation leaves: the status afterwards, None for gone, or the exception raised.
CONFLICT = "InvalidStateTransitionException"


def outcome(state: str, operation: str) -> str | None:
    """The table of the service's reference, with the product's two decisions where the reference is unsettled:
    deleting what is active needs force, and a forced delete of it cancels, archives and deletes."""
    table = {
        "QUEUED": {"cancel": "CANCELED", "cancel force": "CANCELED", "delete": CONFLICT, "delete force": None},
        "IN_PROGRESS": {"cancel": CONFLICT, "cancel force": "CANCELED", "delete": CONFLICT, "delete force": None},
    }
    terminal = {"cancel": CONFLICT, "cancel force": CONFLICT, "delete": None, "delete force": None}
    return table.get(state, terminal)[operation]


OPERATIONS = ("cancel", "cancel force", "delete", "delete force")


@pytest.fixture(scope="module")
def made(world):
    """All thirty-two executions at once: the ones that time out share one excursion into the past."""
    cases = [(state, operation) for state in STATES for operation in OPERATIONS]
    return dict(zip(cases, world.executions([state for state, _ in cases]), strict=True))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("state", STATES)
def test_state_and_operation(state, operation, made, world, force):
    m = made[state, operation]
    before = world.describe(m)
    assert before["status"] == state
    iot = force.boto3()
    verb, *flag = operation.split()
    arguments = {**(m.cancel if verb == "cancel" else m.delete), "force": bool(flag)}
    call = iot.cancel_job_execution if verb == "cancel" else iot.delete_job_execution

    wanted = outcome(state, operation)
    if wanted == CONFLICT:
        with pytest.raises(iot.exceptions.InvalidStateTransitionException) as raised:
            call(**arguments)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
        assert world.describe(m) == before, "a refused call must leave the execution exactly as it was"
        return
    call(**arguments)
    assert world.status(m) == wanted
    if verb == "cancel":
        assert world.describe(m)["versionNumber"] == before["versionNumber"] + 1
    else:
        records = [r for r in world.archived("api") if identity(r) == (m.job, m.thing, m.number)]
        assert len(records) == 1, "a deleted execution is in the archive, once"
        # What was active is archived as the cancelled execution it was when it was deleted.
        archived = records[0]["execution"]
        assert archived["status"] == ("CANCELED" if state in ACTIVE else state)
