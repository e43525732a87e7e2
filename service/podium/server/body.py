"""Reading a body within its limits of bytes and seconds, and noticing a caller who leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from litestar.types import Receive

from podium.errors import BodyTimeout, BodyTooLarge, MalformedBody, Overloaded, UnsupportedEncoding

T = TypeVar("T")


class Budget:
    """Bytes of all bodies that are read or wait for their answer. Used on the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that takes so many bytes more, and give all of them back at the end.

        It raises Overloaded where they are too many. One request alone always fits: settings hold the limit
        above that of a body.
        """
        taken = 0

        def take(bytes: int) -> None:
            nonlocal taken
            if self.used + bytes > self._limit:
                raise Overloaded(
                    f"the bodies of other requests hold {self.used - taken} bytes, the limit is "
                    f"{self._limit} (max_in_flight_bytes); try again later or send fewer documents",
                    1,
                )
            self.used += bytes
            taken += bytes

        try:
            yield take
        finally:
            self.used -= taken


class ClientGone(Exception):
    """The caller closed the connection; nobody reads an answer."""


async def read_body(
    headers: Mapping[str, str],
    receive: Receive,
    take: Callable[[int], None],
    *,
    max_bytes: int,
    timeout_s: float,
) -> bytes:
    """Return the whole body, after `take` was called with its bytes as they came.

    Raises what `take` raises, BodyTooLarge as soon as it is known, MalformedBody, BodyTimeout,
    UnsupportedEncoding or ClientGone. What is left unread then, uvicorn drops as it comes while the
    connection stays open: closing it with bytes unread would reset it, and the reset overtakes the answer.
    """
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedEncoding(
            f"Content-Encoding `{encoding[:40]}` is not supported; send the body as it is"
        )
    announced = headers.get("content-length", "")
    if len(announced) > 20:  # beyond 64 bits; Python refuses to read thousands of digits as a number
        raise MalformedBody(f"content-length has {len(announced)} digits; send the length in bytes")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise BodyTooLarge(max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGone
                chunks.append(message["body"])
                size += len(message["body"])
                if size > max_bytes:
                    raise BodyTooLarge(max_bytes)
                take(len(message["body"]))
                if not message["more_body"]:
                    return b"".join(chunks)
    except TimeoutError:
        raise BodyTimeout(timeout_s) from None


async def while_connected(work: Awaitable[T], receive: Receive) -> T:
    """Await `work`, or cancel it and raise ClientGone when the caller closes the connection.

    To be called when the whole body has been received.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
