"""The text of a Python config file as values: parsed and evaluated node by node, never executed.

It understands what the authors' configs consist of: assignments, literals, `dict(...)`, `int(...)`, arithmetic,
repeated lists, comprehensions over a range, conditions and references to earlier names. Everything else (imports, other
calls, attributes) is refused with its line.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from piip_explore.errors import InputError

MAX_ITEMS = 100_000
"""Bound of all the items that evaluating a file makes: far above any real one."""

_CALLS: dict[str, Callable[..., Any]] = {"dict": dict, "int": int, "range": range}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, group: item in group,
}


def evaluate(text: str, source: str) -> dict[str, Any]:
    """Return the names that the text of a config assigns; `source` names it in errors.

    Raises:
        InputError: the text is not a plain config.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise InputError(f"'{source}', line {error.lineno}: not Python ({error.msg})") from None
    except (ValueError, RecursionError, MemoryError):
        raise InputError(f"'{source}' is not Python, or nested too deeply to be a config") from None
    reader = _Evaluator(source)
    try:
        reader.run(tree.body)
    except RecursionError:
        raise InputError(f"'{source}' is nested too deeply to be a config") from None
    return reader.names


class _Evaluator:
    """Evaluates the statements of one file; every item made counts against a bound."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.names: dict[str, Any] = {}
        self.items = 0

    def run(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.names[name] = self.value(value, {})
                case ast.Expr(value=ast.Constant()) | ast.Pass():
                    pass
                case ast.If(test=test, body=body, orelse=orelse):
                    self.run(body if self.value(test, {}) else orelse)
                case _:
                    raise self.refused(statement, f"'{type(statement).__name__}' statement")

    def refused(self, node: ast.stmt | ast.expr, what: str) -> InputError:
        return InputError(f"'{self.source}', line {node.lineno}: a plain config has no {what} (nothing was executed)")

    def count(self, node: ast.expr, items: int) -> None:
        self.items += items
        if self.items > MAX_ITEMS:
            raise InputError(f"'{self.source}', line {node.lineno}: a config of more than {MAX_ITEMS} items")

    def value(self, node: ast.expr, local: Mapping[str, Any]) -> Any:
        """Evaluate an expression; `local` are the names that comprehensions around it bind."""
        self.count(node, 1)
        try:
            return self._value(node, local)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"'{self.source}', line {node.lineno}: cannot evaluate this ({error})") from None

    def _value(self, node: ast.expr, local: Mapping[str, Any]) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.lookup(node, name, local)
            case ast.List(elts=elements):
                return list(self.elements(elements, local))
            case ast.Tuple(elts=elements):
                return tuple(self.elements(elements, local))
            case ast.Dict(keys=keys, values=values):
                return self.dictionary(keys, values, local)
            case ast.Call():
                return self.call(node, local)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return self.binary(node, _BINARY[type(op)], self.value(left, local), self.value(right, local))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.value(operand, local)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
                return _COMPARISONS[type(op)](self.value(left, local), self.value(right, local))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test, local) else orelse, local)
            case ast.ListComp(elt=element, generators=[ast.comprehension(target=ast.Name(id=name)) as generator]):
                bindings = ({**local, name: item} for item in self.value(generator.iter, local))
                kept = (bound for bound in bindings if all(self.value(test, bound) for test in generator.ifs))
                return [self.value(element, bound) for bound in kept]
            case _:
                raise self.refused(node, f"'{type(node).__name__}' expression")

    def lookup(self, node: ast.expr, name: str, local: Mapping[str, Any]) -> Any:
        if name in local:
            return local[name]
        if name not in self.names:
            raise InputError(f"'{self.source}', line {node.lineno}: the name '{name}' is assigned nowhere before")
        return self.names[name]

    def elements(self, nodes: list[ast.expr], local: Mapping[str, Any]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                items = list(self.value(node.value, local))
                self.count(node, len(items))
                yield from items
            else:
                yield self.value(node, local)

    def dictionary(
        self, keys: list[ast.expr | None], values: list[ast.expr], local: Mapping[str, Any]
    ) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value in zip(keys, values, strict=True):
            if key is None:
                made |= self.value(value, local)
            else:
                made[self.value(key, local)] = self.value(value, local)
        return made

    def call(self, node: ast.Call, local: Mapping[str, Any]) -> Any:
        if not isinstance(node.func, ast.Name) or node.func.id not in _CALLS:
            raise self.refused(node, f"call but {', '.join(_CALLS)}")
        arguments = list(self.elements(node.args, local))
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value, local)
            named |= value if keyword.arg is None else {keyword.arg: value}
        result = _CALLS[node.func.id](*arguments, **named)
        if isinstance(result, list | tuple | range | dict):
            self.count(node, len(result))
        return result

    def binary(self, node: ast.expr, function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
        sequences = (str, list, tuple)
        if isinstance(left, str) and function is operator.mod:
            raise self.refused(node, "formatting with %")
        if function is operator.mul and (isinstance(left, sequences) or isinstance(right, sequences)):
            sequence, times = (left, right) if isinstance(left, sequences) else (right, left)
            self.count(node, len(sequence) * max(int(times), 0))
        result = function(left, right)
        if isinstance(result, sequences):
            self.count(node, len(result))
        if isinstance(result, int) and result.bit_length() > 256:
            raise InputError(f"'{self.source}', line {node.lineno}: a number too large for a config")
        return result
