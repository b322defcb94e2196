"""The text of a config inside a checkpoint, read as data: no code of a checkpoint is ever run."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

# What parsing and reading a text that is no such config may raise.
UNREADABLE = (SyntaxError, ValueError, AttributeError, KeyError, TypeError, RecursionError, MemoryError)


def read_sections(text: str, names: Sequence[str]) -> dict[str, Any]:
    """The values of these assignments of a config's text, as far as they are there; tuples become lists.

    Raises:
        SyntaxError, ValueError, AttributeError, KeyError, TypeError, RecursionError, MemoryError: the text is not one
            that MMEngine writes.
    """
    lines: list[Any] = [line for line in ast.parse(text).body if isinstance(line, ast.Assign)]
    values = {line.targets[0].id: line.value for line in lines}
    return {name: _value(values[name]) for name in names if name in values}


def _value(node: Any) -> Any:
    """The value of a literal, or of `dict(a=1)` and `dict({'a.b': 1})`, as MMEngine writes them."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        given = [_value(argument) for argument in node.args]
        named: dict[Any, Any] = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        return dict(*given, **named)
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Name) and node.id in ('inf', 'nan'):  # numbers whose text is no literal
        return float(node.id)
    return ast.literal_eval(node)
