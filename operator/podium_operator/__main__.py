"""`python -m podium_operator`: settings from the environment, then run until told to end."""

import asyncio
import logging
import os
import sys

from podium_operator.run.cluster import Cluster
from podium_operator.run.logs import configure_logs
from podium_operator.run.program import Program
from podium_operator.settings import SettingError, Settings, read_settings

_JSON_LEVELS = 20_000
"""The API server takes JSON of 10,000 levels. Python's 1,000 would end the watch of all Rerankers at one of
them; `resource.validate` refuses it by name."""


async def run(settings: Settings) -> None:
    """Connect and run; begin anew in the same container where add-ons came or went."""
    cluster = await Cluster.connect(timeout_s=settings.api_timeout_s, connections=settings.workers + 4)
    anew = await Program(settings, cluster).run()
    await cluster.close()
    if anew:
        logging.getLogger(__name__).info("the installed add-ons changed, starting anew")
        # Everything that is remembered may be lost at any time, and kopf cannot be ended in a running loop.
        os.execv(sys.executable, [sys.executable, "-m", "podium_operator"])  # noqa: S606


def main() -> int:
    """Return the exit code: 2 where a setting cannot work."""
    try:
        settings = read_settings(os.environ)
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.setrecursionlimit(_JSON_LEVELS)
    configure_logs(settings.log_level, settings.log_format)
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
