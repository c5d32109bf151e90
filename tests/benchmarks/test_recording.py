"""docs/two-minutes.md was written by the script, from the commands that stand there, and they still print that."""

import re
import shlex
import subprocess

import pytest

from benchmarks.recording import PAGE, commands, fingerprint, record, rewritten
from piip_explore.cli import main

SMALL = """# A page

```console
$ echo hello; pwd >&2
what was printed before
$ true
```

    $ false

Recorded by `benchmarks/recording.py`: long ago.
"""


def test_what_commands_print_takes_the_place_of_what_was_there(tmp_path):
    page = record(SMALL, tmp_path)
    head, said = page.rsplit("\n\n", 1)
    assert head == "# A page\n\n```console\n$ echo hello; pwd >&2\nhello\n~\n$ true\n```\n\n    $ false"
    assert re.fullmatch(r"Recorded by `benchmarks/recording.py`: 2 commands \([0-9a-f]{8}\) of .*\.\n", said)
    again = record(page, tmp_path)
    assert again.rsplit("\n\n", 1)[0] == head


def test_a_command_that_fails_leaves_the_page_as_it_is(tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        record("```console\n$ echo why; exit 3 | cat\n```\n", tmp_path)
    assert (caught.value.returncode, caught.value.output) == (3, "why")


def test_other_commands_have_another_fingerprint():
    assert commands(SMALL) == ["echo hello; pwd >&2", "true"]
    assert fingerprint(SMALL) != fingerprint(SMALL.replace("$ true", "$ :"))
    assert fingerprint(SMALL) == fingerprint(SMALL.replace("printed before", "said"))


def shown() -> dict[str, str]:
    """What the page shows under each command."""
    page, found = PAGE.read_text(), {}
    for command in commands(page):
        (found[command],) = re.findall(rf"^\$ {re.escape(command)}\n(.*?)^(?:\$ |```$)", page, re.MULTILINE | re.DOTALL)
    return found


def test_the_page_was_recorded_with_its_commands():
    page, found = PAGE.read_text(), shown()
    assert f": {len(found)} commands ({fingerprint(page)}) of piip-explore" in page.splitlines()[-1]
    assert all(found.values())
    named = {command.split()[1] for command in found if command.startswith("piip-explore ")}
    assert named == {"models", "cost", "search", "pareto", "predict", "export"}
    assert rewritten(page, lambda command: found[command].splitlines()) == page


@pytest.mark.parametrize("name", ["cost", "predict"])
def test_the_page_shows_what_commands_print_today(name, capsys):
    ((command, text),) = ((line, text) for line, text in shown().items() if line.startswith(f"piip-explore {name} "))
    main(shlex.split(command)[1:])
    assert capsys.readouterr().out == re.sub(r"^\[.* s\]\n", "", text)
