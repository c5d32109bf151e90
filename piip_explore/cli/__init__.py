"""The command line: one module per command, imported only when that command runs."""

from __future__ import annotations

import importlib
import sys

import click

from piip_explore.errors import InputError

COMMANDS = {
    "cost": "FLOPs and parameters of a design, by module.",
    "reproduce": "Every published figure: printed, counted, difference.",
    "enumerate": "All designs of a space with their costs.",
    "search": "Search a space: proxy-train designs, keep the Pareto front.",
    "pareto": "The Pareto front of a study.",
    "show": "One design or trial in full.",
    "compare": "Two studies side by side: fronts, hypervolume, attainment.",
    "importance": "Which choices matter for a study's objectives.",
    "export": "Write a design for another program.",
    "import": "Read the authors' configs and checkpoints.",
    "profile": "Latency, throughput and memory of a design on this machine.",
    "validate": "How well a proxy preset ranks published designs.",
    "data": "See and check the images that proxies are trained on.",
    "dashboard": "Studies, spaces and published results in the browser.",
    "kernel": "Check and time the deformable-attention kernels on this machine.",
}
"""Every command and its one-line help; command `x` is the object `command` of `piip_explore.cli.x`."""


class LazyGroup(click.Group):
    """A command group that imports a command's module when the command is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command named `cmd_name`."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"piip_explore.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that `--help` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="piip-explore")
def cli() -> None:
    """Which branch models at which resolutions give the most accuracy for your FLOPs?"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 bad input, 1 failed run; where it is not 0, with one line why."""
    try:
        status = cli.main(arguments, prog_name="piip-explore", standalone_mode=False)
        if status:
            sys.exit(status)  # click returns the status of `ctx.exit(status)`
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "piip-explore"
        _stop(f"{error.format_message()} (try '{where} --help')", 2)
    except (InputError, click.ClickException) as error:
        _stop(error.format_message() if isinstance(error, click.ClickException) else str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        _stop("interrupted", 1)
    except OSError as error:  # a full disk, a cache that cannot be read: not the input's fault, nor the program's
        _stop(str(error), 1)


def _stop(sentence: str, status: int) -> None:
    click.echo(f"piip-explore: {' '.join(sentence.split())}", err=True)
    sys.exit(status)
