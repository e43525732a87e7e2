"""The log holds lines of ours only, one JSON object each, whatever libraries would write."""

import json
import os
import re
import signal
import subprocess
import sys

LIBRARIES = """
import logging, warnings
import huggingface_hub.utils, transformers, uvicorn
from podium.telemetry import logs
transformers.utils.logging.get_logger("transformers.loading").warning("before")
logs.configure("info", "json")
transformers.utils.logging.get_logger("transformers.loading").warning("from transformers")
huggingface_hub.utils.logging.get_logger("huggingface_hub.download").warning("from the hub's client")
logging.getLogger("uvicorn.error").error("from uvicorn")
warnings.warn("a warning of Python")
"""


def test_what_libraries_log_and_warn_of_is_in_our_format_and_said_once():
    ended = subprocess.run(
        [sys.executable, "-c", LIBRARIES], capture_output=True, text=True, timeout=120, check=True
    )
    _, *lines = ended.stderr.splitlines()
    found = [json.loads(line) for line in lines]
    assert [line["logger"] for line in found] == [
        "transformers.loading",
        "huggingface_hub.download",
        "uvicorn.error",
        "py.warnings",
    ]
    assert "a warning of Python" in found[-1]["message"]


def test_podium_serve_writes_nothing_but_json():
    """No bar of a library that loads weights, no warning of another, none of ours before the log is set."""
    environment = {**os.environ, "PODIUM_HOST": "127.0.0.1", "PODIUM_PORT": "0", "PODIUM_LOG_FORMAT": "json"}
    environment["PODIUM_XYZZY"] = "no setting"
    serving = [sys.executable, "-c", "from podium.cli import main; main()", "serve"]
    with subprocess.Popen(serving, env=environment, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if re.search("listening on", line):
                process.send_signal(signal.SIGTERM)
    assert [json.loads(line)["logger"].split(".")[0] for line in lines] == ["podium"] * len(lines)
    assert any("PODIUM_XYZZY is no setting of Podium" in line for line in lines)
    assert process.returncode == 0
