"""The process that renders a chat template: Jinja's sandbox bounds neither time nor memory.

As a program, which `rendering` starts, this file reads one request a line and writes one answer a line, both
JSON. It imports nothing of Podium or transformers, so that it starts in a fifth of a second; its environment
is that of transformers (`utils.chat_template_utils`), as a test holds.
"""

import contextlib
import json
import math
import resource
import sys
import time
from datetime import datetime
from typing import Any


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
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    until = math.ceil(time.process_time()) + seconds
    resource.setrlimit(
        resource.RLIMIT_CPU, (until if most == resource.RLIM_INFINITY else min(until, most), most)
    )


def main() -> None:
    """Answer requests until the input ends: `strings`, those in the template's code; else `messages`,
    rendered, null for those on which the template fails where `failing` allows that.
    """
    head = json.loads(sys.stdin.readline())
    with contextlib.suppress(ValueError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (head["memory"], head["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGXCPU would leave one
    template, failure = None, Exception()
    dates: list[str] = []
    environment = _environment(dates)
    _bound_time(head["cpu_s"])
    try:
        template = environment.from_string(head["source"])
    except Exception as error:  # noqa: BLE001 a template raises anything; it is told
        failure = error
    given = {"tools": None, "documents": None, "add_generation_prompt": False, **head["arguments"]}

    def rendered(messages: object, failing: bool) -> str | None:
        assert template is not None
        try:
            text: str = template.render(messages=messages, **given)
        except MemoryError:
            raise
        except Exception:
            if not failing:
                raise
            return None
        return text

    for line in sys.stdin:
        _bound_time(head["cpu_s"])
        try:
            if template is None:
                raise failure  # noqa: TRY301 told like the others
            asked = json.loads(line)
            if asked.get("strings"):
                texts: list[Any] = _strings(environment, head["source"])
            else:
                texts = [rendered(messages, asked["failing"]) for messages in asked["messages"]]
            answer: dict[str, object] = {"texts": texts}
        except Exception as error:  # noqa: BLE001 as above
            said = f"{type(error).__name__}: {error}"[:300]
            answer = {"error": said, "memory": isinstance(error, MemoryError)}
        print(json.dumps({**answer, "dated": bool(dates)}), flush=True)


if __name__ == "__main__":
    main()
