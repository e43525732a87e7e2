"""A log line is one JSON object, whatever stands in it."""

import json
import logging
import sys

from podium_operator.run.logs import JsonFormatter


def record(message: str, *arguments: object, error: bool = False) -> logging.LogRecord:
    trouble = sys.exc_info() if error else None
    made = logging.LogRecord("podium_operator.x", logging.WARNING, "x.py", 1, message, arguments, trouble)
    made.created = 1772366400.0
    return made


def test_a_record_is_one_line_with_time_level_logger_and_message() -> None:
    line = JsonFormatter().format(record("two\nlines of %s", '"quotes"'))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-03-01T12:00:00.000+00:00",
        "level": "warning",
        "logger": "podium_operator.x",
        "message": 'two\nlines of "quotes"',
    }


def test_an_exception_stands_in_the_same_line() -> None:
    try:
        int("no")
    except ValueError:
        line = JsonFormatter().format(record("failed", error=True))
    assert "\n" not in line
    assert json.loads(line)["error"].endswith("invalid literal for int() with base 10: 'no'")
