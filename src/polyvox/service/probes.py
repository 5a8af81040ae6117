"""Probes: whether the service lives, whether it can be sent requests, and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from polyvox.service.keys import Keys
from polyvox.service.metrics import CONTENT_TYPE
from polyvox.service.settings import Settings

if TYPE_CHECKING:
    from polyvox.service.engine import Engine


class Health(BaseModel):
    """That it lives."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether it takes requests."""

    status: Literal["ready", "not ready"]


def router(engine: Engine, settings: Settings, keys: Keys) -> APIRouter:
    """`/healthz`, `/readyz` and `/metrics`."""
    routes = APIRouter(tags=["probes"])

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", operation_id="healthz", summary="Whether the service lives")
    async def healthz() -> Health:
        """200 as long as the process answers at all."""
        return Health()

    @routes.head("/readyz", include_in_schema=False)
    @routes.get(
        "/readyz",
        operation_id="readyz",
        summary="Whether requests should be sent here",
        responses={200: {"model": Readiness}, 503: {"model": Readiness, "description": "Starting or stopping"}},
    )
    async def readyz() -> JSONResponse:
        """200 once what is pinned is loaded, 503 before and as soon as the service begins to stop."""
        ready = engine.ready
        body = Readiness(status="ready" if ready else "not ready")
        return JSONResponse(body.model_dump(), 200 if ready else 503)

    if settings.metrics:

        @routes.get(
            "/metrics",
            operation_id="metrics",
            summary="Metrics for Prometheus",
            response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        )
        async def metrics() -> Response:
            """In Prometheus' text format."""
            return Response(engine.metrics.text(), media_type=CONTENT_TYPE)

    return routes
