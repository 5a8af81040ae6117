"""The page at `/`: type, hear it at once, and see what happens. Its files are static and speak the public protocols.

Beside them stands `/v1/voices/{name}/blocks.svg`, a voice's blocks as a picture, which is of use without the page too.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from weakref import WeakKeyDictionary

from fastapi import APIRouter, HTTPException
from fastapi import Path as PathParameter
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from polyvox import __version__, pictures
from polyvox.pictures import tree
from polyvox.service.engine import Engine
from polyvox.service.errors import Unauthorised, UnknownVoice
from polyvox.service.keys import Keys, bearer
from polyvox.service.openai import errors
from polyvox.service.settings import Settings
from polyvox.voice import Voice

FOLDER = Path(__file__).parent / "page"
INDEX = "index.html"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""What the page may load: nothing from another host, and no script or style that does not come as a file."""

PICTURE_POLICY = "default-src 'none'; sandbox"


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    media_type: str
    tag: str

    @classmethod
    def read(cls, path: Path) -> _File:
        data = path.read_bytes()
        return cls(data, MEDIA_TYPES[path.suffix], f'"{hashlib.sha256(data).hexdigest()[:32]}"')

    def answer(self, request: HttpRequest) -> Response:
        headers = {"etag": self.tag, "cache-control": "no-cache", "content-security-policy": POLICY}
        if self.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.data, media_type=self.media_type, headers=headers)


def router(engine: Engine, settings: Settings, keys: Keys) -> APIRouter:
    """`/`, what it loads from `/page/`, and the pictures of voices. Without `settings.page`, the pictures alone."""
    routes = APIRouter()
    drawings = _Pictures()

    @routes.get(
        "/v1/voices/{name}/blocks.svg",
        tags=["voices"],
        operation_id="blocks",
        summary="The blocks of a voice, drawn",
        response_class=Response,
        responses={
            200: {"description": "A picture", "content": {"image/svg+xml": {"schema": {"type": "string"}}}},
            **errors(400, 401, 404, 503),
        },
    )
    async def blocks(
        name: Annotated[str, PathParameter(max_length=200, description="A name, an alias or `name@version`.")],
    ) -> Response:
        """The blocks of a voice and of its vocoder, with shapes and networks. Loads the voice if that is needed."""
        async with engine.shelf.borrow(name) as held:
            data = await run_in_threadpool(drawings.of, held.voice)
        headers = {"content-security-policy": PICTURE_POLICY, "cache-control": "private, no-cache"}
        return Response(data, media_type="image/svg+xml; charset=utf-8", headers=headers)

    if not settings.page:
        return routes
    # Read once: no request ever names a path of the host.
    files = {path.name: _File.read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}

    @routes.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: HttpRequest) -> Response:
        return files[INDEX].answer(request)

    @routes.get("/page/about.json", include_in_schema=False)
    async def about(request: HttpRequest) -> JSONResponse:
        """What the page must know before it has a key; to one that has one, also who speaks unless asked otherwise."""
        facts = {"version": __version__, "key": keys.required, "characters": settings.limits.text}
        with suppress(Unauthorised, UnknownVoice):
            keys.who(bearer(request.headers.get("authorization")))
            pick = engine.shelf.choose()
            facts |= {"voice": pick.revision.entry.manifest.name, "speaker": pick.speaker, "language": pick.language}
        return JSONResponse(facts)

    @routes.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(name: str, request: HttpRequest) -> Response:
        if name not in files or name == INDEX:
            raise HTTPException(404)
        return files[name].answer(request)

    return routes


class _Pictures:
    """Draws the blocks of voices, each once as long as it is in memory. Called in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drawn: WeakKeyDictionary[Voice, bytes] = WeakKeyDictionary()

    def of(self, voice: Voice) -> bytes:
        """The blocks of a voice, and of its vocoder beside them, as SVG."""
        # One at a time: a description listens to the blocks themselves.
        with self._lock:
            drawn = self._drawn.get(voice)
            if drawn is None:
                boxes = [tree.addon_box(stack.addon, tree.describe(stack)) for stack in voice.stacks]
                drawn = self._drawn[voice] = pictures.svg(pictures.boxes(boxes)).encode()
            return drawn
