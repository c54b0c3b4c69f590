"""A server that answers every request alike and remembers what it was sent."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import threading
from collections.abc import Iterator, Mapping


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@contextlib.contextmanager
def listening(
    status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Iterator[tuple[str, list[Request]]]:
    """Its address, and what it has seen so far. The names of headers are in lower case."""
    seen: list[Request] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            seen.append(Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
