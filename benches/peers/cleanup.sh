#!/usr/bin/env bash
# The AWS CLI in a loop: deletes up to $1 executions that succeeded more than 30 days ago, and says how many seconds that
# took once they were listed. Each call starts the CLI anew.
set -euo pipefail

most=$1
# The AWS CLI of version 1 gives times as AWS does, in seconds.
before=$(date --date '30 days ago' +%s)

due() {
  local job
  for job in $(aws iot list-jobs --query "jobs[?!starts_with(jobId, 'keep-')].jobId" --output text); do
    aws iot list-job-executions-for-job --job-id "$job" --status SUCCEEDED --output text \
      --query "executionSummaries[?jobExecutionSummary.lastUpdatedAt<\`$before\`].[thingArn,jobExecutionSummary.executionNumber]" |
      sed "s/^/$job\t/"
  done
}

listed=$(due)
began=$(date +%s.%N)
while read -r job arn number; do
  [ "$most" -gt 0 ] || break
  aws iot delete-job-execution --job-id "$job" --thing-name "${arn#*:thing/}" --execution-number "$number"
  most=$((most - 1))
done <<<"$listed"
awk "BEGIN { print $(date +%s.%N) - $began }"
