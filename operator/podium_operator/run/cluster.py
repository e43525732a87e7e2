"""The API server: list, server-side apply, delete, status, Events. Only here is a Kubernetes client."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_incluster_config, load_kube_config

from podium_operator.resource.names import MANAGER
from podium_operator.run.metrics import API_REQUESTS
from podium_operator.seen.kinds import BY_NAME, EVENT, LEASE, RERANKER, Kind
from podium_operator.seen.observed import Listing, WarningEvent

APPLY, JSON = "application/apply-patch+yaml", "application/json"
_MERGE = "application/merge-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_NO_SUCH_VERSION = "1"
"""etcd's first revision: no object bears it, so an apply that demands it makes a new object or is refused."""


class ApiError(Exception):
    """The API server answered with an error; `status` is the HTTP code, `retry_after_s` its wish."""

    def __init__(self, status: int, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message, self.retry_after_s = status, message, retry_after_s


class Unreachable(Exception):
    """The API server did not answer."""


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    resource_version: str
    namespace: str = ""


class _Item(msgspec.Struct):
    metadata: _Meta


class _List(msgspec.Struct):
    items: list[_Item] | None  # null where there are none


class Cluster:
    """An API server. Every method raises ApiError or Unreachable."""

    def __init__(self, configuration: Configuration, *, timeout_s: float) -> None:
        self._client = ApiClient(configuration)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self.may_write: Callable[[], Awaitable[bool]] | None = None
        """Whether this process still holds the release's Lease; asked before every write but the Lease's."""
        self.answered: Callable[[], None] = lambda: None
        """Called with each end of a request, whatever its outcome."""
        self.lease_version = 0
        """Of the Lease as it was read or written last: what the API server knows is as new at least."""

    @classmethod
    async def connect(cls, *, timeout_s: float, connections: int) -> "Cluster":
        """Return the cluster that KUBECONFIG names, or else the one that this pod runs in."""
        configuration = Configuration()
        if os.environ.get("KUBECONFIG"):
            await load_kube_config(client_configuration=configuration)
        else:
            load_incluster_config(client_configuration=configuration)
        configuration.connection_pool_maxsize = connections
        # Else ~/.netrc is looked for before every request, in a thread; kopf's watches heed no proxy either.
        configuration.client_session_kwargs = {"trust_env": False}
        return cls(configuration, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def apply(self, manifest: Mapping[str, Any], *, uid: str | None, manager: str = MANAGER) -> Any:
        """Server-side apply, forced; return the object.

        With `uid` it must still be that object, without one none of that name may exist: neither can take
        over an object that someone else made in between.
        """
        kind, metadata = BY_NAME[manifest["kind"]], manifest["metadata"]
        demand = {"uid": uid} if uid else {"resourceVersion": _NO_SUCH_VERSION}
        body = {**manifest, "metadata": {**metadata, **demand}}
        path = kind.path(metadata["namespace"], metadata["name"])
        query = {"fieldManager": manager, "force": "true"}
        return msgspec.json.decode(await self._request("PATCH", path, query, body, APPLY))

    async def apply_status(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> Any:
        """Write the status of a Reranker that is still the same object; return the object."""
        metadata = {key: body["metadata"][key] for key in ("name", "namespace", "uid")}
        patch = {
            "apiVersion": RERANKER.api_version,
            "kind": RERANKER.name,
            "metadata": metadata,
            "status": status,
        }
        path = RERANKER.path(metadata["namespace"], metadata["name"]) + "/status"
        query = {"fieldManager": MANAGER, "force": "true"}
        return msgspec.json.decode(await self._request("PATCH", path, query, patch, APPLY))

    async def patch_spec(self, kind: Kind, live: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        """Merge `spec` (a JSON merge patch) into that very version of an object."""
        metadata = live["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": spec}
        await self._request("PATCH", path, {"fieldManager": MANAGER}, body, _MERGE)

    async def find(self, kind: Kind, namespace: str, name: str) -> Any | None:
        """Return an object, or None where there is none; by a list, so that the role needs no `get`."""
        query = {"fieldSelector": f"metadata.name={name}"}
        items = msgspec.json.decode(await self._request("GET", kind.path(namespace), query))["items"]
        return {**items[0], "kind": kind.name} if items else None

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete that very object, its own children in the background; one that is gone is fine."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            await self._request("DELETE", kind.path(namespace, name), {}, options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def list_metadata(
        self, kind: Kind, namespace: str | None, selector: str, not_older_than: int = 0
    ) -> list[Listing]:
        """Return what exists of a kind, without its content, as new as `not_older_than` at least.

        The API server answers from its watch cache and asks etcd nothing: with a limit it would.
        """
        query = {"resourceVersion": str(not_older_than), "resourceVersionMatch": "NotOlderThan"}
        if selector:
            query["labelSelector"] = selector
        answer = await self._request("GET", kind.path(namespace), query, accept=_METADATA_ONLY)
        metadata = (item.metadata for item in msgspec.json.decode(answer, type=_List).items or ())
        return [(meta.namespace, meta.name, meta.uid, int(meta.resource_version)) for meta in metadata]

    async def warnings(self, namespace: str, kind: str, name: str, uid: str) -> list[WarningEvent]:
        """Return the Warning Events about an object, the newest of each reason, newest first."""
        fields = f"involvedObject.kind={kind},involvedObject.uid={uid},type=Warning"
        answer = await self._request("GET", EVENT.path(namespace), {"fieldSelector": fields, "limit": "50"})
        items: Sequence[Mapping[str, Any]] = msgspec.json.decode(answer)["items"]
        newest: dict[str, WarningEvent] = {}
        for item in sorted(items, key=_moment):
            reason = item.get("reason", "")
            newest[reason] = WarningEvent(
                kind=kind, name=name, reason=reason, message=item.get("message", "")
            )
        return list(reversed(newest.values()))

    async def post_event(self, event: Mapping[str, Any]) -> None:
        """Post one Event."""
        await self._request("POST", EVENT.path(event["metadata"]["namespace"]), {}, event)

    async def lease(
        self, method: str, namespace: str, name: str, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any] | None:
        """Read (None where there is none), make or replace a Lease; return it."""
        try:
            answer = await self._request(method, LEASE.path(namespace, name), body=body, fenced=False)
        except ApiError as error:
            if method == "GET" and error.status == 404:
                return None
            raise
        found: Mapping[str, Any] = msgspec.json.decode(answer)
        self.lease_version = int(found["metadata"]["resourceVersion"])
        return found

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server has that kind now."""
        try:
            answer = msgspec.json.decode(await self._request("GET", kind.root))
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return any(resource["name"] == kind.plural for resource in answer.get("resources", ()))

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
        *,
        fenced: bool = True,
    ) -> bytes:
        if fenced and method != "GET" and self.may_write and not await self.may_write():
            raise Unreachable(f"{method} {path}: this process does not hold the Lease any more")
        address = path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": accept, "Content-Type": content_type}
        status = "none"
        try:
            _, url, headers, _, _ = await self._client.param_serialize(
                method, address, header_params=headers, query_params=[], auth_settings=["BearerToken"]
            )
            response = await self._client.call_api(method, url, headers, body, _request_timeout=self._timeout)
            answer: bytes = await response.read()
            status = str(response.status)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            self.answered()
            API_REQUESTS.labels(verb=method, code=status).inc()
        if response.status >= 400:
            raise _error(response.status, answer, response.headers.get("Retry-After"))
        return answer


def _moment(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


def _error(status: int, answer: bytes, retry_after: str | None) -> ApiError:
    try:
        message = str(msgspec.json.decode(answer)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = answer[:200].decode(errors="replace")
    wait_s = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
    return ApiError(status, message, wait_s)
