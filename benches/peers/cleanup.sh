#!/usr/bin/env bash
# The AWS CLI in a loop: deletes up to $1 executions that succeeded more than 30 days ago. Each call starts the CLI anew.
set -euo pipefail

most=$1
# The AWS CLI of version 1 gives times as AWS does, in seconds.
before=$(date --date '30 days ago' +%s)
deleted=0
for job in $(aws iot list-jobs --query "jobs[?!starts_with(jobId, 'keep-')].jobId" --output text); do
  while read -r arn number; do
    [ -n "$arn" ] && [ "$arn" != None ] || continue
    aws iot delete-job-execution --job-id "$job" --thing-name "${arn#*:thing/}" --execution-number "$number"
    deleted=$((deleted + 1))
    [ "$deleted" -lt "$most" ] || exit 0
  done < <(aws iot list-job-executions-for-job --job-id "$job" --status SUCCEEDED --max-items "$((4 * most))" --output text \
    --query "executionSummaries[?jobExecutionSummary.lastUpdatedAt<\`$before\`].[thingArn,jobExecutionSummary.executionNumber]")
done
