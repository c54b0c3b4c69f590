"""Makes a boto3 `iot` client sign the way API Gateway wants it: with `execute-api` in the scope.

    import boto3
    from jobwarden_client import sign_for_api_gateway

    iot = sign_for_api_gateway(boto3.client("iot", endpoint_url=API_URL))
    iot.cancel_job_execution(thingName="pump-7", jobId="firmware-1-6-0", expectedVersion=2)

It touches the one client it is given; every other client keeps signing for AWS IoT itself.
"""


def sign_for_api_gateway(client, dry_run=False):
    """Returns the same client; with `dry_run` its requests decide and report, and act on nothing."""
    handler = _for_a_dry_run if dry_run else _for_execute_api
    client.meta.events.register("before-sign.iot", handler, unique_id="jobwarden")
    return client


def _for_execute_api(request, **_):
    request.context.setdefault("signing", {})["signing_name"] = "execute-api"


def _for_a_dry_run(request, **_):
    _for_execute_api(request)
    # A retry signs the same request again.
    if "dryRun=true" not in request.url:
        request.url += ("&" if "?" in request.url else "?") + "dryRun=true"
