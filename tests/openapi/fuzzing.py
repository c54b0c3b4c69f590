"""What Schemathesis has to know besides the document: how to sign, and what its two formats of ours mean."""

from __future__ import annotations

import os

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

schemathesis.openapi.format("status-detail", st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=1024))
units = st.sampled_from(["w", "d", "h", "m", "s"])
schemathesis.openapi.format("age", st.builds("{}{}".format, st.integers(0, 3650), units))
