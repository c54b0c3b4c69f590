"""Raw signed HTTP, for requests that boto3 refuses to make: what is sent is exactly what is written here."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import unittest.mock
import urllib.parse
from collections.abc import Iterator

import document
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

DOCUMENT = document.load()


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
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()
        DOCUMENT.check(method, path, answer.status, answer.headers, answer.body)
        return answer


@contextlib.contextmanager
def documented(api_url: str) -> Iterator[None]:
    """Has every answer of the API that a boto3 client gets compared with the document, for as long as this lasts."""
    send = URLLib3Session.send

    def checked(session: URLLib3Session, request: AWSPreparedRequest):
        response = send(session, request)
        if request.url.startswith(f"{api_url}/"):
            path = urllib.parse.urlsplit(request.url.removeprefix(api_url)).path
            DOCUMENT.check(request.method, path, response.status_code, dict(response.headers), response.content)
        return response

    with unittest.mock.patch.object(URLLib3Session, "send", checked):
        yield
