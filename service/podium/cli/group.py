"""`podium` itself: the table of its commands, each imported when it is called."""

import importlib
import signal
import sys
from importlib.metadata import version

import click

from podium.cli import environment

# Command to the object that it is and the line that `podium --help` shows: help answers at once, without
# importing what the commands need.
COMMANDS = {
    "serve": ("podium.cli.serve:serve", "Serve a model over HTTP, in every rerank API that clients speak."),
    "rank": ("podium.cli.rank:rank", "Rank lines or files for a query, here in the terminal."),
    "inspect": ("podium.cli.inspect:inspect", "Say how a model scores, and what serving it takes."),
    "fetch": ("podium.cli.fetch:fetch", "Download a model: resumed, verified, and whole or not there."),
    "size": ("podium.cli.size:size", "Say how many pods a load needs, from this machine's measured speed."),
    "bench": (
        "podium.bench.command:bench",
        "Measure speed on this machine; `make bench` installs what it needs.",
    ),
}


class Table(click.Group):
    """A group over COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None for a name that is not in the table."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table into the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Table, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("podium-rerank"), prog_name="podium", message="%(prog)s %(version)s")
@click.pass_context
def podium(context: click.Context) -> None:
    """Rank documents for a query with a cross-encoder model.

    Options win over PODIUM_… variables, and these over a file `.env` in the working directory.
    """
    values = environment.dotfile()
    context.default_map = dict.fromkeys(COMMANDS, values)


def main() -> None:
    """Run the executable."""
    # As process 1 of a container, one without a handler is deaf to SIGTERM: a download would be waited for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    podium(prog_name="podium")
