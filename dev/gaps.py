"""Applies what the emulator's CloudFormation leaves out of a template, by the calls that CloudFormation makes.

The emulator knows gateway responses, lifecycle rules and reserved concurrency, and acts by the first and the
last, but deploying a template does not set them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"


def close(template: Mapping[str, Any], ids: Mapping[str, str], parameters: Mapping[str, str], client: Any) -> None:
    """Sets what is missing. `template` is the processed one, `ids` the physical ids by logical id, `parameters`
    the effective ones, and `client` makes a boto3 client of a service."""
    for logical_id, resource in template["Resources"].items():
        if logical_id not in ids:
            # A condition has left it out.
            continue
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::ApiGateway::RestApi":
            _gateway_responses(client("apigateway"), ids[logical_id], properties["Body"][GATEWAY_RESPONSES])
        elif resource["Type"] == "AWS::S3::Bucket":
            _lifecycle(client("s3"), ids[logical_id], properties["LifecycleConfiguration"]["Rules"], parameters)
        elif "ReservedConcurrentExecutions" in properties and parameters["ReserveConcurrency"] == "true":
            _condition, reserved, _otherwise = properties["ReservedConcurrentExecutions"]["Fn::If"]
            if isinstance(reserved, Mapping):
                _condition, with_lanes, without = reserved["Fn::If"]
                reserved = with_lanes if parameters["Lanes"] else without
            client("lambda").put_function_concurrency(
                FunctionName=ids[logical_id], ReservedConcurrentExecutions=reserved
            )


def _gateway_responses(apigateway: Any, api: str, responses: Mapping[str, Any]) -> None:
    for kind, response in responses.items():
        apigateway.put_gateway_response(
            restApiId=api,
            responseType=kind,
            statusCode=str(response["statusCode"]),
            responseParameters=dict(response["responseParameters"]),
            responseTemplates=dict(response["responseTemplates"]),
        )
    for stage in apigateway.get_stages(restApiId=api)["item"]:
        apigateway.create_deployment(restApiId=api, stageName=stage["stageName"])


def _lifecycle(s3: Any, bucket: str, rules: list[Mapping[str, Any]], parameters: Mapping[str, str]) -> None:
    def days(value: Any) -> int:
        return int(parameters[value["Ref"]] if isinstance(value, Mapping) else value)

    def rule(given: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {
            "ID": given["Id"],
            "Status": given["Status"],
            "Filter": {"Prefix": given.get("Prefix", "")},
        }
        if "ExpirationInDays" in given:
            made["Expiration"] = {"Days": days(given["ExpirationInDays"])}
        if "ExpiredObjectDeleteMarker" in given:
            made["Expiration"] = {"ExpiredObjectDeleteMarker": given["ExpiredObjectDeleteMarker"]}
        if "NoncurrentVersionExpiration" in given:
            noncurrent = given["NoncurrentVersionExpiration"]["NoncurrentDays"]
            made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days(noncurrent)}
        if "AbortIncompleteMultipartUpload" in given:
            made["AbortIncompleteMultipartUpload"] = dict(given["AbortIncompleteMultipartUpload"])
        return made

    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule(given) for given in rules]}
    )
