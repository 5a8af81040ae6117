"""The HTTP surface, fuzzed from its own OpenAPI description: no 5xx that is not 503, no hang, and no answer that the
description does not know."""

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples

import tiny

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")

from schemathesis import GenerationMode  # noqa: E402

from serving import metric, serving, settings, until  # noqa: E402

OPERATIONS = [
    ("POST", "/v1/audio/speech", 250),
    ("GET", "/v1/audio/voices", 100),
    ("GET", "/v1/models/{model}", 100),
    ("GET", "/v1/voices/{name}/blocks.svg", 50),
    ("GET", "/v1/models", 5),
    ("GET", "/v1/audio/models", 5),
    ("GET", "/healthz", 5),
    ("GET", "/readyz", 5),
    ("GET", "/metrics", 5),
]
"""And how many examples of each kind are tried."""

ASKED = [
    (method, path, number, mode)
    for method, path, number in OPERATIONS
    for mode in GenerationMode
    if mode.is_positive or (path.startswith("/v1/audio/") and number > 5)  # the others cannot be asked wrongly
]

PATIENCE = 20.0
"""Seconds for one answer, and then it hangs."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    tiny.acoustic(folder / "tim")
    tiny.vocoder(folder / "tom")
    with serving(settings(folder, limits={"text": 200})) as running:
        yield running


@pytest.fixture(scope="module")
def schema(served):
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


def test_every_operation_is_fuzzed(schema):
    described = {(found.ok().method.upper(), found.ok().path) for found in schema.get_all_operations()}
    page = {one for one in described if one[1] == "/" or one[1].startswith("/page")}
    assert described - page == {(method, path) for method, path, _ in OPERATIONS}


@pytest.mark.parametrize(("method", "path", "number", "mode"), ASKED, ids=[f"{m} {p} {g}" for m, p, _, g in ASKED])
def test_whatever_is_asked_is_answered(served, schema, method, path, number, mode):
    cases = schema[path][method].as_strategy(generation_mode=mode)

    @examples(
        max_examples=number, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(cases)
    def ask(case):
        answer = case.call(timeout=PATIENCE)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.status_code >= 400 and answer.status_code != 405:
            error = json.loads(answer.content)["error"]
            assert error["message"]
            assert error["code"]

    ask()


def test_afterwards_nothing_is_left(served):
    until(lambda: metric(served, "polyvox_streams ") == 0)
    until(lambda: metric(served, "polyvox_bulk_streams ") == 0)
