"""The command line: one file a command, imported when the command runs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import sys
from typing import Any

import click

from polyvox.errors import PolyvoxError

COMMANDS = {
    "say": "polyvox.cli.say:say",
    "voices": "polyvox.cli.voices:voices",
    "inspect": "polyvox.cli.inspect:inspect",
    "check": "polyvox.cli.check:check",
    "bench": "polyvox.cli.bench:bench",
    "pack": "polyvox.cli.pack:pack",
    "serve": "polyvox.cli.serve:serve",
}
"""Command -> module:function. The modules import nothing heavy before they run, so `--help` is quick."""

INTERRUPTED = 130
PIPE_CLOSED = 141
"""What a shell reports of a program that ended by SIGINT or SIGPIPE."""


class Commands(click.Group):
    """The lazy table of commands, and what becomes of their errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands that are there, in the table's order."""
        return [name for name, place in COMMANDS.items() if importlib.util.find_spec(place.partition(":")[0])]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; whatever a user can meet becomes one line and an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a closed pipe is still ours to handle
            return result
        except KeyboardInterrupt:
            click.echo(err=True)  # leave the line with ^C
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            _forget_stdout()
            raise SystemExit(PIPE_CLOSED) from None
        except OSError as error:  # files have their own errors by now: it is the output that refuses, a full disk say
            _forget_stdout()
            click.echo(f"polyvox: {error.filename or 'standard output'}: {error.strerror or error}", err=True)
            raise SystemExit(1) from None
        except PolyvoxError as error:
            click.echo(f"polyvox: {_one_line(error)}", err=True)
            raise SystemExit(1) from None
        except click.UsageError as error:
            asked = error.ctx.command_path if error.ctx else "polyvox"
            click.echo(f"polyvox: {_one_line(error.format_message())} ({asked} --help shows how)", err=True)
            raise SystemExit(error.exit_code) from None


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _forget_stdout() -> None:
    """Let the interpreter's own flush at exit go nowhere instead of failing a second time."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from polyvox import __version__

        click.echo(f"polyvox {__version__}")
        ctx.exit()


@click.group(
    "polyvox",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Example: polyvox say "Good morning." -o morning.wav',
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Speak with any text-to-speech model: one addon, streamed, on any target."""


def main() -> None:
    """The entry point `polyvox`."""
    # A polite end, so that half-written files are removed on the way out as they are for ^C.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        cli(prog_name="polyvox")
    except KeyboardInterrupt:  # before or after the command itself
        raise SystemExit(INTERRUPTED) from None
