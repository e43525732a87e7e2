"""Runs inside the environment of a set: calls its clients, and prints what each of them returned.

`python caller.py SET` reads {origin, key, query, documents, calls: [[client, base], …]} and writes a list
with one object a call: `asked`, how many documents the client asked for; `ranking`, pairs of index and score
in its order; and `dialects`, those that the server counted meanwhile; or `error`, where the client raised
one. `refused` is what it raised when it was called again with a blank query. Nothing but loopback can be
reached.
"""

import contextlib
import functools
import importlib
import json
import os
import re
import sys
import traceback
import urllib.request
from collections.abc import Callable
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def only_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse every other host, as an audit hook of the interpreter."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in LOOPBACK:
        raise PermissionError(f"{event} to {host}, which is not on loopback")


def counted(origin: str) -> dict[str, float]:
    """Return how many requests of each dialect the server has answered with 200."""
    with urllib.request.urlopen(f"{origin}/metrics") as answer:
        text = answer.read().decode()
    found = re.findall(r'^podium_requests_total\{dialect="(\w+)",status="200"\} (\S+)$', text, re.MULTILINE)
    return {dialect: float(count) for dialect, count in found}


def refusal(call: Callable[[str, list[str]], object], documents: list[str]) -> str | None:
    """Return what a client raises for a blank query."""
    try:
        call(" ", documents)
    except Exception:  # noqa: BLE001 whatever a client raises is its answer
        return traceback.format_exc()
    return None


def main() -> None:
    """Call each client in turn."""
    ask = json.load(sys.stdin)
    sys.addaudithook(only_loopback)
    told = []
    with contextlib.redirect_stdout(sys.stderr):
        module = importlib.import_module(f"call_{sys.argv[1]}")
        clients = module.CLIENTS
        if unlisted := clients.keys() - {client for client, _ in ask["calls"]}:
            sys.exit(f"podium.dialects.clients does not list {', '.join(sorted(unlisted))}")
        for client, base in ask["calls"]:
            call = functools.partial(clients[client], ask["origin"] + base, ask["key"])
            before = counted(ask["origin"])
            try:
                ranking = [
                    (int(index), float(score)) for index, score in call(ask["query"], ask["documents"])
                ]
            except Exception:  # noqa: BLE001 whatever a client raises is its answer
                told.append({"error": traceback.format_exc()})
                continue
            after = counted(ask["origin"])
            dialects = [dialect for dialect in after if after[dialect] != before.get(dialect)]
            told.append(
                {
                    "asked": len(ask["documents"]) if client in module.ALL else module.TOP_N,
                    "ranking": ranking,
                    "dialects": dialects,
                    "refused": refusal(call, ask["documents"]),
                }
            )
    json.dump(told, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # some clients' exit hooks wait for threads that would call home


if __name__ == "__main__":
    main()
