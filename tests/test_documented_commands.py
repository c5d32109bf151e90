"""Every command that documents, help texts and messages name is one that the command line takes. Nothing is run."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from piip_explore import cli

ROOT = Path(__file__).parent.parent
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_ALONE = re.compile(r"^\s*(?:[$>] |exec |CUDA_VISIBLE_DEVICES=\S+ )?(piip-explore [a-z-].*)$", re.MULTILINE)
_QUOTED = re.compile(r"(?:`+|(?<=[\s(])')(piip-explore [a-z][^`'\n]*?(?:'[^'`\n]*'[^`'\n]*?)*)(?:`+|'(?=[\s).,;:]))")
_LABELLED = re.compile(r"^\s*(?:Extend|Resume|Front|Dashboard): +(piip-explore [a-z-].*)$", re.MULTILINE)
_STANDS_FOR = {"N": "1", "KIND:FOLDER": "coco:folder"}
_NAMES = {"piip-explore tables", "piip-explore study filled", "piip-explore filled worker filled"}
"""Names of a database's locks and of a cluster's workers, which are not commands."""


def in_text(text: str) -> Iterator[tuple[str, bool]]:
    """Yield commands, each with whether it is whole: one in a sentence may leave out what it is given."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    for pattern in (_ALONE, _QUOTED, _LABELLED):
        for line in pattern.findall(joined):
            yield line, pattern is not _QUOTED


def in_code(path: Path) -> Iterator[tuple[str, bool]]:
    """Commands in a module's strings; a part that is filled in later stands as `filled`."""
    tree = ast.parse(path.read_text())
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "filled" for part in node.values]
            yield from in_text("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield from in_text(node.value)


def words_of(line: str) -> list[str]:
    """Return the words behind `piip-explore`, up to a comment, a pipe or a redirection."""
    line = re.split(r"\s+#|\s*[|>]\s|(?<=\S)   +", line)[0].replace("--target filled", "--target native")
    return [_STANDS_FOR.get(word, word) for word in shlex.split(line.rstrip(" \\.;,"))[1:]]


def parse(words: list[str], whole: bool = True) -> None:
    """Have click parse a command line, and nothing more; one that is not `whole` may lack arguments."""
    command: click.Command = cli.cli
    parent = click.Context(command, info_name="piip-explore")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(parent, words)
        assert found is not None, name
        command, parent = found, click.Context(found, info_name=name, parent=parent)
    allowed = (click.exceptions.Exit,) if whole else (click.exceptions.Exit, click.MissingParameter)
    with suppress(*allowed):  # --help and --version exit
        if words or whole:
            command.make_context(parent.info_name, words, parent=parent.parent)


FOUND = {(str(path.relative_to(ROOT)), *line) for path in TEXTS for line in in_text(path.read_text())} | {
    (str(path.relative_to(ROOT)), *line)
    for path in sorted((ROOT / "piip_explore").rglob("*.py"))
    for line in in_code(path)
    if line[0] not in _NAMES
}


@pytest.mark.parametrize(("where", "line", "whole"), sorted(FOUND))
def test_a_named_command_is_one(where, line, whole):
    parse(words_of(line), whole)


def test_commands_were_found_where_they_stand():
    places = {where for where, *_ in FOUND}
    assert {"README.md", "docs/search.md", "docs/tutorial.md", "piip_explore/cli/search.py"} <= places
    assert len(FOUND) > 80


@pytest.mark.parametrize(
    "line",
    [
        "piip-explore serch demo",
        "piip-explore search demo --presets cpu",
        "piip-explore search demo --trials many",
        "piip-explore studies rename a",
        "piip-explore show",
    ],
)
def test_a_slip_is_found(line):
    with pytest.raises(click.UsageError):
        parse(words_of(line))
