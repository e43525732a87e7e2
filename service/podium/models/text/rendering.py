"""Chat templates are rendered in a process of their own: their sandbox bounds neither time nor memory.

As a program this file reads one request a line and writes one answer a line, both JSON. It imports nothing of
Podium or transformers, so that it starts in a fifth of a second; its environment is that of transformers
(`utils.chat_template_utils`), as a test holds.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from podium.models.recipe import Chat

MOST_SOURCE = 256 * 1024
"""Characters of a template at most."""

MOST_OUTPUT = 16 * 1024 * 1024
"""Bytes of an answer at most."""

MOST_MEMORY = 1024**3
"""Bytes of address space that rendering may take."""

TIMEOUT_S = 20.0
"""Seconds for one answer; an ordinary template takes a millisecond a rendering."""


class Messages(NamedTuple):
    """What is rendered: a system message, if any, then query and document."""

    system: str | None
    query: str
    document: str


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

    def __init__(self, chat: "Chat", tokens: Mapping[str, object]) -> None:
        if len(chat.source) > MOST_SOURCE:
            raise ValueError(f"the chat template has {len(chat.source)} characters, more than {MOST_SOURCE}")
        self._head = {"source": chat.source, "arguments": {**tokens, **chat.arguments}}
        self._structured = chat.structured
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def render(self, conversations: Sequence[Messages]) -> list[str]:
        """Return each conversation as one text.

        Raises ValueError where the template fails, or takes more time or memory than it may, DatedTemplate
        where it asks for the date.
        """
        request = [self._messages(conversation) for conversation in conversations]
        with self._lock:
            try:
                answer = self._ask(request)
            except BaseException:
                self._end()
                raise
        if "error" in answer:
            raise ValueError(f"the chat template cannot be rendered: {answer['error']}")
        rendered: list[str] = answer["rendered"]
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

    def _ask(self, request: object) -> dict[str, Any]:
        if self._process is None:
            command = [sys.executable, "-I", __file__]
            self._process = subprocess.Popen(  # noqa: S603 this very file
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what a terminal sends to us while we drain is not meant for it
            )
            self._write(self._head)
        self._write(request)
        return self._read()

    def _write(self, what: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ValueError("the chat template cannot be rendered: its process has ended") from None

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        answer = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if not selector.select(TIMEOUT_S):
                    raise ValueError(f"the chat template takes more than {TIMEOUT_S:g} s to render")
                part = os.read(self._process.stdout.fileno(), 1 << 20)
                answer += part
                if not part:
                    raise ValueError(
                        f"the chat template takes more memory to render than {MOST_MEMORY} bytes, or ends "
                        "its process otherwise"
                    )
                if len(answer) > MOST_OUTPUT:
                    raise ValueError(f"the chat template renders more than {MOST_OUTPUT} bytes")
        found: dict[str, Any] = json.loads(answer)
        return found

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _environment(asked: list[str]) -> Any:
    """Return Jinja's sandbox as transformers sets it up for chat templates.

    `asked` takes down the forms in which a template asks for the date.
    """
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks what a model writes; nothing of it is rendered otherwise."""

        tags = {"generation"}  # noqa: RUF012 as jinja2 declares it

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def to_json(
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    def strftime_now(form: str) -> str:
        asked.append(form)
        return datetime.now().strftime(form)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment


def main() -> None:
    """Answer requests until the input ends."""
    import resource

    with contextlib.suppress(ValueError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    head = json.loads(sys.stdin.readline())
    template, failure = None, ""
    dates: list[str] = []
    try:
        template = _environment(dates).from_string(head["source"])
    except Exception as error:  # noqa: BLE001 a template raises anything; it is told
        failure = f"{type(error).__name__}: {error}"
    given = {"tools": None, "documents": None, "add_generation_prompt": False, **head["arguments"]}
    for line in sys.stdin:
        try:
            if template is None:
                raise ValueError(failure)  # noqa: TRY301 told like the others
            rendered = [template.render(messages=messages, **given) for messages in json.loads(line)]
            answer: dict[str, object] = {"rendered": rendered}
        except Exception as error:  # noqa: BLE001 as above
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps({**answer, "dated": bool(dates)}), flush=True)


if __name__ == "__main__":
    main()
