"""POST /decisions on the deployed stack: what is said is what comes, and nothing is done."""

from __future__ import annotations

import pytest
from world import STATES

ACTIONS = ("CancelJobExecution", "DeleteJobExecution")


def ask(caller, **body) -> dict:
    answer = caller.wire.send("POST", "/decisions", body=body)
    assert answer.status == 200, answer
    return answer.json


def about(m, action: str) -> dict:
    number = {"executionNumber": m.number} if action == "DeleteJobExecution" else {}
    return {"action": action, "jobId": m.job, "thingName": m.thing, **number}


def test_what_is_said_is_what_comes(world, operator, force):
    for action in ACTIONS:
        for caller in (operator, force):
            for m, status in zip(world.executions(list(STATES)), STATES, strict=True):
                said = ask(caller, **about(m, action), force=caller is force)
                assert world.status(m) == status
                iot = caller.boto3()
                act = iot.cancel_job_execution if action == "CancelJobExecution" else iot.delete_job_execution
                arguments = m.cancel if action == "CancelJobExecution" else m.delete
                try:
                    act(**arguments, force=caller is force)
                except iot.exceptions.ClientError as error:
                    assert said["result"] == "wouldRefuse", (status, said, error)
                    told = error.response["Error"]
                    assert (said["error"]["__type"], said["error"]["message"]) == (told["Code"], told["Message"])
                else:
                    assert said["result"] == f"would{action[:6]}", (status, said)


@pytest.mark.parametrize("status", STATES)
def test_a_made_up_execution_is_decided_on_without_a_job(status, operator):
    said = ask(operator, action="CancelJobExecution", status=status, execution={"jobTags": {"jobwarden:hold": "x"}})
    assert said["hypothetical"] is True
    assert [policy["id"] for policy in said["decision"]["policies"]] == ["held-jobs-are-untouchable"]


def test_somebody_in_no_group_may_not_ask(world, nobody):
    m = world.execution()
    for body in (about(m, "CancelJobExecution"), {"action": "DeleteJobExecution", "status": "FAILED"}):
        answer = nobody.wire.send("POST", "/decisions", body=body)
        assert (answer.status, answer.error) == (403, "AccessDeniedException")
        assert "ReadDecision: no policy permits it" in answer.json["message"]
