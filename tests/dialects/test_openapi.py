"""The OpenAPI document against its server: schemathesis sends what it allows, and what it does not."""

from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from fakes import FakeModel
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import Serving, serving

from podium.server.openapi import openapi

SCHEMA = schemathesis.openapi.from_dict(openapi())


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(FakeModel()) as running:
        yield running


@SCHEMA.parametrize()
@hypothesis.settings(
    max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_no_request_is_answered_otherwise_than_documented(case: schemathesis.Case, server: Serving) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{server.port}", checks=CHECKS)
