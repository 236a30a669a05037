"""The cleanup task, through the real command line, on the example fleet's fake nodes."""

import json

from tests.fake_fleet import FakeFleet


def test_cleanup_is_asked_of_gpu_nodes_and_says_what_was_freed(nodes: FakeFleet) -> None:
    """A node that is locked says so and fails nothing; one that could not remove something fails by name."""
    nodes.is_as_declared()
    freed = {"ok": True, "failures": [], "freed_bytes": 3 << 30}
    failed = {"ok": False, "failures": [{"what": "/x", "why": "cannot be removed"}], "freed_bytes": 0}
    nodes.answer("gpu-01", " cleanup", json.dumps(freed))
    nodes.answer("gpu-02", " cleanup", json.dumps({**freed, "nothing_done": "the node is locked"}))
    nodes.answer("gpu-03", " cleanup", json.dumps(failed), succeeded=False)

    run = nodes.run("-y", deploy="tasks/cleanup.py")

    assert sorted(run.order(" cleanup --json")) == ["gpu-01", "gpu-02", "gpu-03"]
    assert "freed 3.00 GiB" in run.output
    assert "nothing was done: the node is locked" in run.output
    assert "/x: cannot be removed" in run.output
    assert run.status == 1
