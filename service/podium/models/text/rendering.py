"""Chat templates are rendered in a process of their own: their sandbox bounds neither time nor memory.

As a program this file reads one request a line and writes one answer a line, both JSON. It imports nothing of
Podium or transformers, so that it starts in a fifth of a second; its environment is that of transformers
(`utils.chat_template_utils`), as a test holds.
"""

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
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

CPU_S = 20
"""Seconds of processor time for one answer; an ordinary template takes a millisecond a rendering."""

WALL_S = 300.0
"""Seconds for one answer on a machine that is busy with other things: no fact of the template."""


class Messages(NamedTuple):
    """What is rendered: a system message, if any, then query and document."""

    system: str | None
    query: str
    document: str


class TemplateFailed(ValueError):
    """A template raises an error, as many do for a role that they do not know."""


class RendererLost(RuntimeError):
    """A rendering was ended or kept waiting by the machine: trying again may help, and nothing is known."""


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

        Raises TemplateFailed where the template fails, another ValueError where it takes more time or memory
        than it may, DatedTemplate where it asks for the date, and RendererLost where the machine is at fault.
        """
        answer = self._answer([self._messages(conversation) for conversation in conversations])
        rendered: list[str] = answer["rendered"]
        if answer["dated"]:
            raise DatedTemplate(rendered)
        return rendered

    def literals(self) -> list[str]:
        """Return the strings in the template's code, but for mere keys; raises as `render`."""
        found: list[str] = self._answer(None)["rendered"]
        return found

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
            command = [sys.executable, "-I", __file__]
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
            self._write({**self._head, "cpu_s": CPU_S})
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


def _strings(environment: Any, source: str) -> list[str]:
    """Return the strings in a template's code, but for the keys of subscripts."""
    from jinja2 import nodes

    tree = environment.parse(source)
    keys = {id(item.arg) for item in tree.find_all(nodes.Getitem)}
    constants = [node for node in tree.find_all(nodes.Const) if id(node) not in keys]
    return [node.value for node in constants if isinstance(node.value, str)]


def _bound_time(seconds: int) -> None:
    """End this process by SIGXCPU once it has used so many more seconds of processor time."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    until = math.ceil(time.process_time()) + seconds
    resource.setrlimit(
        resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most)
    )


def main() -> None:
    """Answer requests until the input ends."""
    import resource

    with contextlib.suppress(ValueError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGXCPU would leave one
    head = json.loads(sys.stdin.readline())
    template, failure = None, Exception()
    dates: list[str] = []
    environment = _environment(dates)
    _bound_time(head["cpu_s"])
    try:
        template = environment.from_string(head["source"])
    except Exception as error:  # noqa: BLE001 a template raises anything; it is told
        failure = error
    given = {"tools": None, "documents": None, "add_generation_prompt": False, **head["arguments"]}
    for line in sys.stdin:
        _bound_time(head["cpu_s"])
        try:
            if template is None:
                raise failure  # noqa: TRY301 told like the others
            asked = json.loads(line)
            if asked is None:
                rendered = _strings(environment, head["source"])
            else:
                rendered = [template.render(messages=messages, **given) for messages in asked]
            answer: dict[str, object] = {"rendered": rendered}
        except Exception as error:  # noqa: BLE001 as above
            said = f"{type(error).__name__}: {error}"[:300]
            answer = {"error": said, "memory": isinstance(error, MemoryError)}
        print(json.dumps({**answer, "dated": bool(dates)}), flush=True)


if __name__ == "__main__":
    main()
