"""Chat templates are rendered in a process of their own (`sandbox`), within bounds of time and memory."""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from podium.errors import Reason, TemporaryStartError
from podium.models.recipe import Chat
from podium.models.text import sandbox

MOST_SOURCE = 256 * 1024
"""Characters of a template at most."""

MOST_OUTPUT = 16 * 1024 * 1024
"""Bytes of an answer at most."""

AT_ONCE = 64
"""Renderings of one answer where there are many: of the longest templates no more fit into it."""

MOST_MEMORY = 1024**3
"""Bytes of address space that rendering may take."""

CPU_S = 20
"""Seconds of processor time for one answer; an ordinary template takes a millisecond a rendering."""

WALL_S = 120.0
"""Seconds for one answer on a machine that is busy with other things: no fact of the template."""


class Messages(NamedTuple):
    """What is rendered: a system message, if any, then query and document."""

    system: str | None
    query: str
    document: str


class TemplateFailed(ValueError):
    """A template raises an error, as many do for a role that they do not know."""


class RendererLost(TemporaryStartError):
    """A rendering was ended or kept waiting by the machine: trying again may help, and nothing is known.

    While serving it fails its request alone, as any error of a model does.
    """

    def __init__(self, message: str) -> None:
        super().__init__(Reason.MODEL_LOAD_FAILED, message)


class DatedTemplate(ValueError):
    """A template writes the day's date, by which a pair's score would be another one tomorrow.

    `rendered`: the texts of today.
    """

    def __init__(self, rendered: list[str]) -> None:
        super().__init__(
            "it asks for the day's date (strftime_now), and scores would change from day to day; write a "
            "date into the template, or set its variable, often `date_string`, in "
            "`processing_kwargs.chat_template`"
        )
        self.rendered = rendered


class Renderer:
    """Renders one chat template, in a process that starts with the first request and ends with `close`.

    `tokens` are the tokenizer's special tokens by their roles, which templates may write. Safe to call from
    any thread. Raises ValueError for a template that is too long.
    """

    def __init__(self, chat: Chat, tokens: Mapping[str, object]) -> None:
        if len(chat.source) > MOST_SOURCE:
            raise ValueError(f"the chat template has {len(chat.source)} characters, more than {MOST_SOURCE}")
        self._head = {"source": chat.source, "arguments": {**tokens, **chat.arguments}}
        self._structured = chat.structured
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def render(self, conversations: Sequence[Messages]) -> list[str]:
        """Return each conversation as one text.

        Raises TemplateFailed where the template fails, another ValueError where it takes more time or memory
        than it may, DatedTemplate where it asks for the date, and RendererLost where the machine is at fault.
        """
        return self._render(conversations, failing=False)

    def render_what_can_be(self, conversations: Sequence[Messages]) -> list[str | None]:
        """Return each conversation as one text, None where the template fails on it; raises as `render`."""
        found: list[str | None] = []
        for start in range(0, len(conversations), AT_ONCE):
            found += self._render(conversations[start : start + AT_ONCE], failing=True)
        return found

    def literals(self) -> list[str]:
        """Return the strings in the template's code, but for mere keys; raises as `render`."""
        found: list[str] = self._answer({"strings": True})["texts"]
        return found

    def _render(self, conversations: Sequence[Messages], *, failing: bool) -> list[Any]:
        messages = [self._messages(conversation) for conversation in conversations]
        answer = self._answer({"messages": messages, "failing": failing})
        rendered: list[Any] = answer["texts"]
        if answer["dated"]:
            raise DatedTemplate(rendered)
        return rendered

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _messages(self, conversation: Messages) -> list[dict[str, object]]:
        texts = zip(("system", "query", "document"), conversation, strict=True)
        return [
            {"role": role, "content": [{"type": "text", "text": text}] if self._structured else text}
            for role, text in texts
            if text is not None
        ]

    def _answer(self, request: object) -> dict[str, Any]:
        with self._lock:
            try:
                answer = self._ask(request)
            except BaseException:
                self._end()
                raise
        if "error" in answer:
            kind = ValueError if answer["memory"] else TemplateFailed
            raise kind(f"the chat template cannot be rendered: {answer['error']}")
        return answer

    def _ask(self, request: object) -> dict[str, Any]:
        if self._process is None:
            command = [sys.executable, "-I", sandbox.__file__]
            try:
                self._process = subprocess.Popen(  # noqa: S603 this very file
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # what a terminal sends to us while we drain is not meant for it
                )
            except OSError as error:
                raise RendererLost(
                    f"the process that renders the chat template cannot start: {error}"
                ) from error
            self._write({**self._head, "cpu_s": CPU_S, "memory": MOST_MEMORY})
        self._write(request)
        return self._read()

    def _write(self, what: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        answer = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not selector.select(WALL_S):
                    raise RendererLost(
                        f"the chat template was not rendered within {WALL_S:g} s, of which it had less than "
                        f"{CPU_S} s of processor time: the machine is too busy"
                    )
                part = os.read(self._process.stdout.fileno(), 1 << 20)
                answer += part
                if not part:
                    raise self._ended()
                if len(answer) > MOST_OUTPUT:
                    raise ValueError(f"the chat template renders more than {MOST_OUTPUT} bytes")
        found: dict[str, Any] = json.loads(answer)
        return found

    def _ended(self) -> Exception:
        """Return why the process has ended, by its status."""
        assert self._process is not None
        status = self._process.wait()
        if status == -signal.SIGXCPU:
            return ValueError(f"the chat template takes more than {CPU_S} s of processor time to render")
        if status == -signal.SIGKILL:  # by the kernel where memory is short, and by nothing in a template
            return RendererLost("the chat template's process was killed, often where memory is short")
        return ValueError(
            f"the chat template takes more memory to render than {MOST_MEMORY} bytes, or ends its process "
            f"otherwise (status {status})"
        )

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
