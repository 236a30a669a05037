"""What keeps a GPU node's data: backups by the calendar, their verification, and a restore that is tried."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from fleet import models
from fleet.backup import Backup, BackupRepository
from fleet.desired.render import render
from fleet.generation import File, Part, Unit, secret
from fleet.model import Fleet, Node, Service
from ipex_node.backups.state import PLACE

_UNITS = "/etc/systemd/system"
_SECRETS = "/etc/ipex/secrets/backup"
_ENVIRONMENT = {
    "rest": {"RESTIC_REST_USERNAME": "rest_user", "RESTIC_REST_PASSWORD": "rest_password"},
    "s3": {"AWS_ACCESS_KEY_ID": "s3_access_key", "AWS_SECRET_ACCESS_KEY": "s3_secret_key"},
}
"""Kind of repository to restic's variables, and the secret of the group `backup` that each holds."""
_TRIAL = "ipex-restore-test"
_TRIED = "ollama"
"""The engine whose store has a form that is known, and that can be tried without a GPU."""


def part(node: Node, backup: Backup, fleet: Fleet) -> Part:
    """What keeps a GPU node."""
    repository = node.backup_repository
    files = [*_jobs(backup, repository), *_trial_unit(node, backup)]
    if repository:
        files += _secrets(repository, fleet)
    timers = [file for file in files if file.path.endswith(".timer")]
    return Part(
        packages=_packages(repository),
        files=tuple(files),
        units=tuple(Unit(file.path.rsplit("/", 1)[1], inputs=(file.path,)) for file in timers),
        validators=tuple(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{file.path}")
            for file in files
            if file.path.startswith(_UNITS)
        ),
    )


def settings(node: Node, backup: Backup) -> dict[str, Any]:
    """What the program on the box must know."""
    tried = _tried(node)
    return {
        "node": node.name,
        "place": PLACE,
        "repository": _repository(node.backup_repository) if node.backup_repository else None,
        "keep": dataclasses.asdict(backup.keep),
        "verify_days": backup.verify_days,
        "wait_seconds": backup.wait_seconds,
        "free_share": backup.free_share,
        "services": [_service(service) for service in node.services],
        "trial": {
            "service": tried.name,
            "unit": f"{_TRIAL}-{tried.name}.service",
            "state": f"{_TRIAL}-{tried.name}",
            "port": backup.test_port,
            "model": tried.model,
            "seconds": backup.test_seconds,
        }
        if tried
        else None,
    }


def _service(service: Service) -> dict[str, Any]:
    created = set(service.created)
    return {
        "name": service.name,
        "unit": service.unit,
        "items": list(service.backup),
        "models": _store(service) if service.engine == _TRIED else "",
        "created": list(service.created),
        "declared": [name for name in models.declared(service) if name not in created],
        "drain_seconds": service.drain_seconds,
    }


def _store(service: Service) -> str:
    """Where Ollama keeps its models, below the service's state directory (ollama/ollama, envconfig: OLLAMA_MODELS)."""
    said = service.environment.get("OLLAMA_MODELS", f"%S/{service.name}/.ollama/models")
    return said.removeprefix(f"%S/{service.name}/")


def _tried(node: Node) -> Service | None:
    return next((one for one in node.services if one.engine == _TRIED and one.model), None)


def _packages(repository: BackupRepository | None) -> tuple[str, ...]:
    if repository is None:
        return ()
    return ("openssh-client", "restic") if repository.kind == "sftp" else ("restic",)


def _repository(repository: BackupRepository) -> dict[str, Any]:
    environment = _ENVIRONMENT.get(repository.kind, {})
    return {
        "url": repository.location,
        "options": [f"sftp.command={_ssh(repository)}"] if repository.kind == "sftp" else [],
        "environment": {name: f"{_SECRETS}/{one}" for name, one in environment.items()},
        "password_file": f"{_SECRETS}/password",
    }


def _ssh(repository: BackupRepository) -> str:
    """How restic begins sftp: a key of its own, and no host that is not known."""
    options = (
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={_SECRETS}/known_hosts",
        "ConnectTimeout=20",
        "ServerAliveInterval=15",
    )
    words = " ".join(f"-o {option}" for option in options)
    place = f"-p {repository.port} -l {repository.user} {repository.host}"
    return f"ssh -F /dev/null -i {_SECRETS}/ssh_key {words} {place} -s sftp"


def _secrets(repository: BackupRepository, fleet: Fleet) -> Iterator[File]:
    names = ["password", *_ENVIRONMENT.get(repository.kind, {}).values()]
    if repository.kind == "sftp":
        names += ["ssh_key", "known_hosts"]
    for name in names:
        yield secret(f"{_SECRETS}/{name}", fleet.secrets.get(f"backup.{name}"))


def _jobs(backup: Backup, repository: BackupRepository | None) -> Iterator[File]:
    for name, command, calendar, description in (
        ("ipex-backup", "backup", backup.calendar, "keep this node's data"),
        ("ipex-backup-verify", "backup-verify", backup.verify_calendar, "read a part of what is kept again"),
        ("ipex-restore-test", "restore-test", backup.restore_test_calendar, "try a restore"),
    ):
        values = {
            "name": name,
            "command": command,
            "description": description,
            "place": PLACE,
            "remote": bool(repository and repository.is_remote),
            "writes": [repository.path] if repository and not repository.is_remote else [],
        }
        yield File(f"{_UNITS}/{name}.service", render("units/ipex-backup.service.j2", **values))
        timer = render("units/ipex-backup.timer.j2", calendar=calendar, spread=backup.spread, **values)
        yield File(f"{_UNITS}/{name}.timer", timer)


def _trial_unit(node: Node, backup: Backup) -> Iterator[File]:
    """The throw-away engine: the service's own unit, with another port and state directory, and without the GPU."""
    tried = _tried(node)
    if tried is None:
        return
    name = f"{_TRIAL}-{tried.name}"
    environment = {
        **{key: re.sub(rf"%([SC])/{tried.name}\b", rf"%\1/{name}", value) for key, value in tried.environment.items()},
        "OLLAMA_HOST": f"127.0.0.1:{backup.test_port}",
        "OLLAMA_MODELS": f"%S/{name}/models",
    }
    one = dataclasses.replace(tried, name=name, port=backup.test_port, environment=environment, floor=0)
    content = render("units/restore-test-engine.service.j2", service=one, tried=tried)
    yield File(f"{_UNITS}/{name}.service", content)
