"""A clean-up script as fleets have them: lists job executions, filters by age, deletes with threads.

    python cleanup.py [--threads 64] [--retries standard|adaptive] [--dry-run] [--most N]

It keeps the times of Jobwarden's shipped rules, passes over jobs named keep-*, and tries what failed after boto3's own
retries again, for as long as anything goes through. It archives nothing, decides nothing, and knows no limit on what it
deletes.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

KEPT_DAYS = {"SUCCEEDED": 30, "REMOVED": 30, "CANCELED": 30, "FAILED": 90, "TIMED_OUT": 90, "REJECTED": 90}
ATTEMPTS = 10

Due = tuple[str, str, int]


class Cleanup:
    def __init__(self, threads: int, retries: str) -> None:
        # One client for all threads, and a connection for each: both are what boto3 advises.
        config = Config(retries={"mode": retries, "max_attempts": ATTEMPTS}, max_pool_connections=threads)
        self.iot = boto3.client("iot", config=config)
        self.threads = threads
        self.now = datetime.now(timezone.utc)
        self.counts: Counter[str] = Counter()

    def jobs(self) -> Iterator[str]:
        """The jobs that are old enough to have something due."""
        youngest = self.now - timedelta(days=min(KEPT_DAYS.values()))
        for page in self.iot.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": 250}):
            for job in page["jobs"]:
                if job["createdAt"] < youngest and not job["jobId"].startswith("keep-"):
                    yield job["jobId"]

    def due(self, job_id: str) -> list[Due]:
        """What is due of a job: all of it before the first deletion, which would move the pages."""
        found = []
        pages = self.iot.get_paginator("list_job_executions_for_job")
        for page in pages.paginate(jobId=job_id, PaginationConfig={"PageSize": 250}):
            for row in page["executionSummaries"]:
                self.counts["seen"] += 1
                summary = row["jobExecutionSummary"]
                days = KEPT_DAYS.get(summary["status"])
                if days is not None and self.now - summary["lastUpdatedAt"] >= timedelta(days=days):
                    thing_name = row["thingArn"].split(":thing/", 1)[1]
                    found.append((job_id, thing_name, summary["executionNumber"]))
        self.counts["due"] += len(found)
        return found

    def delete(self, due: Due) -> str:
        job_id, thing_name, number = due
        try:
            self.iot.delete_job_execution(jobId=job_id, thingName=thing_name, executionNumber=number)
        except self.iot.exceptions.ResourceNotFoundException:
            return "gone"
        except self.iot.exceptions.InvalidStateTransitionException:
            return "notEligible"
        except (self.iot.exceptions.ClientError, BotoCoreError):
            return "failed"
        return "deleted"

    def run(self, dry_run: bool, most: int | None) -> None:
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            for job_id in self.jobs():
                left = self.due(job_id)[: None if most is None else most - self.counts["deleted"]]
                if dry_run:
                    continue
                while left:
                    outcomes = list(pool.map(self.delete, left))
                    self.counts.update(outcomes)
                    left = [due for due, outcome in zip(left, outcomes, strict=True) if outcome == "failed"]
                    if len(left) == len(outcomes):
                        break
                self.counts["left"] += len(left)
                if most is not None and self.counts["deleted"] >= most:
                    break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--retries", choices=("standard", "adaptive"), default="standard")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--most", type=int, help="stop after so many deletions")
    options = parser.parse_args()
    began = time.monotonic()
    cleanup = Cleanup(options.threads, options.retries)
    cleanup.run(options.dry_run, options.most)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told: dict[str, Any] = {
        **cleanup.counts,
        "seconds": time.monotonic() - began,
        "cpuSeconds": usage.ru_utime + usage.ru_stime,
        "peakKilobytes": peak(),
    }
    print(json.dumps(told))


def peak() -> int:
    """The largest that the process has been, in kilobytes of 1,024 bytes."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
