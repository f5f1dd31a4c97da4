"""The server: what the page asks for, by address. It reads the model and its run folder, and writes no file.

=================================  =================================================================================
``GET /``, ``GET /static/NAME``    the page and its parts
``GET /about``                     what the model can do
``GET /image?SETTINGS``            one image as PNG; ``/saved.png?SETTINGS`` has the settings inside
``GET /near?of=SETTINGS``          3 x 3 images around one, as one PNG
``GET /run``                       grids of samples and curves of the run; ``/run/N.png`` is one grid
``POST /styles``                   keep the styles of a link
``POST /jobs/film``, ``project``,  begin a long work; ``/jobs/ID``, ``/jobs/ID/picture`` and ``/jobs/ID/stop`` go on
``tune``, ``drag``
=================================  =================================================================================
"""

import asyncio
import contextlib
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ganzoo.disk.documents import parse_json, require_fields
from ganzoo.errors import UserError, printable
from ganzoo.explore import moving, work
from ganzoo.explore.engine import Engine, neighbours
from ganzoo.explore.guard import POLICY, refusal
from ganzoo.explore.history import History
from ganzoo.explore.jobs import Jobs
from ganzoo.explore.pictures import MOST_UPLOADED, png, uploaded
from ganzoo.explore.settings import LARGEST_SEED, parse, to_query
from ganzoo.explore.turns import Stale, Turns
from ganzoo.latent.projection import Distance, Prepared
from ganzoo.latent.saved import digest
from ganzoo.latent.tuning import TuningConfig

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MOST_TEXT = 2**20
"""Largest number of bytes of a request that is no picture."""
LONGEST_HEADERS = 2**17
Endpoint = Callable[[Request], Awaitable[Response]]


class Site:
    """The answers to a browser."""

    def __init__(
        self, engine: Engine, history: History | None = None, distance: Distance | Prepared | None = None
    ) -> None:
        """Take what is answered about: a model, its run, and the distance of pictures; None: that of pixels."""
        self.engine, self.history, self.distance = engine, history, distance
        self.turns, self.jobs = Turns(), Jobs()
        self.about = {**engine.about(), "weights": digest(engine.sampler), "run": history is not None}
        self._files = {file.name: file.read_bytes() for file in STATIC.iterdir() if file.suffix in TYPES}

    def app(self, host: str) -> Callable[..., Awaitable[None]]:
        """Return the application of a server that was started with this address."""
        routes = [
            ("GET", "/", self.page),
            ("GET", "/static/{name}", self.static),
            ("GET", "/about", self.tell_about),
            ("GET", "/image", self.image),
            ("GET", "/saved.png", self.saved),
            ("GET", "/near", self.near),
            ("GET", "/run", self.run),
            ("GET", "/run/{images:int}.png", self.grid),
            ("POST", "/styles", self.styles),
            ("POST", "/jobs/film", self.film),
            ("POST", "/jobs/project", self.project),
            ("POST", "/jobs/tune", self.tune),
            ("POST", "/jobs/drag", self.drag),
            ("GET", "/jobs/{job}", self.job),
            ("GET", "/jobs/{job}/picture", self.picture),
            ("POST", "/jobs/{job}/stop", self.stop),
        ]
        found = [Route(path, answering(endpoint), methods=[method]) for method, path, endpoint in routes]
        return guarded(Starlette(routes=found), host)

    # the page

    async def page(self, request: Request) -> Response:
        return Response(self._files["index.html"], media_type=TYPES[".html"])

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            return Response("there is no such file", 404)
        return Response(self._files[name], media_type=TYPES[Path(name).suffix])

    async def tell_about(self, request: Request) -> Response:
        return as_json(self.about)

    # images

    async def image(self, request: Request) -> Response:
        settings = parse(request.url.query)
        return as_png(await self._taken(request, "image", lambda: png(self.engine.images([settings])[0])))

    async def saved(self, request: Request) -> Response:
        settings = parse(request.url.query)
        about = {"settings": to_query(settings), "model": self.engine.gan.name, "weights": self.about["weights"]}
        content = await self._taken(request, "saved", lambda: png(self.engine.images([settings])[0], about))
        name = f"{self.engine.gan.name}-seed{settings.seed}.png"
        return as_png(content, {"Content-Disposition": f'attachment; filename="{name}"'})

    async def near(self, request: Request) -> Response:
        query = given(request, "of", "plane", "step")
        plane = whole(query, "plane", 0, LARGEST_SEED)
        try:
            step = float(query.get("step", "0.3"))
        except ValueError:
            raise UserError(f"step = {printable(query['step'])}: must be a number") from None
        around = neighbours(parse(query.get("of", "")), plane, min(max(step, 0.001), 10.0))
        return as_png(await self._taken(request, "near", lambda: png(work.strip(self.engine.images(around), 3))))

    async def _taken(self, request: Request, kind: str, made: Callable[[], bytes]) -> bytes:
        return await self.turns.take(visitor(request), kind, made)

    # the run

    async def run(self, request: Request) -> Response:
        history = self._history()
        return as_json({"samples": history.samples(), "curves": history.curves()})

    async def grid(self, request: Request) -> Response:
        return as_png(self._history().grid(request.path_params["images"]))

    def _history(self) -> History:
        if self.history is None:
            raise UserError("this model is no run folder, so it has no history")
        return self.history

    # works

    async def styles(self, request: Request) -> Response:
        space = self.engine.sampler.require_styles("styles")
        text = (await body(request, MOST_TEXT)).decode("ascii", "replace")
        ws = work.unpacked(text, (space.count, len(self.engine.mean)))
        return as_json({"styles": self.engine.keep_styles(ws)})

    async def film(self, request: Request) -> Response:
        kinds = {"settings": str, "frames": int, "fps": int}
        asked = require_fields(parse_json(await body(request, MOST_TEXT)), kinds, kinds)
        settings = parse(asked["settings"])
        return self._begun(request, work.film(self.engine, settings, asked["frames"], asked["fps"]))

    async def project(self, request: Request) -> Response:
        query = given(request, "settings", "steps")
        picture = uploaded(await body(request, MOST_UPLOADED), self.engine.gan.image_shape)
        steps = whole(query, "steps", 300, work.MOST_STEPS)
        settings = parse(query.get("settings", ""))
        return self._begun(request, work.projection(self.engine, picture, settings, steps, self.distance))

    async def tune(self, request: Request) -> Response:
        query = given(request, "styles", "steps")
        picture = uploaded(await body(request, MOST_UPLOADED), self.engine.gan.image_shape)
        steps = whole(query, "steps", TuningConfig().steps, work.MOST_STEPS)
        begun = work.tuning(self.engine, picture, query.get("styles", ""), steps, self.distance)
        return self._begun(request, begun)

    async def drag(self, request: Request) -> Response:
        kinds = {"settings": str, "handles": list, "targets": list, "mask": str, "steps": int, "rate": (int, float)}
        asked = require_fields(parse_json(await body(request, 2 * MOST_TEXT)), kinds, kinds)
        wished = moving.wish(asked, self.engine.gan.image_shape)
        return self._begun(request, await asyncio.to_thread(moving.dragging, self.engine, wished))

    def _begun(self, request: Request, begun: Callable[..., None]) -> Response:
        return as_json(self.jobs.start(visitor(request), begun).shown())

    async def job(self, request: Request) -> Response:
        return as_json(self.jobs.find(request.path_params["job"]).shown())

    async def picture(self, request: Request) -> Response:
        content = self.jobs.find(request.path_params["job"]).picture
        kind = "image/webp" if content[:4] == b"RIFF" else "image/png"
        return Response(content, 200 if content else 404, media_type=kind)

    async def stop(self, request: Request) -> Response:
        job = self.jobs.find(request.path_params["job"])
        job.wants_stop.set()
        return as_json(job.shown())


