"""The command line's frame: exit codes, one clear line, nothing heavy imported for nothing."""

import importlib.util
import subprocess
import sys

import pytest

from piip_explore.cli import COMMANDS


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "piip_explore", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists_and_explains_itself(name):
    assert importlib.util.find_spec(f"piip_explore.cli.{name}") is not None
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
        (["cost", "vit_bse@448"], "unknown model 'vit_bse'"),
        (["cost", "vit_base@450"], "expected a multiple of its patch, 16"),
        (["cost", "vit_base@448 vit_small@896; heads=7"], "heads=7 does not divide"),
        (["cost", "vit_base@448", "--accounting", "guess"], "guess"),
        (["enumerate", "no_such_space.yaml"], "no_such_space.yaml"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, words):
    result = run(*arguments)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("piip-explore: ")
    assert words in result.stderr
    assert result.stdout == ""
