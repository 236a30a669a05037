"""Backup, loss and restore on real nodes: real restic over sftp, real hard links, the units in their sandboxes."""

import hashlib
import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab_crowd import crowd
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

NODE, OTHER = Lab().gpus[0], Lab().gpus[1]
COMFYUI = "/var/lib/private/comfyui"
OLLAMA = "/var/lib/private/ollama/models"
PLACE = "/var/lib/ipex-backup"
ITEMS = "user input models/loras"
LAYER = b"a layer that no registry has" * 1000
BLOB = f"sha256-{hashlib.sha256(LAYER).hexdigest()}"
CONFIG = json.dumps({"model_format": "gguf", "file_type": "Q4_0"}).encode()
CONFIG_BLOB = f"sha256-{hashlib.sha256(CONFIG).hexdigest()}"
# Ollama's own layout: manifests/HOST/NAMESPACE/MODEL/TAG.
MANIFEST = "manifests/registry.ollama.ai/library/mine/latest"
# What users have: a workflow, an upload, a LoRA, a database with its newest rows in its log, and a model made here.
_MADE = f"""
set -eu
cd {COMFYUI}
install -d -o nobody -g nogroup user/default/workflows input models models/loras
head -c 200000 /dev/urandom > models/loras/style.safetensors
echo '{{"nodes": []}}' > user/default/workflows/portrait.json
head -c 50000 /dev/urandom > input/face.png
python3 - <<'EOF'
import hashlib, json, sqlite3
from pathlib import Path
for path in Path().glob("comfyui.db*"):
    path.unlink()
database = sqlite3.connect("comfyui.db")
database.execute("PRAGMA journal_mode=WAL")
database.execute("CREATE TABLE jobs (name)")
database.execute("INSERT INTO jobs VALUES ('portrait')")
database.commit()
store = Path("{OLLAMA}")
(store / "blobs/{BLOB}").write_bytes({LAYER[:28]!r} * 1000)
(store / "blobs/{CONFIG_BLOB}").write_bytes({CONFIG!r})
def entry(name, size, kind):
    kind = "application/vnd.ollama.image." + kind
    return {{"mediaType": kind, "digest": name.replace("sha256-", "sha256:"), "size": size}}
manifest = {{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}}
manifest["config"] = entry("{CONFIG_BLOB}", {len(CONFIG)}, "config")
manifest["layers"] = [entry("{BLOB}", {len(LAYER)}, "model")]
(store / "{MANIFEST}").parent.mkdir(parents=True, exist_ok=True)
(store / "{MANIFEST}").write_text(json.dumps(manifest))
EOF
chown -R nobody:nogroup comfyui.db* user input models {OLLAMA}/blobs {OLLAMA}/manifests
"""  # noqa: S608 - its own rows
_STATE = f"""
cd {COMFYUI}
find {ITEMS} -printf '%p %m %U:%G\\n' | sort
find {ITEMS} -type f -exec sha256sum {{}} + | sort
cd {OLLAMA} && sha256sum blobs/* {MANIFEST}
"""
_JOBS = f"""python3 -c 'import sqlite3
print(sqlite3.connect("{COMFYUI}/comfyui.db").execute("SELECT name FROM jobs").fetchall())'"""  # noqa: S608 - as above
# What others would find on these nodes as users' data.
_FILES = "user/default/workflows/portrait.json input/face.png input/new.txt models/loras/style.safetensors"
_CLEAN = f"cd {COMFYUI} && rm -f {_FILES}"
_LOST = f"cd {COMFYUI} && rm -rf {ITEMS} comfyui.db* && rm -rf {OLLAMA}/blobs/* {OLLAMA}/{MANIFEST}"


def _said(lab: Lab, node: str, words: str) -> dict[str, Any]:
    run = lab.run(node, f"ipex-node {words}")
    assert run.stdout, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return answer


def _why(answer: dict[str, Any]) -> str:
    return " ".join(one["why"] for one in answer["failures"])


@pytest.fixture
def kept(lab: Lab) -> Iterator[str]:
    """A node with data, and a backup of them made by the unit in its sandbox; what the data are, as text."""
    lab.output(NODE, _MADE)
    before = lab.output(NODE, _STATE)
    lab.output(NODE, "systemctl start ipex-backup.service")
    yield before
    for node in (NODE, OTHER):
        lab.output(node, _CLEAN)
    lab.output(
        NODE, f"cd {OLLAMA} && rm -rf {MANIFEST} blobs/{BLOB} blobs/{CONFIG_BLOB} {PLACE}/models {PLACE}/state.json"
    )


def test_what_is_lost_comes_back_byte_for_byte_and_serves(lab: Lab, kept: str) -> None:
    """All is deleted and restored; the owners are those that systemd wants, and the engines prove that they work."""
    lab.output(NODE, _LOST)

    dry = _said(lab, NODE, "restore comfyui --dry")
    assert lab.run(NODE, f"test -e {COMFYUI}/input/face.png").returncode != 0
    comfyui, ollama = _said(lab, NODE, "restore comfyui --yes"), _said(lab, NODE, "restore ollama --yes")

    assert {one["what"] for one in dry["brings"]} == {"user", "input", "models/loras", "comfyui.db"}
    assert comfyui["ok"], comfyui
    assert ollama["ok"], ollama
    assert lab.output(NODE, _STATE) == kept
    assert lab.output(NODE, _JOBS) == "[('portrait',)]"
    assert _said(lab, NODE, "probe")["ok"]
    rotation = lab.status(NODE)["rotation"]
    assert isinstance(rotation, dict)
    assert rotation["state"] == "in"


