"""Config files are data: all styles of writing them are read, and nothing in them is ever run."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piip_explore.errors import InputError
from piip_explore.official.config_file import MAX_BYTES, read_config
from piip_explore.official.evaluate import evaluate

STYLES = '''
"""A config in all the ways that configs are written."""
# a comment
depth = 12
width = 768
drop = 0.1 * 2
path = 'pretrained/' + 'deit.pth'
deepspeed = True
big = depth >= 12
common = dict(n_points=4, nested=dict(a=-1, b=2))
model = dict(
    backbone=dict(**common, window_attn=[True] * depth, sizes=[14] * 11 + [-1]),
    neck={'type': 'FPN', "in_channels": [width] * 4, **common},
)
ranges = [[2 * i, 2 * i + 1] for i in range(depth) if i < 3]
windows = [14 if (i + 1) % 3 != 0 else -1 for i in range(6)]
scale = (1120, 1120 * 800 // 1333)
both = [*scale, int(2.5)]
a = None
if deepspeed:
    hook = dict(type='DeepSpeed')
else:
    hook = dict(type='Plain')
'''


def test_styles() -> None:
    names = evaluate(STYLES, "styles.py")
    assert names["drop"] == 0.2
    assert names["path"] == "pretrained/deit.pth"
    assert names["big"] is True
    assert names["model"]["backbone"]["window_attn"] == [True] * 12
    assert names["model"]["backbone"]["nested"] == {"a": -1, "b": 2}
    assert names["model"]["neck"]["n_points"] == 4
    assert names["ranges"] == [[0, 1], [2, 3], [4, 5]]
    assert names["windows"] == [14, 14, -1, 14, 14, -1]
    assert names["scale"] == (1120, 672)
    assert names["both"] == [1120, 672, 2]
    assert names["a"] is None
    assert names["hook"] == {"type": "DeepSpeed"}


MALICIOUS = {
    "import": "import os\nos.system('touch {mark}')",
    "from import": "from os import system",
    "call": "x = __import__('os').system('touch {mark}')",
    "open": "x = open('{mark}', 'w')",
    "eval": "x = eval('1')",
    "attribute": "x = ().__class__.__bases__[0].__subclasses__()",
    "method": "x = 'a'.format(1)",
    "lambda": "x = (lambda: 1)()",
    "function": "def f():\n    open('{mark}', 'w')",
    "class": "class A:\n    open('{mark}', 'w')",
    "loop": "while True:\n    pass",
    "for": "for i in range(3):\n    x = i",
    "annotation": "x: int = 1",
    "two names": "x = y = 1",
    "subscript": "x = [1][0]",
    "text with values": "x = 1\ny = f'{x}'",
    "and": "x = True and False",
    "not": "x = not True",
    "chained comparison": "x = 1 < 2 < 3",
    "two loops": "x = [0 for i in range(2) for j in range(2)]",
    "walrus": "x = (y := 1)",
    "generator": "x = list(i for i in range(3))",
    "dict comprehension": "x = {i: i for i in range(3)}",
    "with": "with open('{mark}', 'w') as f:\n    pass",
    "delete": "x = 1\ndel x",
    "subscript assignment": "x = [1]\nx[0] = 2",
    "expression": "print('hello')",
    "decorated default": "def f(x=open('{mark}', 'w')): pass",
    "format": "x = f'{1:>10000000000}'",
    "percent": "x = '%1000000000d' % 1",
    "power": "x = 9 ** 9 ** 9",
    "shift": "x = 1 << 10 ** 10",
    "number growth": "x = 10 ** 2",
    "big product": "x = " + " * ".join(["10000000000000000000"] * 40),
    "long list": "x = [0] * 10 ** 9",
    "long repeat": "x = [0] * 1000000000",
    "long text": "x = 'a' * 1000000000",
    "long range": "x = [*range(1000000000)]",
    "long comprehension": "x = [[0 for j in range(1000)] for i in range(1000)]",
    "doubling": "a = [0] * 50000\nb = a + a\nc = b + b",
    "nesting": "x = " + "[" * 5000 + "]" * 5000,
    "deep sum": "x = " + "+".join(["1"] * 50000),
    "deep minus": "x = " + "-" * 20000 + "1",
    "null byte": "x = 1\0",
    "syntax": "x = = 1",
    "unknown name": "x = y",
    "bad key": "x = {[]: 1}",
    "division": "x = 1 / 0",
    "index": "x = [1][5]",
    "mixed": "x = 1 + 'a'",
}


@pytest.mark.parametrize("text", MALICIOUS.values(), ids=MALICIOUS)
def test_everything_else_is_refused_in_one_line_and_not_run(text: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / "config.py"
    path.write_text(text.replace("{mark}", str(mark)))
    with pytest.raises(InputError) as refusal:
        read_config(path)
    assert str(path.name) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500
    assert not mark.exists()


@given(st.text(alphabet=st.sampled_from("abx=[](){}:,'\"0123 \n.*+-/%@_if elsinrdct"), max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(evaluate(text, "any.py"), dict)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "big.py").write_text("#" * (MAX_BYTES + 1))
    (tmp_path / "binary.py").write_bytes(b"\xff\xfe\x80")
    (tmp_path / "config.yaml").write_text("a: 1")
    for name, words in (
        ("big.py", "larger"),
        ("binary.py", "not a text"),
        ("config.yaml", "ends in .py"),
        ("missing.py", "cannot read"),
    ):
        with pytest.raises(InputError, match=words):
            read_config(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfname = 'Gr\xc3\xbc\xc3\x9fe'\r\n", b"# -*- coding: latin-1 -*-\nname = 'Gr\xfc\xdfe'\n"],
    ids=["byte-order mark", "coding line"],
)
def test_a_file_is_decoded_as_python_decodes_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_bytes(content)
    assert read_config(tmp_path / "config.py")["name"] == "Grüße"


def test_inheritance(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("model = dict(a=1, backbone=dict(x=1, y=2), neck=dict(z=3))\nlr = 1\n")
    (tmp_path / "child.py").write_text(
        "_base_ = ['base.py', '../elsewhere/gone.py']\n"
        "model = dict(backbone=dict(_delete_=True, w=4), neck=dict(v=5))\nlr = 2\n"
    )
    config = read_config(tmp_path / "child.py")
    assert config["model"] == {"a": 1, "backbone": {"w": 4}, "neck": {"z": 3, "v": 5}}
    assert config["lr"] == 2
    assert config["_missing_base_"] == ["../elsewhere/gone.py"]


def test_circular_inheritance_ends(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("_base_ = 'b.py'\n")
    (tmp_path / "b.py").write_text("_base_ = 'a.py'\n")
    with pytest.raises(InputError, match="circle"):
        read_config(tmp_path / "a.py")
    (tmp_path / "c.py").write_text("_base_ = 3\n")
    with pytest.raises(InputError, match="_base_ names"):
        read_config(tmp_path / "c.py")
