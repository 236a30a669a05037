"""Every message that tells a person what is wrong, collected from the sources: loader, deploy and transaction."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_KINDS = {"Problem", "Failure"}


@dataclass(frozen=True, order=True)
class Message:
    """One message; `…` stands for what only the moment knows.

    Attributes:
        source: file that says it, from the repository's root.
        what: what is wrong.
        cure: what to do; empty where the source has no words of its own for it.
    """

    source: str
    what: str
    cure: str


def collected() -> list[Message]:
    """All messages of `fleet/` (before anything changes) and `ipex_node/` (on a node), each once."""
    paths = sorted(path for folder in ("fleet", "ipex_node") for path in (ROOT / folder).rglob("*.py"))
    return sorted({message for path in paths for message in _of(path)})


def _of(path: Path) -> Iterator[Message]:
    source = str(path.relative_to(ROOT))
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id in _KINDS:
            # By position or by name: where, what and cure of a Problem; what, why and cure of a Failure.
            words = [_words(part) for part in (*item.args, *(keyword.value for keyword in item.keywords))]
        elif isinstance(item, ast.Yield) and isinstance(item.value, ast.Tuple) and len(item.value.elts) == 2:
            words = ["", *(_words(part) for part in item.value.elts)]
        else:
            continue
        what = words[1] if len(words) > 1 else ""
        if any(letter.isalpha() for letter in what):
            yield Message(source, what, words[2] if len(words) > 2 else "")


def _words(part: ast.expr) -> str:
    match part:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_words(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _words(left) + _words(right)
        case ast.IfExp(body=body, orelse=other):
            return f"{_words(body)} / {_words(other)}"
    return "…"
