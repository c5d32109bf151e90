"""The command line: one module per command, imported only when that command runs."""

from __future__ import annotations

import importlib
import os
import sys

import click

from piip_explore import __version__, extras
from piip_explore.errors import InputError, expected
from piip_explore.terminal import printable

COMMANDS = {
    "models": "The named branch models.",
    "spaces": "The spaces that come with piip-explore.",
    "presets": "The proxy presets: what they train, and on what.",
    "cost": "FLOPs and parameters of a design, by module.",
    "reproduce": "Every published figure: printed, counted, difference.",
    "enumerate": "All designs of a space with their costs.",
    "search": "Search a space: proxy-train designs, keep the Pareto front.",
    "studies": "List, copy, rename and delete studies.",
    "retry": "Queue again the designs that a study has given up.",
    "pareto": "The Pareto front of a study.",
    "recommend": "The best designs of a study within limits, and what each limit costs.",
    "trials": "All trials of a study, failures included.",
    "show": "One design or trial in full.",
    "compare": "Two studies side by side: fronts, hypervolume, attainment.",
    "importance": "Which choices matter for a study's objectives.",
    "export": "Write a design for another program.",
    "train": "Full training of a design, on the GPUs of this machine.",
    "import": "Read the authors' configs and checkpoints.",
    "predict": "The metric that full training is expected to give.",
    "profile": "Latency, throughput and memory of a design on this machine.",
    "measure-device": "Time the parts of a space to predict the latency of every design.",
    "validate": "How well a proxy preset ranks published designs.",
    "data": "See and check the images that proxies are trained on.",
    "report": "A study as one HTML file, to send to a colleague.",
    "dashboard": "Studies, spaces and published results in the browser.",
    "kernel": "Check and time the deformable-attention kernels on this machine.",
}
"""Every command and its one-line help; command `x-y` is the object `command` of `piip_explore.cli.x_y`."""


class LazyGroup(click.Group):
    """A command group that imports a command's module when the command is called, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command named `cmd_name`."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"piip_explore.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names, and the words behind it."""
        if args[0] not in COMMANDS:
            ctx.fail(f"unknown command '{args[0]}': {expected(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, so that `--help` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
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
        _stop(f"{_misused(error)} (try '{where} --help')", 2)
    except (InputError, click.ClickException) as error:
        _stop(error.format_message() if isinstance(error, click.ClickException) else str(error), 2)
    except (click.Abort, KeyboardInterrupt):
        _stop("interrupted", 1)
    except ModuleNotFoundError as error:
        missing = extras.sentence(error)
        if missing is None:
            raise
        _stop(missing, 2)
    except OSError as error:  # a full disk, a cache that cannot be read: not the input's fault, nor the program's
        _give_up_output()
        _stop(str(error), 1)


def _misused(error: click.UsageError) -> str:
    """Return what is wrong with a command line; click suggests another option for what is an argument."""
    context = error.ctx
    if context is not None and isinstance(error, click.NoSuchOption):
        command, option = context.command, error.option_name
        if any(isinstance(known, click.Argument) and option == f"--{known.name}" for known in command.params):
            usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
            return f"'{option}' is not an option here but an argument: {usage}"
    return error.format_message()


def _give_up_output() -> None:
    """Send what cannot be written nowhere; Python would try again as it ends, complain, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(sentence: str, status: int) -> None:
    click.echo(f"piip-explore: {printable(' '.join(sentence.split()))}", err=True)
    sys.exit(status)
