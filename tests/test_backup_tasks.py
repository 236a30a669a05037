"""The tasks of backups, through the real command line, on the example fleet's fake nodes."""

import json

from tests.fake_fleet import FakeFleet

_FORETOLD = {
    "ok": True,
    "failures": [],
    "dry": True,
    "brings": [{"what": "user", "bytes": 3 << 20, "made": "2026-11-26T02-00-00Z"}],
    "overwrites": ["/var/lib/private/comfyui/user"],
}
_ONE = ("-y", "--limit", "*gpu-02", "--data", "service=comfyui")


def test_backup_is_asked_of_gpu_nodes_and_says_what_is_kept(nodes: FakeFleet) -> None:
    """A failure is told with its cure, by node."""
    nodes.is_as_declared()
    failed = {"ok": False, "failures": [{"what": "/srv", "why": "the password is not the repository's", "cure": "x"}]}
    kept = {"kept": "2026-11-26T02-00-00Z", "bytes": 3 << 30}
    made = {"ok": True, "failures": [], "snapshots": {"ollama": kept}}
    for name in ("gpu-01", "gpu-02"):
        nodes.answer(name, " backup --json", json.dumps(made))
    nodes.answer("gpu-03", " backup --json", json.dumps(failed), succeeded=False)

    run = nodes.run("-y", deploy="tasks/backup.py")

    assert sorted(run.order(" backup --json")) == ["gpu-01", "gpu-02", "gpu-03"]
    assert "models: 3.00 GiB kept as 2026-11-26T02-00-00Z" in run.output
    assert "the password is not the repository's" in run.output
    assert run.status == 1


def test_restore_says_what_it_would_overwrite_and_does_it_only_when_told(nodes: FakeFleet) -> None:
    """First the node's own words on it, then nothing, until overwrite=true."""
    nodes.is_as_declared()
    nodes.answer("gpu-02", "--dry", json.dumps(_FORETOLD))
    nodes.answer("gpu-02", "--yes", json.dumps({"ok": True, "failures": [], "restored": True, "steps": []}))

    refused = nodes.run(*_ONE, deploy="tasks/restore.py")
    done = nodes.run(*_ONE, "--data", "overwrite=true", "--data", "origin=gpu-01", deploy="tasks/restore.py")

    assert refused.status == 1
    assert (
        "would overwrite /var/lib/private/comfyui/user. Look at them, then add --data overwrite=true" in refused.output
    )
    assert refused.order("--yes") == []
    assert done.status == 0, done.output
    assert "brings back user: 3.0 MiB of 2026-11-26T02-00-00Z" in done.output
    assert done.order(" restore comfyui --from gpu-01 --yes") == ["gpu-02"]


def test_a_dry_restore_says_everything_and_changes_nothing(nodes: FakeFleet) -> None:
    """Whether or not overwriting was allowed."""
    nodes.is_as_declared()
    nodes.answer("gpu-02", " restore ", json.dumps(_FORETOLD))

    for more in ((), ("--data", "overwrite=true")):
        run = nodes.run("--dry", *_ONE, *more, deploy="tasks/restore.py")
        assert run.status == 0, run.output
        assert "brings back user: 3.0 MiB" in run.output
        assert "overwrites /var/lib/private/comfyui/user" in run.output
        assert run.order("--yes") == []


def test_a_restore_that_cannot_be_meant_is_refused_with_every_reason(nodes: FakeFleet) -> None:
    """Two nodes, no such service, no such origin: all at once, and no node is changed."""
    nodes.is_as_declared()

    words = ("--data", "service=comfy", "--data", "origin=gpu-99")
    run = nodes.run("-y", "--limit", "*gpu-01", "--limit", "*gpu-02", *words, deploy="tasks/restore.py")

    assert run.status == 1
    assert "2 nodes were reached" in run.output
    assert "one of: ollama, comfyui" in run.output
    assert "origin=gpu-99" in run.output
    assert run.order(" restore ") == []
