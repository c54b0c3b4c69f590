"""Raw signed HTTP, for requests that boto3 refuses to make: what is sent is exactly what is written here."""

from __future__ import annotations

import dataclasses
import http.client
import json
import urllib.parse

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str | None:
        """The error's name, as an AWS client reads it from the header."""
        name = self.headers.get("x-amzn-errortype")
        return name.split(":")[0] if name else None

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return self.json.get("message", "")


class Wire:
    """One principal's raw access to the API."""

    def __init__(self, api_url: str, region: str, credentials: Credentials) -> None:
        self.url = urllib.parse.urlsplit(api_url)
        self.region = region
        self.credentials = credentials

    def send(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes | str | dict | None = None,
        headers: dict[str, str] | None = None,
        sign: bool = True,
    ) -> Answer:
        if isinstance(body, dict):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        target = self.url.path.rstrip("/") + path + (f"?{query}" if query else "")
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        if sign:
            request = AWSRequest(method, f"{self.url.scheme}://{self.url.netloc}{target}", headers, body)
            SigV4Auth(self.credentials, "execute-api", self.region).add_auth(request)
            headers = dict(request.headers.items())
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=60)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()
