"""What there is to say of models: for people lines, for programs one object."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleet.model_lock import Change, Key, Lock
from fleet.model_plan import Plan, State

_SHORT = 19


def size(count: int) -> str:
    """A number of bytes, in the unit that suits it."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def parity(table: Mapping[Key, Mapping[str, State]], lock: Lock) -> Iterator[str]:
    """The table: each model's state on each node."""
    nodes = list(next(iter(table.values()), {}))
    rows = [("model", "digest", "size", *nodes)]
    for key, states in table.items():
        locked = lock.get(key)
        digest, length = (locked.digest[:_SHORT], size(locked.bytes)) if locked else ("-", "-")
        rows.append(("/".join(key), digest, length, *(states[node] for node in nodes)))
    yield from _columns(rows)
    counted = [state for states in table.values() for state in states.values()]
    if declared := [state for state in counted if state not in {"-", "undeclared"}]:
        yield f"  {declared.count('yes')} of {len(declared)} declared models are where they are declared"
    if "undeclared" in counted:
        yield "  undeclared ones stay until they are named: --data action=prune --data model=NAME"


def plan(plan: Plan) -> Iterator[str]:
    """What each node would fetch."""
    works = [work for work in plan.works if work.missing or work.unplaced]
    if not works:
        yield "  Nothing to fetch: every node has what it declares and the lock knows."
        return
    rows = [("node", "models", "files", "into the fleet", "from other nodes")]
    for work in works:
        count = len(work.missing)
        rows.append(
            (work.node.name, str(len(work.unplaced)), str(count), size(work.upstream_bytes), size(work.copied_bytes))
        )
    yield from _columns(rows)
    yield f"  {size(sum(work.upstream_bytes for work in works))} cross the uplink, once"


def as_json(environment: str, plan: Plan) -> dict[str, Any]:
    """A plan for programs."""
    return {
        "environment": environment,
        "nodes": [
            {
                "node": work.node.name,
                "models": ["/".join(key) for key in work.unplaced],
                "upstream_bytes": work.upstream_bytes,
                "copied_bytes": work.copied_bytes,
            }
            for work in plan.works
        ],
    }


def refused(silent: Sequence[Change], file: Path) -> str:
    """Why nothing was locked."""
    lines = [f"  {'/'.join(one.key)} was {one.before[:_SHORT]}, and is now {one.after[:_SHORT]}" for one in silent]
    names = ",".join(one.key[1] for one in silent)
    return (
        "Models have become others under their names; nothing was locked:\n"
        + "\n".join(lines)
        + f"\n  If that is meant: --data model={names}."
        f"\n  {file} keeps what it has, and is applied as it is: each file is fetched by its digest."
    )


def locked(changes: Sequence[Change], lock: Lock) -> Iterator[str]:
    """What was locked anew."""
    for one in changes:
        word = "new" if not one.before else "gone" if not one.after else f"was {one.before[:_SHORT]}"
        yield f"  {'/'.join(one.key)}: {one.after[:_SHORT] or '-'} ({word})"
    total = sum({file.digest: file.bytes for model in lock.values() for file in model.files}.values())
    yield f"  {len(lock)} models, {size(total)}; {len(changes)} changed. Commit it, then --data action=apply."


def fetched(answers: Sequence[Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """What the nodes have done: first for the fleet, then from each other."""
    for place, some in zip(("from upstream", "from other nodes"), answers, strict=True):
        for name, answer in some.items():
            yield f"{name}: {size(answer.get('fetched_bytes', 0))} {place}" + _placed(answer)
            for one in answer.get("refused", ()):
                yield f"{name}: {one['source']} gave another content than its name says; look at that node's disk"


def _placed(answer: Mapping[str, Any]) -> str:
    placed = answer.get("placed", ())
    return f", {len(placed)} models are there now" if placed else ""


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
