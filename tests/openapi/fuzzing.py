"""What Schemathesis has to know besides the document: how to sign, and what its two formats of ours mean."""

from __future__ import annotations

import os
from typing import Any

import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import strategies as st
from requests import PreparedRequest
from requests.auth import AuthBase


class SignedForApiGateway(AuthBase):
    """Signs as a client of AWS does, with the credentials of the environment."""

    def __init__(self) -> None:
        keys = (os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
        self.signer = SigV4Auth(Credentials(*keys), "execute-api", os.environ["AWS_REGION"])

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        signed = AWSRequest(request.method, request.url, {"host": request.url.split("/")[2]}, request.body)
        self.signer.add_auth(signed)
        request.headers.update(signed.headers.items())
        return request


schemathesis.auth.set_from_requests(SignedForApiGateway())

printable = st.characters(exclude_categories=["C"])
schemathesis.openapi.format("status-detail", st.text(printable, min_size=1, max_size=1024))
units = st.sampled_from(["w", "d", "h", "min", "s"])
schemathesis.openapi.format("age", st.builds("{}{}".format, st.integers(0, 3650), units))


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Writes 7.0, which JSON Schema takes for a whole number, as 7: the document says how one is written."""
    if isinstance(body, dict):
        return {name: map_body(context, value) for name, value in body.items()}
    if isinstance(body, list):
        return [map_body(context, value) for value in body]
    return int(body) if isinstance(body, float) and body.is_integer() else body
