import errno
import ssl

import httpx2
import pytest
from huggingface_hub.utils import hf_raise_for_status

from podium.errors import PermanentStartError, Reason, TemporaryStartError
from podium.weights.failures import classify, shown

ENDPOINT = "https://user:secret@hub.example"


def refusal(status: int, headers: dict[str, str]) -> Exception:
    """What the hub's client raises for an answer."""
    request = httpx2.Request("GET", f"{ENDPOINT}/api/models/org/name?token=secret")
    with pytest.raises(httpx2.HTTPError) as error:
        hf_raise_for_status(httpx2.Response(status, headers=headers, request=request))
    return error.value


@pytest.mark.parametrize(
    ("status", "headers", "kind", "reason", "message"),
    [
        pytest.param(
            401, {}, PermanentStartError, Reason.UNAUTHORIZED, "private or does not exist", id="401"
        ),
        pytest.param(
            403, {}, PermanentStartError, Reason.UNAUTHORIZED, "HF_TOKEN to a token that may", id="403"
        ),
        pytest.param(
            403,
            {"X-Error-Code": "GatedRepo"},
            PermanentStartError,
            Reason.GATED_MODEL,
            "accept its terms",
            id="gated",
        ),
        pytest.param(
            401,
            {"X-Error-Code": "GatedRepo"},
            PermanentStartError,
            Reason.GATED_MODEL,
            "HF_TOKEN",
            id="gated, no token",
        ),
        pytest.param(404, {}, PermanentStartError, Reason.MODEL_NOT_FOUND, "has no model org/name", id="404"),
        pytest.param(
            404,
            {"X-Error-Code": "RevisionNotFound"},
            PermanentStartError,
            Reason.MODEL_NOT_FOUND,
            "has no revision `v9`",
            id="revision",
        ),
        pytest.param(407, {}, TemporaryStartError, Reason.PROXY_FAILURE, "HTTPS_PROXY", id="407"),
        pytest.param(
            429,
            {"Retry-After": "30"},
            TemporaryStartError,
            Reason.RATE_LIMITED,
            "try again after 30 s",
            id="429",
        ),
        pytest.param(429, {}, TemporaryStartError, Reason.RATE_LIMITED, "try again later", id="429 bare"),
        pytest.param(500, {}, TemporaryStartError, Reason.HUB_UNAVAILABLE, "answered 500", id="500"),
        pytest.param(503, {}, TemporaryStartError, Reason.HUB_UNAVAILABLE, "try again later", id="503"),
    ],
)
def test_a_refusal_is_classified_by_status_and_code(status, headers, kind, reason, message):
    error = classify(refusal(status, headers), model="org/name", revision="v9", endpoint=ENDPOINT)
    assert type(error) is kind
    assert error.reason is reason
    assert error.http_status == status
    assert message in error.message
    assert "secret" not in error.message


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


CERTIFICATE = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
CERTIFICATE.verify_message = "self-signed certificate"


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        pytest.param(
            caused(httpx2.ConnectError("x"), CERTIFICATE),
            Reason.TLS_FAILURE,
            "self-signed certificate",
            id="TLS",
        ),
        pytest.param(
            httpx2.ProxyError("403 Forbidden"), Reason.PROXY_FAILURE, "check HTTPS_PROXY", id="proxy"
        ),
        pytest.param(httpx2.ConnectError("refused"), Reason.HUB_UNAVAILABLE, "(refused)", id="refused"),
        pytest.param(httpx2.ReadTimeout(""), Reason.HUB_UNAVAILABLE, "(ReadTimeout)", id="time-out"),
        pytest.param(
            ValueError("not JSON"), Reason.HUB_UNAVAILABLE, "does not answer as a hub does", id="no hub"
        ),
        pytest.param(
            OSError(errno.ENOSPC, "full", "/m"), Reason.NO_SPACE, "the disk is full at /m", id="full"
        ),
    ],
)
def test_what_may_pass_by_itself_is_temporary(error, reason, message, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    found = classify(error, model="org/name", revision=None, endpoint=ENDPOINT)
    assert isinstance(found, TemporaryStartError)
    assert found.reason is reason
    assert message in found.message
    assert "secret" not in found.message


def test_a_proxy_that_is_not_there_is_told_from_a_hub_that_is_not_there(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    error = httpx2.ConnectError("refused")
    assert classify(error, model="m", revision=None, endpoint=ENDPOINT).reason is Reason.PROXY_FAILURE
    monkeypatch.setenv("NO_PROXY", "hub.example")
    assert classify(error, model="m", revision=None, endpoint=ENDPOINT).reason is Reason.HUB_UNAVAILABLE


def test_a_folder_that_cannot_be_written_is_permanent():
    error = classify(
        PermissionError(errno.EACCES, "Permission denied", "/m"), model="m", revision=None, endpoint="x"
    )
    assert isinstance(error, PermanentStartError)
    assert error.reason is Reason.MODEL_LOAD_FAILED
    assert error.message == "cannot use /m: Permission denied; name a folder that can be written"


def test_a_url_is_shown_without_user_and_query():
    assert (
        shown("https://user:secret@hub.example:8443/mirror/?token=secret#x")
        == "https://hub.example:8443/mirror"
    )