def answering(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint with bad input answered by one message, and a dropped request by 409."""

    async def answer(request: Request) -> Response:
        try:
            if request.method == "POST":
                visitor(request)
            return await endpoint(request)
        except Stale:
            return as_json({"stale": True}, 409)
        except UserError as error:
            return as_json({"error": str(error)}, 400)

    return answer


def guarded(app: Callable[..., Awaitable[None]], host: str) -> Callable[..., Awaitable[None]]:
    """Return an application that refuses what ``guard.refusal`` does, and puts ``guard.POLICY`` into every answer."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        why = refusal(scope["method"], scope["path"], headers, host)

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.lower().encode(), value.encode()) for name, value in POLICY.items()]
                message = {**message, "headers": [*message["headers"], *ours]}
            await send(message)

        await (as_json({"error": why}, 403) if why else app)(scope, receive, sent)

    return answer


# Requests and answers -----------------------------------------------------------------------------------------------


def visitor(request: Request) -> str:
    """Return the name that a page gave itself; a new one for a request without."""
    name = request.headers.get("x-visitor", "")
    if request.method == "POST" and not name:  # which no form or picture of another page can send
        raise UserError("the header X-Visitor is missing; use the page")
    return name[:40] or secrets.token_hex(8)


def given(request: Request, *names: str) -> dict[str, str]:
    """Return the parts of the query; ``UserError`` for another name."""
    query = dict(parse_qsl(request.url.query, keep_blank_values=True))
    for name in query:
        if name not in names:
            raise UserError(f"unknown {printable(name, 40)!r}; known: {', '.join(names)}")
    return query


def whole(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Return a whole number of the query; ``UserError`` where it is none, or too large."""
    text = query.get(name, str(default))
    if not text.isdecimal() or not text.isascii() or len(text) > 10 or int(text) > most:
        raise UserError(f"{name} = {printable(text, 40)}: must be a whole number from 0 to {most:,}")
    return int(text)


async def body(request: Request, most: int) -> bytes:
    """Return the content of a request; ``UserError`` as soon as it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise UserError(f"more than {most // 2**20} MB; choose a smaller file")
        parts.append(part)
    return b"".join(parts)


def as_json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")


def as_png(content: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, media_type="image/png", headers=headers)


# Serving ------------------------------------------------------------------------------------------------------------


def opened(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes any that is free. ``UserError`` where that fails."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot listen at {host}:{port} ({reason}); give another --port, or another --host") from error


def serve(site: Site, host: str, listening: socket.socket) -> None:
    """Answer until Ctrl-C."""
    import uvicorn

    print("compiling ...", flush=True)
    site.engine.warm_up(1)
    port = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(f"{site.engine.gan} -> http://{shown}:{port}   (Ctrl-C ends it)", flush=True)
    threading.Thread(target=_prepare, args=(site.engine,), daemon=True, name="warm-up").start()
    config = uvicorn.Config(
        site.app(host), log_level="warning", access_log=False, lifespan="off", ws="none", http="h11",
        server_header=False, h11_max_incomplete_event_size=LONGEST_HEADERS, timeout_graceful_shutdown=1,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


def _prepare(engine: Engine) -> None:
    """Make what the first use of a grid or a direction would wait for."""
    with contextlib.suppress(UserError, RuntimeError):  # what fails here fails again, with a message, when it is used
        engine.warm_up(engine.sampler.batch)
        if engine.space:
            _ = engine.principal, engine.modulates and engine.closed.shape
