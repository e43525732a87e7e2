"""The executable `podium`: a file per command. Only this floor and `server.app` read settings."""

from podium.cli.group import main

__all__ = ["main"]