def test_what_is_there_is_not_overwritten_unasked(lab: Lab, kept: str) -> None:
    """Nobody sits at that terminal: nothing changes."""
    said = _said(lab, NODE, "restore comfyui")

    assert "things are there already" in _why(said)
    assert lab.output(NODE, _STATE) == kept


def test_another_node_is_given_the_same(lab: Lab, kept: str) -> None:
    """By the repository alone; what that node has is not overwritten unasked."""
    mine = f"{COMFYUI}/input/new.txt"
    lab.output(OTHER, f"install -d -o nobody -g nogroup {COMFYUI}/input && echo mine > {mine}")
    refused = _said(lab, OTHER, f"restore comfyui --from {NODE}")
    assert lab.output(OTHER, f"cat {mine}") == "mine"
    said = _said(lab, OTHER, f"restore comfyui --from {NODE} --yes")

    assert "things are there already" in _why(refused)
    assert said["ok"], said
    there = lab.output(OTHER, _STATE.partition(f"cd {OLLAMA}")[0])
    assert kept.startswith(there)
    assert _said(lab, OTHER, "probe")["ok"]


def test_data_with_which_the_engine_does_not_work_are_taken_back(lab: Lab, kept: str) -> None:
    """The unit cannot start on them: what was there before serves again."""
    drop_in = "/run/systemd/system/comfyui-ipex.service.d"
    refuses = f"[Service]\nExecCondition=\nExecStartPre=/usr/bin/test ! -e {COMFYUI}/input/face.png\n"
    lab.output(NODE, f"rm {COMFYUI}/input/face.png && echo mine > {COMFYUI}/input/new.txt && install -d {drop_in}")
    lab.output(NODE, f"printf %s {shlex.quote(refuses)} > {drop_in}/test.conf && systemctl daemon-reload")
    try:
        said = _said(lab, NODE, "restore comfyui --yes")
    finally:
        lab.output(NODE, f"rm -r {drop_in} && systemctl daemon-reload")

    assert (said["ok"], said["restored"]) == (False, False)
    assert lab.output(NODE, f"cat {COMFYUI}/input/new.txt") == "mine"
    assert _said(lab, NODE, "probe")["ok"]
    assert kept


def test_rot_is_found_and_a_rotten_snapshot_is_never_given_back(lab: Lab, kept: str) -> None:
    """One byte is turned over in the engine's own blob, which is the snapshot's, too."""
    lab.output(NODE, f"cd {OLLAMA}/blobs && printf X | dd of={BLOB} bs=1 seek=9 conv=notrunc status=none")

    run = lab.run(NODE, "systemctl start ipex-backup-verify.service")
    said = _said(lab, NODE, "backup-verify")
    given = _said(lab, NODE, "restore ollama --yes")

    assert run.returncode != 0
    assert len(said["rotten_blobs"]) == 1
    assert "model mine:latest" in said["failures"][0]["cure"]
    assert not given["ok"]
    assert kept
    lab.output(NODE, "ipex-node status --leave")
    assert "ipex_backup_verify_failures 1" in lab.output(NODE, "curl -sf http://127.0.0.1:9090/metrics")


def test_a_restore_is_tried_with_a_throw_away_engine(lab: Lab, kept: str) -> None:
    """The unit in its sandbox: repository, digests, and a token from restored data; nothing of it is left."""
    lab.output(NODE, "systemctl start ipex-restore-test.service")

    said = lab.output(NODE, "journalctl -u ipex-restore-test -n 20 -o cat --no-pager")
    assert "generates after" in said
    assert "from the repository are what was given" in said
    assert lab.run(NODE, "ls -d /var/lib/private/ipex-restore-test-ollama").returncode != 0
    assert kept


def test_wrong_password_and_repository_away_say_so_and_models_are_kept_all_the_same(lab: Lab, kept: str) -> None:
    """Each failure is told with its cause; a repository that was there is never made anew by itself."""
    place = "/etc/ipex/secrets/backup/password"
    lab.output(NODE, f"cp -a {place} /root/password && echo wrong > {place}")
    wrong = _said(lab, NODE, "backup")
    lab.output(NODE, f"mv /root/password {place}")
    lab.output("monitor-01", "mv /srv/backup/ipex/gpu-01 /srv/backup/ipex/away")
    away = _said(lab, NODE, "backup")
    lab.output("monitor-01", "mv /srv/backup/ipex/away /srv/backup/ipex/gpu-01")
    again = _said(lab, NODE, "backup")

    assert "the password is not the repository's" in _why(wrong)
    assert "there is no repository" in _why(away)
    assert "models" in away["backup_bytes"]
    assert again["ok"], again
    assert kept


def test_users_lose_nothing_while_a_backup_is_made(lab: Lab, kept: str) -> None:
    """Forty users, three backups."""
    with crowd(lab) as users:
        for _ in range(3):
            lab.output(NODE, "systemctl start ipex-backup.service")

    assert users.lost_nothing()
    assert kept
