"""The fleet's story is worth comparing sweeps with: it reaches every state and leaves no row in doubt."""

from __future__ import annotations

import collections

from fleet import CANCEL_QUEUED_AFTER_DAYS, RETENTION_DAYS, expected, observe, story
from world import STATES


def test_the_story_reaches_every_state_on_both_sides_of_its_limit():
    fleet = expected(*story())
    assert set(fleet.by_status()) == set(STATES)
    assert set(fleet.by_status(fleet.deletable())) == set(RETENTION_DAYS)
    kept = fleet.by_status(fleet.kept())
    assert kept["SUCCEEDED"] and kept["FAILED"] and kept["CANCELED"]
    assert fleet.past_retention() != fleet.deletable(), "something past its retention is protected"
    assert fleet.cancelable()
    assert fleet.waiting_too_long() != fleet.cancelable()


def test_no_row_is_within_half_a_day_of_its_limit():
    for e in expected(*story()).executions:
        limit = CANCEL_QUEUED_AFTER_DAYS if e.status == "QUEUED" else RETENTION_DAYS.get(e.status)
        age = e.queued_days if e.status == "QUEUED" else e.updated_days
        assert limit is None or abs(age - limit) >= 0.5, e


def test_the_emulator_lived_the_story(world, fleet):
    assert observe(world.iot) == {e.key: e.status for e in fleet.executions}
    now = collections.Counter()
    for e in fleet.executions[::25]:
        row = world.iot.describe_job_execution(jobId=e.job, thingName=e.thing, executionNumber=e.number)["execution"]
        days = (row["lastUpdatedAt"] - row["queuedAt"]).total_seconds() / 86400
        assert abs(days - (e.queued_days - e.updated_days)) < 0.05, e
        now[e.status] += 1
    assert now
