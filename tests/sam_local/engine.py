"""Finds a Docker engine and the functions' base image, or says in a sentence why there is none."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from urllib.parse import quote, urlsplit

DEFAULT_HOST = "unix:///var/run/docker.sock"


class NoEngineError(Exception):
    """Why no container can be run here."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _call(method: str, path: str, timeout: float = 10) -> tuple[int, bytes]:
    host = urlsplit(os.environ.get("DOCKER_HOST", DEFAULT_HOST))
    if host.scheme == "unix":
        connection: http.client.HTTPConnection = _UnixConnection(host.path, timeout)
    else:
        connection = http.client.HTTPConnection(host.hostname or "localhost", host.port or 2375, timeout=timeout)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def require(image: str) -> None:
    """Makes sure that an engine answers and has the image, which may be pulled."""
    try:
        status, answer = _call("GET", "/_ping")
    except OSError as error:
        where = os.environ.get("DOCKER_HOST", DEFAULT_HOST)
        raise NoEngineError(f"no Docker engine answers at {where}: {error.strerror or error}") from error
    if status != 200:
        raise NoEngineError(f"the Docker engine answers {status}: {answer[:200].decode(errors='replace')}")
    if _call("GET", f"/images/{quote(image, safe='')}/json")[0] == 200:
        return
    name, tag = image.rsplit(":", 1)
    try:
        status, answer = _call("POST", f"/images/create?fromImage={quote(name, safe='')}&tag={tag}", timeout=300)
    except OSError as error:
        raise NoEngineError(f"the image {image} is not here and cannot be pulled: {error}") from error
    if _call("GET", f"/images/{quote(image, safe='')}/json")[0] != 200:
        raise NoEngineError(f"the image {image} is not here and cannot be pulled: {_last_error(answer) or status}")


def _last_error(answer: bytes) -> str:
    for line in reversed(answer.decode(errors="replace").splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if message := said.get("error") or said.get("message"):
            return str(message)
    return ""


def address() -> str:
    """An address of this machine that containers reach: that of the bridge's gateway, if it is one of ours."""
    status, answer = _call("GET", "/networks/bridge")
    gateways = [config.get("Gateway") for config in json.loads(answer)["IPAM"]["Config"] or []] if status == 200 else []
    bridge = json.loads(answer).get("Options", {}).get("com.docker.network.bridge.name", "docker0") if gateways else ""
    candidates = [gateway for gateway in gateways if gateway] or _addresses(bridge)
    for candidate in candidates:
        with socket.socket() as probe:
            try:
                probe.bind((candidate, 0))
            except OSError:
                continue
            return candidate
    raise NoEngineError("the engine's bridge is not on this machine, so that containers cannot reach the emulator")


def _addresses(interface: str) -> list[str]:
    shown = subprocess.run(
        ["ip", "-4", "-json", "address", "show", "dev", interface], capture_output=True, text=True, check=False
    )
    if shown.returncode != 0:
        return []
    return [info["local"] for link in json.loads(shown.stdout) for info in link.get("addr_info", [])]
