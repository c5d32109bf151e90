"""The command line's frame: exit codes, one clear line, nothing heavy imported for nothing."""

import importlib.util
import os
import signal
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

from piip_explore.cli import COMMANDS
from tests import commands

PROGRAM = [sys.executable, "-m", "piip_explore"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists_and_explains_itself(name):
    assert importlib.util.find_spec(f"piip_explore.cli.{name.replace('-', '_')}") is not None
    result = run(name, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"Usage: piip-explore {name}")


def test_help_lists_the_commands_without_importing_them():
    script = (
        "import sys\n"
        "from piip_explore.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'optuna', 'streamlit', 'pandas', 'plotly'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in COMMANDS)


def test_importing_the_package_loads_nothing_heavy():
    script = "import sys, piip_explore; assert not {'torch', 'optuna', 'streamlit', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["cost"], "DESIGN"),
        (["cost", "vit_tiny@448 vit_base@224; a\nb=1"], "option 'a b=1'"),
        (["cost", "vit_bse@448"], "unknown model 'vit_bse'"),
        (["cost", "vit_base@450"], "expected a multiple of its patch, 16"),
        (["cost", "vit_base@448 vit_small@896; heads=7"], "heads=7 does not divide"),
        (["cost", "vit_base@448", "--accounting", "guess"], "guess"),
        (["enumerate", "no_such_space.yaml"], "no_such_space.yaml"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, words):
    answer = commands.run(arguments)
    assert answer.status == 2, answer.err
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith("piip-explore: ")
    assert words in answer.err
    assert answer.out == ""


def test_without_arguments_it_explains_itself():
    result = run()
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Usage: piip-explore")
    assert " ".join(result.stderr.split()).endswith("on this machine.")


def test_a_reader_that_has_gone_is_no_error_to_speak_of():
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([*PROGRAM, "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line_and_exit_1(unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*PROGRAM, "--help"], env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.returncode == 1
    assert result.stderr == "piip-explore: [Errno 28] No space left on device\n"


def test_a_space_comes_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "space.yaml")
    command = subprocess.Popen([*PROGRAM, "enumerate", "space.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    (tmp_path / "space.yaml").write_text("nonsense: 1\n")
    _, error = command.communicate(timeout=300)
    assert command.returncode == 2
    assert "nonsense" in error


def test_an_interrupt_is_one_line_and_exit_1(tmp_path):
    os.mkfifo(tmp_path / "space.yaml")
    command = subprocess.Popen(
        [*PROGRAM, "enumerate", "space.yaml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    with open(tmp_path / "space.yaml", "w"):  # waits until the command opens the file, and makes it wait for content
        command.send_signal(signal.SIGINT)
        _, error = command.communicate(timeout=300)
    assert command.returncode == 1
    assert error.strip() == "piip-explore: interrupted"


SLOW_CLICK = """
import sys
open("wait").read()
sys.path.remove({folder!r})
del sys.modules["click"]
import click
"""

SCRIPT = tomllib.loads((commands.ROOT / "pyproject.toml").read_text())["project"]["scripts"]["piip-explore"]


@pytest.mark.parametrize("entry", ["module", "script"])
@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_an_interrupt_of_the_first_imports_is_one_line_and_exit_1(tmp_path, entry, handler):
    module, function = SCRIPT.split(":")
    program = ["-m", "piip_explore"] if entry == "module" else ["-c", f"from {module} import *; {function}()"]
    (tmp_path / "click.py").write_text(SLOW_CLICK.format(folder=str(tmp_path)))
    os.mkfifo(tmp_path / "wait")
    command = subprocess.Popen(
        [sys.executable, *program, "--version"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{commands.ROOT}", "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, handler),
    )
    with open(tmp_path / "wait", "w"):  # waits until click is imported, and makes it wait
        command.send_signal(signal.SIGINT)
        if handler == signal.SIG_DFL:
            command.wait()
    out, error = command.communicate(timeout=300)
    if handler == signal.SIG_DFL:
        assert (command.returncode, out, error) == (1, "", "piip-explore: interrupted\n")
    else:
        assert (command.returncode, error) == (0, "")


def test_nothing_else_is_imported_before_an_interrupt_is_answered():
    script = (
        "import sys, piip_explore.__main__\n"
        "ours = {name for name in sys.modules if name.startswith('piip_explore')}\n"
        "assert ours == {'piip_explore', 'piip_explore.__main__'}, ours\n"
        "assert not {'click', 'dataclasses', 'numpy', 'yaml'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_the_package_offers_is_there_when_asked_for():
    script = (
        "import piip_explore\n"
        "from piip_explore import *\n"
        "assert Design.parse('vit_tiny@224') in [Design.parse('vit_tiny@224')]\n"
        "assert {'Branch', 'Design', 'Interaction', 'Merge', 'SearchSpace'} < set(dir(piip_explore))\n"
        "assert all(getattr(piip_explore, name) for name in piip_explore.__all__)\n"
        "assert not hasattr(piip_explore, 'Desing')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_system_without_file_locks_is_told_so(tmp_path):
    script = (
        "import sys, filelock, fvcore.nn\n"  # they have locks of their own on Windows
        "sys.modules['fcntl'] = None\n"  # as on Windows
        "from piip_explore.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    for arguments, status, words in (
        (["pareto", "--storage", str(tmp_path / "a.journal")], 2, "studies need file locks that this system lacks"),
        (["cost", "vit_tiny@224"], 0, ""),
        (["data", "check", f"coco:{tmp_path}"], 2, "annotations"),
    ):
        command = [sys.executable, "-c", script, *arguments]
        environment = {**os.environ, "PIIP_EXPLORE_CACHE": str(tmp_path / "cache")}  # a new user's: empty
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert result.returncode == status, result.stderr
        assert words in result.stderr
        assert result.stderr.count("\n") == (status != 0)
