"""From what a download raises to a Reason, a sentence with the way out, and an exit code: pure.

No message holds a token: URLs are shown without user and query, and headers never.
"""

import errno
import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError

from podium.errors import PermanentStartError, Reason, StartError, TemporaryStartError


def classify(error: Exception, *, model: str, revision: str | None, endpoint: str) -> StartError:
    """Say why `model` could not be fetched from the hub at `endpoint`.

    `error` is what the hub's client or the disk raised; anything that is neither a refusal nor about TLS, a
    proxy or the disk means that the hub cannot be reached.
    """
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _refused(error, error.response.status_code, error.response.headers, model, revision, endpoint)
    if isinstance(error, httpx2.HTTPError):
        return _unreachable(error, endpoint)
    if isinstance(error, OSError):
        return on_disk(error)
    return TemporaryStartError(
        Reason.HUB_UNAVAILABLE,
        f"{shown(endpoint)} does not answer as a hub does ({type(error).__name__}); check HF_ENDPOINT",
    )


def on_disk(error: OSError) -> StartError:
    """Say why the folder could not be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TemporaryStartError(
            Reason.NO_SPACE, f"the disk is full at {error.filename}; free space, or take a larger volume"
        )
    return PermanentStartError(
        Reason.MODEL_LOAD_FAILED,
        f"cannot use {error.filename}: {error.strerror}; name a folder that can be written",
    )


def _refused(
    error: HfHubHTTPError,
    status: int,
    headers: Mapping[str, str],
    model: str,
    revision: str | None,
    endpoint: str,
) -> StartError:
    hub, host = shown(endpoint), _host(str(error.response.url))
    if host != _host(endpoint) and "X-Error-Code" not in headers:
        # The hub let us through and the host of the content did not: an address that ran out, or a firewall.
        return _later(status, headers, host)
    if isinstance(error, GatedRepoError):
        reason, message = (
            Reason.GATED_MODEL,
            f"{model} is gated: accept its terms at {hub}/{model}, and set HF_TOKEN to a token of "
            "that account",
        )
    elif status in {401, 403}:
        reason, message = (
            Reason.UNAUTHORIZED,
            f"{hub} answered {status} for {model}: it is private or does not exist; check the name, and set "
            "HF_TOKEN to a token that may read it",
        )
    elif isinstance(error, RevisionNotFoundError):
        reason, message = (
            Reason.MODEL_NOT_FOUND,
            f"{model} has no revision `{revision}` on {hub}; give a branch, a tag or a commit that it has",
        )
    elif status == 404:
        reason, message = (
            Reason.MODEL_NOT_FOUND,
            f"{hub} has no model {model} (404); check the name, and HF_ENDPOINT if you use a mirror",
        )
    else:
        return _later(status, headers, hub)
    return PermanentStartError(reason, message, http_status=status)


def _later(status: int, headers: Mapping[str, str], hub: str) -> StartError:
    if status == 407:
        reason, message = (
            Reason.PROXY_FAILURE,
            _PROXY.format(hub=hub, detail="asks for a user and a password"),
        )
    elif status == 429:
        after = headers.get("Retry-After")
        when = f"after {after} s" if after and after.isdigit() else "later"
        reason, message = (
            Reason.RATE_LIMITED,
            f"{hub} limits our requests (429); try again {when}; a token in HF_TOKEN raises the limit",
        )
    else:
        reason, message = Reason.HUB_UNAVAILABLE, f"{hub} answered {status}; try again later"
    return TemporaryStartError(reason, message, http_status=status)


_PROXY = "the proxy on the way to {hub} {detail}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"


def _unreachable(error: httpx2.HTTPError, endpoint: str) -> StartError:
    hub = _asked(error) or shown(endpoint)
    tls = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if tls is not None:
        detail = getattr(tls, "verify_message", "") or tls.reason or "no common protocol"
        return TemporaryStartError(
            Reason.TLS_FAILURE,
            f"no TLS connection to {hub} ({detail}); if its certificate is your own authority's, set "
            "SSL_CERT_FILE to a file that holds that authority",
        )
    # A proxy that is not there looks like a hub that is not there.
    if isinstance(error, httpx2.ProxyError) or (isinstance(error, httpx2.ConnectError) and _proxied(hub)):
        return TemporaryStartError(
            Reason.PROXY_FAILURE, _PROXY.format(hub=hub, detail="refuses or is not there")
        )
    return TemporaryStartError(
        Reason.HUB_UNAVAILABLE,
        f"cannot reach {hub} ({_sentence(error)}); check the network, DNS and HF_ENDPOINT, or work offline "
        "with a model that was fetched before",
    )


def _asked(error: httpx2.HTTPError) -> str | None:
    """Return the host that was asked: where content is redirected, it is not the hub's."""
    try:
        return _host(str(error.request.url))
    except RuntimeError:  # there was no request yet
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _proxied(host: str) -> bool:
    url = urlsplit(host)
    proxies = getproxies()
    return bool(proxies.get(url.scheme) or proxies.get("all")) and not proxy_bypass(url.hostname or "")


def _sentence(error: httpx2.HTTPError) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def shown(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
