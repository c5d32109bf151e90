from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st

from piip_explore.export.pyconfig import WIDTH, Name, Noted, plain, render

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
keys = st.sampled_from(["a", "type", "branch1", "not an identifier", "class"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner)
        | st.builds(Noted, inner, st.just("why"))
    ),
    max_leaves=20,
)


def evaluate(text: str) -> object:
    return eval(text, {"__builtins__": {}, "dict": dict})


@given(values)
def test_text_is_python_with_the_same_value(value: object) -> None:
    text = render({"x": value})
    (assignment,) = ast.parse(text).body
    assert isinstance(assignment, ast.Assign)
    assert evaluate(ast.unparse(assignment.value)) == plain(value)


def test_layout() -> None:
    text = render(
        {
            "short": {"a": 1, "b": [True] * 12},
            "long": {"pipeline": Name("short"), "path": Noted("x.pth", "from there"), "numbers": list(range(60))},
        },
        ["first line"],
    )
    assert text.splitlines()[:2] == ["# first line", "short = dict(a=1, b=[True] * 12)"]
    assert "    # from there\n    path='x.pth',\n" in text
    assert "    pipeline=short,\n" in text
    assert max(map(len, text.splitlines())) <= WIDTH
