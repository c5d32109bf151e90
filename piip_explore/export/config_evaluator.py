"""The text of a Python config file as values: parsed and evaluated node by node, never executed.

What a plain config needs is understood: assignments, literals, `dict(...)`, arithmetic on numbers, repeated lists,
comprehensions over ranges, references to earlier names and `if` on such values. Everything else (imports, other calls,
attributes) is refused with its line.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from piip_explore.errors import InputError

MAX_ITEMS = 100_000
"""Bound of all the items that evaluating a file makes: far above any real one."""

_CALLS: dict[str, Callable[..., Any]] = {
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "range": range,
    "len": len,
    "int": int,
    "float": float,
    "bool": bool,
    "min": min,
    "max": max,
    "round": round,
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, group: item in group,
    ast.NotIn: lambda item, group: item not in group,
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
                case ast.Assign(targets=targets, value=value):
                    result = self.value(value, {})
                    for target in targets:
                        self.assign(target, result)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self.assign(target, self.value(value, {}))
                case ast.Expr(value=ast.Constant()) | ast.Pass():
                    pass
                case ast.If(test=test, body=body, orelse=orelse):
                    self.run(body if self.value(test, {}) else orelse)
                case _:
                    raise self.refused(statement, f"'{type(statement).__name__}' statement")

    def assign(self, target: ast.expr, value: Any) -> None:
        if not isinstance(target, ast.Name):
            raise self.refused(target, "assignment to anything but a name")
        self.names[target.id] = value

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
        except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError, OverflowError) as error:
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
            case ast.UnaryOp(op=unary, operand=operand) if type(unary) in _UNARY:
                return _UNARY[type(unary)](self.value(operand, local))
            case ast.Compare():
                return self.compare(node, local)
            case ast.BoolOp(op=boolean, values=values):
                results = (self.value(value, local) for value in values)
                return all(results) if isinstance(boolean, ast.And) else any(results)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test, local) else orelse, local)
            case ast.Subscript(value=container, slice=index) if not isinstance(index, ast.Slice):
                return self.value(container, local)[self.value(index, local)]
            case ast.ListComp(elt=element, generators=generators):
                return [self.value(element, bound) for bound in self.bindings(generators, local)]
            case ast.JoinedStr(values=parts):
                return "".join(self.formatted(part, local) for part in parts)
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
            named |= self.value(keyword.value, local) if keyword.arg is None else {keyword.arg: None}
            if keyword.arg is not None:
                named[keyword.arg] = self.value(keyword.value, local)
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

    def compare(self, node: ast.Compare, local: Mapping[str, Any]) -> bool:
        left = self.value(node.left, local)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node, local)
            if not _COMPARISONS[type(op)](left, right):
                return False
            left = right
        return True

    def bindings(self, generators: list[ast.comprehension], local: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        first, rest = generators[0], generators[1:]
        if not isinstance(first.target, ast.Name) or first.is_async:
            raise self.refused(first.target, "comprehension over anything but one name")
        for item in self.value(first.iter, local):
            bound = {**local, first.target.id: item}
            if all(self.value(condition, bound) for condition in first.ifs):
                yield from self.bindings(rest, bound) if rest else iter([bound])

    def formatted(self, node: ast.expr, local: Mapping[str, Any]) -> str:
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return f"{self.value(value, local)}"
            case _:
                raise self.refused(node, "format specification")
