"""What is relied on within uvicorn and transformers, undocumented; both are pinned to a minor version.

To raise a pin: read what these names do in the new version, run the tests, then raise it.
"""

import asyncio
import importlib
import inspect
import tomllib
from collections import deque
from importlib.metadata import version
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", ["uvicorn", "transformers"])
def test_the_installed_version_is_the_one_that_is_pinned(name):
    (requirement,) = [
        each for each in PROJECT["optional-dependencies"]["service"] if each.startswith(f"{name}>")
    ]
    major, minor, *_ = version(name).split(".")
    assert requirement == f"{name}>={major}.{minor},<{major}.{int(minor) + 1}"


# uvicorn: `server.protocol` subclasses its protocol and its server.

PROTOCOL = importlib.import_module("uvicorn.protocols.http.httptools_impl").HttpToolsProtocol
CYCLE = importlib.import_module("uvicorn.protocols.http.httptools_impl").RequestResponseCycle
CALLBACKS = ["on_message_begin", "on_header", "on_headers_complete", "on_body", "on_message_complete"]


OVERRIDDEN = ["on_response_complete", "connection_made", "connection_lost", "data_received", "shutdown"]
CALLED = ["_unset_keepalive_if_required", "_should_upgrade"]


@pytest.mark.parametrize("method", [*CALLBACKS, *OVERRIDDEN, *CALLED])
def test_the_protocol_has_the_methods_that_are_overridden_or_called(method):
    assert inspect.isfunction(getattr(PROTOCOL, method))


def test_the_protocol_asks_whether_to_upgrade_before_it_starts_a_request():
    for method in ("on_headers_complete", "on_body", "on_message_complete"):
        assert "self._should_upgrade()" in inspect.getsource(getattr(PROTOCOL, method))


@pytest.fixture
async def connection():
    uvicorn = importlib.import_module("uvicorn")
    config = uvicorn.Config(lambda: None, ws="none", lifespan="off", log_config=None)
    config.load()
    state = importlib.import_module("uvicorn.server").ServerState()
    return PROTOCOL(config, state, {})


async def test_a_connection_keeps_what_is_looked_at(connection):
    assert connection.pipeline == deque()
    assert connection.cycle is None
    assert {"parser", "headers", "flow", "transport", "loop", "timeout_keep_alive"} <= set(vars(connection))
    source = inspect.getsource(PROTOCOL.on_headers_complete)
    assert "self.pipeline.appendleft((self.cycle, app))" in source  # the latest request is the first entry
    assert "self.cycle = RequestResponseCycle(" in source  # also for a request that has to wait
    assert "self.pipeline.pop()" in inspect.getsource(PROTOCOL.on_response_complete)


def test_a_request_keeps_how_far_its_answer_is():
    source = inspect.getsource(CYCLE)
    for name in ("response_started", "response_complete", "keep_alive"):
        assert f"self.{name} = " in source
    assert "if not self.keep_alive:\n                    self.transport.close()" in source


async def test_a_connection_that_rests_has_a_timer_that_may_be_stopped_and_started(connection):
    connection.timeout_keep_alive_task = asyncio.get_running_loop().call_later(9, print)
    connection._unset_keepalive_if_required()
    assert connection.timeout_keep_alive_task is None
    assert "self.timeout_keep_alive_handler" in inspect.getsource(PROTOCOL.on_response_complete)


def test_the_keep_alive_timeout_may_be_a_float():
    assert "self.loop.call_later(\n                self.timeout_keep_alive" in inspect.getsource(
        PROTOCOL.on_response_complete
    )


def test_the_server_catches_signals_in_one_place_and_ends_in_another():
    server = importlib.import_module("uvicorn").Server
    assert "with self.capture_signals():" in inspect.getsource(server.serve)
    assert inspect.iscoroutinefunction(server.shutdown)
    assert list(inspect.signature(server.shutdown).parameters) == ["self", "sockets"]


# transformers: what `models` imports from where it is not documented.


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("transformers", "AttentionInterface"),
        ("transformers.dynamic_module_utils", "get_class_from_dynamic_module"),
        ("transformers.modeling_outputs", "BaseModelOutput"),
        ("transformers.modeling_outputs", "BaseModelOutputWithPooling"),
        ("transformers.models.auto.configuration_auto", "CONFIG_MAPPING"),
        ("transformers.models.deberta_v2.modeling_deberta_v2", "make_log_bucket_position"),
        ("transformers.utils.logging", "disable_progress_bar"),
    ],
)
def test_transformers_has_what_is_imported_from_within(module, name):
    assert hasattr(importlib.import_module(module), name)


def test_every_import_from_within_transformers_is_named_above():
    known = {
        (module, name)
        for mark in test_transformers_has_what_is_imported_from_within.pytestmark
        for module, name in mark.args[1]
    }
    found = set()
    for path in (Path(__file__).parents[1] / "service/podium").rglob("*.py"):
        for line in path.read_text().splitlines():
            if line.startswith("from transformers."):
                module, _, names = line.removeprefix("from ").partition(" import ")
                found |= {(module, name.strip()) for name in names.split(",")}
    assert found <= known


def test_attention_is_registered_by_name_and_called_with_the_layers_projections():
    interface = importlib.import_module("transformers").AttentionInterface
    assert callable(interface.register)
    bert = importlib.import_module("transformers.models.bert.modeling_bert")
    source = inspect.getsource(bert.BertSelfAttention.forward)
    assert "ALL_ATTENTION_FUNCTIONS.get_interface(" in source
    assert (
        "attention_interface(\n            self,\n            query_layer,\n            key_layer," in source
    )
