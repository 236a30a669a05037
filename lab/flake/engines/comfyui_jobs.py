"""ComfyUI's jobs: queue and history in the one form that its web interface reads them in."""

from typing import Any

from .comfyui_queue import Job, PromptQueue
from .http import HttpError, Request, Response

_STATUSES = {"success": "completed", "error": "failed"}


class Jobs:
    """GET /jobs and what can be done with one of them.

    Args:
        queue: What it is told from.
    """

    def __init__(self, queue: PromptQueue) -> None:
        self._queue = queue

    async def index(self, request: Request) -> Response:
        """List what is asked for by status, newest first."""
        wanted = request.query.get("status", "")
        jobs = [job for job in self._all() if not wanted or job["status"] in wanted.split(",")]
        offset, limit = (int(request.query.get(name) or usual) for name, usual in (("offset", 0), ("limit", 100)))
        page = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": len(jobs) > offset + limit}
        return Response({"jobs": jobs[offset : offset + limit], "pagination": page})

    async def show(self, request: Request) -> Response:
        """Show one job with its outputs and its workflow."""
        (identifier,) = request.parameters
        for job in self._all():
            if job["id"] == identifier:
                entry = self._queue.history.get(identifier, {})
                listed = entry.get("prompt")
                content = {"prompt": listed[2], "extra_data": listed[3]} if isinstance(listed, list) else {}
                return Response({**job, "outputs": entry.get("outputs", {}), "workflow": content})
        raise HttpError(404, {"error": "Job not found"})

    async def cancel(self, request: Request) -> Response:
        """Take one job out of the queue, or stop it."""
        self._queue.delete(set(request.parameters))
        self._queue.interrupt(request.parameters[0])
        return Response({"cancelled": True})

    def _all(self) -> list[dict[str, object]]:
        waiting = [_open(job, "pending") for job in self._queue.pending]
        running = [_open(self._queue.running, "in_progress")] if self._queue.running else []
        return [*waiting, *running, *(_done(key, entry) for key, entry in reversed(self._queue.history.items()))]


def _open(job: Job, status: str) -> dict[str, object]:
    return {"id": job.prompt_id, "status": status, "priority": job.number, "create_time": job.extra["create_time"]}


def _done(identifier: str, entry: dict[str, Any]) -> dict[str, object]:
    listed, outputs, status = entry["prompt"], entry["outputs"], entry["status"]
    pictures = [
        {**picture, "nodeId": node, "mediaType": "images"}
        for node, output in outputs.items()
        for picture in output.get("images", [])
    ]
    return {
        "id": identifier,
        "status": _STATUSES[str(status["status_str"])],
        "priority": listed[0],
        "create_time": listed[3]["create_time"],
        "outputs_count": len(pictures),
        "preview_output": pictures[-1] if pictures else None,
    }
