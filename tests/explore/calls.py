"""Requests to a site without a browser and without a socket."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1:7860"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


async def call(app, method: str, target: str, content: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """Send one request to an ASGI application, and collect its answer."""
    path, _, query = target.partition("?")
    given = {"host": HOST, **({"x-visitor": "a"} if method == "POST" else {}), **(headers or {})}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860),
    }  # fmt: skip
    parts = [content[first : first + 65_536] for first in range(0, len(content), 65_536)] or [b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if parts:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *bodies = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(each.get("body", b"") for each in bodies))


class Browser:
    """One visitor, who waits for every answer."""

    def __init__(self, app, name: str = "a") -> None:
        self.app, self.name = app, name

    def get(self, target: str, **headers: str) -> Answer:
        return asyncio.run(call(self.app, "GET", target, headers={"x-visitor": self.name, **_dashed(headers)}))

    def post(self, target: str, content: bytes = b"", **headers: str) -> Answer:
        return asyncio.run(call(self.app, "POST", target, content, {"x-visitor": self.name, **_dashed(headers)}))


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
