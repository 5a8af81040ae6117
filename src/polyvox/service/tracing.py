"""Traces by OpenTelemetry, if it is installed and configured; else nothing, at no cost.

It is configured as everywhere, by the environment: OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
turns it on, OTEL_SERVICE_NAME names the service, OTEL_SDK_DISABLED turns it off. Spans hold no text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from polyvox.errors import MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

EXTRA = "trace"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
UNTRACED = ("/healthz", "/readyz", "/metrics")

_provider: TracerProvider | None = None


class Spanned:
    """A span, or its absence."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def set(self, **attributes: object) -> None:
        """What the span is about; None is left out."""
        if self._span is not None:
            for name, value in attributes.items():
                if value is not None:
                    self._span.set_attribute(f"polyvox.{name}", value)  # type: ignore[arg-type]

    def event(self, name: str) -> None:
        """Something that happened now."""
        if self._span is not None:
            self._span.add_event(name)


_NOTHING = Spanned(None)


@contextmanager
def span(name: str, **attributes: object) -> Iterator[Spanned]:
    """A span around the body, inside that of the HTTP request; an exception is its status."""
    if _provider is None:
        yield _NOTHING
        return
    from opentelemetry.trace import Status, StatusCode

    # The kind of an error and not its sentence, which may quote the text.
    tracer = _provider.get_tracer("polyvox")
    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as made:
        spanned = Spanned(made)
        spanned.set(**attributes)
        try:
            yield spanned
        except BaseException as error:
            made.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def wanted(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for traces."""
    variables = os.environ if environ is None else environ
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return any(variables.get(name) for name in ENDPOINTS) and variables.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"


def start(provider: TracerProvider | None = None) -> None:
    """Begin to trace: to `provider`, else to where the environment says, if it says anything.

    Raises:
        MissingExtraError: the environment asks for traces, and OpenTelemetry is not installed.
    """
    global _provider
    if provider is not None:
        _provider = provider
        return
    if not wanted():
        return
    for module in ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"):
        try:
            found = find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise MissingExtraError("opentelemetry-exporter-otlp-proto-http", EXTRA, "tracing")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "polyvox"})
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _provider = made


def stop() -> None:
    """Send what is left, and trace no more."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        provider.shutdown()


def telemetry() -> dict[str, Any]:
    """What FastAPI is to trace itself: requests, if anything is traced at all."""
    off = {"metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    if _provider is None:
        return {"tracing": False, **off}
    return {"tracing": True, "tracer_provider": _provider, "exclude": lambda scope: scope["path"] in UNTRACED, **off}
