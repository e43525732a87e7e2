"""OpenTelemetry traces: one a request, with spans for tokenization, queue and inference.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set; every other OTEL_…
variable means what OpenTelemetry says it means.
"""

import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Protocol

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

BATCH_SPANS = 64
"""Batches of a request that have a span, the first ones; a large request has hundreds."""
LINKS = 32
"""Other requests that a batch links to."""

TRACER = trace.get_tracer("podium")

SHUTDOWN_S = 2
"""What the end of the process waits for the last spans to be taken."""


def configure(environment: Mapping[str, str]) -> None:
    """Send spans to the endpoint that the environment names; without one this does nothing."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or environment.get("OTEL_TRACES_EXPORTER") == "none" or not any(map(environment.get, endpoints)):
        return
    # Imported here: half a second of start-up that most installations do not need.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def resource() -> "Resource":
    """Return who sends: OpenTelemetry's Resource of this process."""
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource

    # Merged in this order: what the variables say of the service wins over the name that we give it.
    named = Resource({SERVICE_NAME: "podium"}).merge(OTELResourceDetector().detect())
    return Resource.create().merge(named)


def shutdown() -> None:
    """Send what is left, within SHUTDOWN_S: the exporter by itself tries a collector that is away for 10 s.

    The SDK's provider has the method, the one that does nothing has not.
    """
    close = getattr(trace.get_tracer_provider(), "shutdown", None)
    if close is not None:
        closing = threading.Thread(target=close, name="podium-tracing", daemon=True)
        closing.start()
        closing.join(SHUTDOWN_S)


def remote_context(headers: Mapping[str, str]) -> Context:
    """Return the caller's trace context, from W3C `traceparent` and `tracestate`."""
    return propagate.extract(headers)


def trace_id() -> str | None:
    """Return the current trace's id, 32 hex digits, None outside of a trace."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def sampled() -> SpanContext | None:
    """Return where we are in a trace that someone keeps; None in others."""
    context = trace.get_current_span().get_span_context()
    return context if context.is_valid and context.trace_flags.sampled else None


def exemplar() -> dict[str, str] | None:
    """Return the labels by which a measurement names its trace; None where nobody keeps it."""
    context = sampled()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context else None


def tell(span: trace.Span, method: str, path: str | None, status: int, **told: str | int | None) -> None:
    """Name a request's span and say how the request ended; `path` is None where it is none of ours.

    `told`: `dialect` and `documents`, and the `model` and `tokens` of a request that was ranked.
    """
    if not span.is_recording():
        return
    attributes = {
        "http.request.method": method,
        "http.route": path,
        "url.path": path,
        "http.response.status_code": status,
        "error.type": str(status) if status >= 500 else None,
        "podium.dialect": told.get("dialect"),
        "podium.documents": told.get("documents"),
        # OpenTelemetry has no word for it among its operations; a word of one's own is allowed.
        "gen_ai.operation.name": "rerank" if told.get("dialect") else None,
        "gen_ai.response.model": told.get("model"),
        "gen_ai.usage.input_tokens": told.get("tokens"),
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    if path is not None:
        span.update_name(f"{method} {path}")
    if status >= 500:
        span.set_status(trace.StatusCode.ERROR)


class Ran(Protocol):
    """A batch that was scored; times in seconds on the monotonic clock."""

    started: float
    ended: float
    pairs: int
    tokens: int
    """Tokens that were computed."""

    @property
    def requests(self) -> Sequence[SpanContext]:
        """Spans of its requests that someone keeps."""


def stage_spans(tokenization: tuple[float, float] | None, batches: Sequence[Ran]) -> None:
    """Record a request's stages as children of the current span, and its batches below `inference`.

    A batch links to the other requests in it. `tokenization`: from when to when, as in `Ran`.
    """
    span = trace.get_current_span()
    if not span.is_recording() or tokenization is None or not batches:
        return
    offset = time_ns() - monotonic_ns()
    first, last = batches[0].started, batches[-1].ended

    def record(
        name: str, start: float, end: float, links: Sequence[trace.Link] = (), **numbers: int
    ) -> Context:
        attributes = {f"podium.{key}": number for key, number in numbers.items()}
        start_ns, end_ns = int(start * 1e9) + offset, int(end * 1e9) + offset
        made = TRACER.start_span(name, context, start_time=start_ns, links=links, attributes=attributes)
        made.end(end_time=end_ns)
        return trace.set_span_in_context(made)

    context: Context | None = None
    record("tokenization", *tokenization)
    record("queue", tokenization[0], max(first, tokenization[0]))
    context = record("inference", first, last, batches=len(batches))
    for batch in batches[:BATCH_SPANS]:
        others = (each for each in batch.requests if each.span_id != span.get_span_context().span_id)
        links = [trace.Link(other) for other in islice(others, LINKS)]
        record("batch", batch.started, batch.ended, links, pairs=batch.pairs, tokens=batch.tokens)
