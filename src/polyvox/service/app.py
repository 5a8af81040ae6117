"""The HTTP application: routes, keys, limits, headers, request ids, and what becomes of errors."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyvox import __version__
from polyvox.errors import PolyvoxError
from polyvox.service import openai, page, probes, tracing, websocket
from polyvox.service.engine import Engine
from polyvox.service.errors import ServiceError, TooLarge
from polyvox.service.keys import Keys, bearer
from polyvox.service.logs import event, reason, request_id, take_request_id
from polyvox.service.problems import ErrorAnswer, problem
from polyvox.service.responses import Cut
from polyvox.service.settings import Settings

log = logging.getLogger("polyvox.service.http")

OPEN = ("/", "/healthz", "/readyz", "/openapi.json")
OPEN_BELOW = ("/page/",)
"""Addresses that need no key: probes, descriptions, and the page, which asks for one."""

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every answer that does not say otherwise itself."""

OURS = ("x-request-id", "x-polyvox-voice", "x-polyvox-speaker", "x-polyvox-note", "retry-after", "server-timing")


def application(settings: Settings, engine: Engine | None = None) -> FastAPI:
    """The application; its engine starts and stops with it, and is `app.state.engine`.

    Raises:
        SettingsError: a key is none.
    """
    engine = Engine(settings) if engine is None else engine
    keys = Keys.of(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        try:
            yield
        finally:
            await engine.stop()

    app = FastAPI(
        title="Polyvox",
        summary="Text to speech, streamed.",
        version=__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=tracing.telemetry(),  # type: ignore[arg-type]
    )
    app.state.engine, app.state.keys = engine, keys
    for module in (probes, openai, websocket, page):
        app.include_router(module.router(engine, settings, keys))
    for kind in (PolyvoxError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _answer)
    # The last one added is the outermost.
    app.add_middleware(_Keyed, keys=keys, limit=settings.limits.request_bytes)
    if settings.cors.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id", "x-polyvox-priority"],
            expose_headers=OURS,
        )
    app.add_middleware(_Outermost, shared="cross-origin" if settings.cors.origins else "same-origin")
    app.openapi = lambda: _description(app, settings)  # type: ignore[method-assign]
    return app


async def _answer(_: HTTPConnection, error: Exception) -> JSONResponse:
    """An error that came up before anything was sent."""
    answered = problem(error)
    if answered.status >= 500 and not isinstance(error, ServiceError):
        event(log, logging.ERROR, "the service failed", error=reason(error), code=answered.code)
    return answered.answer()


class _Keyed:
    """Asks for a key and for a body of reasonable size, before anything of the body is read."""

    def __init__(self, app: ASGIApp, keys: Keys, limit: int) -> None:
        self._app, self._keys, self._limit = app, keys, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            if scope["path"] not in OPEN and not scope["path"].startswith(OPEN_BELOW):
                address = scope["client"][0] if scope.get("client") else None
                scope.setdefault("state", {})["client"] = self._keys.who(bearer(headers.get("authorization")), address)
            length = headers.get("content-length", "")
            if length.isdecimal() and int(length[:20]) > self._limit:
                raise TooLarge(f"the request has {length[:20]} bytes; this service takes {self._limit}")
        except ServiceError as error:
            await problem(error).answer()(scope, receive, send)
            return
        taken = 0

        async def receiving() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self._limit:
                    raise HTTPException(413)  # the only kind that passes through FastAPI's reading
            return message

        await self._app(scope, receiving, send)


class _Outermost:
    """Request ids, headers and the log of all answers; the last resort of errors."""

    def __init__(self, app: ASGIApp, shared: str) -> None:
        self._app = app
        self._headers = {**SECURITY, "cross-origin-resource-policy": shared}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        own = take_request_id(Headers(scope=scope).get("x-request-id"))
        token = request_id.set(own)
        try:
            if scope["type"] == "websocket":
                await self._app(scope, receive, send)
            else:
                await self._http(scope, receive, send, own)
        finally:
            request_id.reset(token)

    async def _http(self, scope: Scope, receive: Receive, send: Send, own: str) -> None:
        began = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = own
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        outcome = None
        try:
            await self._app(scope, receive, sending)
        except Cut:
            # An answer without an end makes the server close the connection, which is what its client must see.
            outcome = "cut"
        except Exception as error:
            log.exception("a defect", extra={"fields": {"error": type(error).__name__}})
            if status == 0:
                await problem(error).answer()(scope, receive, sending)
            outcome = "cut" if outcome is None and status == 200 else None
        finally:
            route = scope.get("route")
            client = scope.get("state", {}).get("client")
            quiet = scope["path"] in tracing.UNTRACED
            event(
                log,
                logging.DEBUG if quiet else logging.INFO,
                "request",
                method=scope["method"],
                # The pattern and not the address, in which anything may stand.
                path=getattr(route, "path", None) or "(none)",
                status=status or None,
                outcome=outcome if status else "left",
                ms=round(1e3 * (time.perf_counter() - began), 1),
                client=getattr(client, "name", None),
            )


def _description(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI description: what FastAPI derives, with our errors in place of its own, our limits and keys."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        license_info=app.license_info,
        routes=app.routes,
    )
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["SpeechRequest"]["properties"]["input"]["maxLength"] = settings.limits.text
    for path, item in made["paths"].items():
        keyed = path not in OPEN and not path.startswith(OPEN_BELOW)
        for operation in item.values():
            operation["responses"].pop("422", None)
            if keyed and app.state.keys.required:
                operation["security"] = [{"key": []}]
                operation["responses"].setdefault("401", _refusal("A key is missing or wrong"))
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})["x-request-id"] = {"schema": {"type": "string"}}
            if "503" in operation["responses"] and path.startswith("/v1/"):
                operation["responses"]["503"]["headers"]["retry-after"] = {"schema": {"type": "integer"}}
    if app.state.keys.required:
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    app.openapi_schema = made
    return made


def _refusal(said: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}
    return {"description": said, "content": {"application/json": {"schema": reference}}}
