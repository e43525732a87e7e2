"""Logs: one JSON object a line, or a line for people. Never documents, queries or keys."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Literal

import msgspec

_WITH_HANDLERS = ("transformers", "huggingface_hub", "uvicorn", "uvicorn.error", "uvicorn.access")
"""Libraries that would write lines of their own, in a format of their own."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JSONFormatter(logging.Formatter):
    """A record as `{"time", "level", "logger", "message", …}` with its extra fields beside them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= _extras(record)
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        try:
            return msgspec.json.encode(line, enc_hook=str).decode()
        except UnicodeEncodeError:  # a lone surrogate, such as in the name of a file
            return json.dumps(line, default=str)


class ConsoleFormatter(logging.Formatter):
    """A record as `time level message key=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line, with its traceback below."""
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items() if value is not None)
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = f"{time} {record.levelname.lower():7} {record.getMessage()}{extras}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def configure(level: str, format: Literal["auto", "json", "console"]) -> None:
    """Send everything to stderr in one format, what libraries log and warn of, too.

    uvicorn's own access log is off, ours has the line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConsoleFormatter() if for_people(format) else JSONFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for library in _WITH_HANDLERS:
        logging.getLogger(library).handlers.clear()
        logging.getLogger(library).propagate = True
    logging.getLogger("podium").setLevel(level.upper())


def for_people(format: Literal["auto", "json", "console"]) -> bool:
    """Whether the log goes to a person and not to a machine."""
    return format == "console" or (format == "auto" and sys.stderr.isatty())


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
