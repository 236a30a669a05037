"""ComfyUI's traffic, out of its history: a prompt's answer comes long after its HTTP request has ended.

GET /history?max_items=N gives the last N prompts that have ended (ComfyUI's execution.py, PromptQueue.get_history):
prompt, outputs and `status.messages`, pairs of an event and its data with a `timestamp` in milliseconds
(PromptExecutor.add_message). When it was queued stands in the prompt's fourth item as `create_time`, in
milliseconds (server.py, POST /prompt); older versions know only when it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipex_node.engines import PROOF_SESSION
from ipex_node.samples import Sample
from ipex_node.traffic.counts import Finished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipex_node.traffic.counts import Outcome

    Ask = Callable[[str], Any]

_ENDS: dict[str, Outcome] = {
    "execution_success": "success",
    "execution_error": "error",
    "execution_interrupted": "cancelled",
}
_PAGES = (1, 8, 64)
"""How much of the history is asked for until something known is in it: most looks find nothing new."""
_KNOWN = 1024
_ID = 64
"""So much of a prompt's name is kept: ComfyUI gives it a UUID, but a client may choose it."""
_DEVICES = {"xpu", "cpu", "cuda"}


class History:
    """Tells what has ended since it was last asked.

    Args:
        ask: Asks the service for a path; JSON, or none where it does not answer.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        # As a dict, which keeps the order: the oldest is forgotten first.
        self._known: dict[str, None] = {}
        self._is_first = True

    def new(self) -> Iterator[Finished]:
        """Yield users' prompts that have ended; what lay there at the first look is not counted."""
        entries = self._unknown()
        if entries is None:
            return
        self._known |= dict.fromkeys(entries)
        self._known = dict.fromkeys(list(self._known)[-_KNOWN:])
        counts = not self._is_first
        self._is_first = False
        for entry in entries.values() if counts else ():
            found = finished(entry)
            if found:
                yield found

    def _unknown(self) -> dict[str, Any] | None:
        """Return entries not seen before; none where the service does not answer."""
        unknown = None
        for size in _PAGES:
            said = self._ask(f"/history?max_items={size}")
            if not isinstance(said, dict):
                break
            unknown = {key[:_ID]: entry for key, entry in said.items() if key[:_ID] not in self._known}
            if len(unknown) < size:
                break
        return unknown


def finished(entry: Any) -> Finished | None:  # noqa: ANN401 - JSON is anything
    """Read one entry of the history; none where it is no user's prompt that has ended."""
    try:
        messages = {event: data.get("timestamp") for event, data in entry["status"]["messages"]}
        extra = entry["prompt"][3]
        end = next(event for event in _ENDS if event in messages)
        if str(extra.get("client_id", "")).startswith(PROOF_SESSION):
            return None
        begin = extra.get("create_time", messages.get("execution_start"))
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, StopIteration):
        return None
    return Finished("generate", _ENDS[end], _seconds(begin, messages[end]))


def queued(said: object) -> int | None:
    """Return how many prompts run or wait, out of the answer to GET /queue; none where it is no queue."""
    if not isinstance(said, dict):
        return None
    running, pending = said.get("queue_running"), said.get("queue_pending")
    return len(running) + len(pending) if isinstance(running, list) and isinstance(pending, list) else None


def devices(service: str, said: object) -> Iterator[Sample]:
    """Yield how many devices of each kind ComfyUI computes on, out of GET /system_stats: `xpu` is an Intel GPU."""
    listed = said.get("devices") if isinstance(said, dict) else None
    kinds = [one.get("type") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    # Some versions name the device with its index, xpu:0.
    words = [str(kind).partition(":")[0] for kind in kinds]
    for kind in sorted({word if word in _DEVICES else "other" for word in words}):
        count = sum(word == kind or (kind == "other" and word not in _DEVICES) for word in words)
        yield Sample("ipex_service_devices", {"service": service, "kind": kind}, count)


def _seconds(begin: object, end: object) -> float | None:
    """Return the time between two moments in milliseconds; none where they are none, or the clock was set back."""
    if not isinstance(begin, int) or not isinstance(end, int):
        return None
    return (end - begin) / 1000 if 0 < begin <= end < 2**53 else None
