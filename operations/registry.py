"""What declared models are right now, asked of their registries by the controller."""

import urllib.error
import urllib.request
from collections.abc import Iterator

from fleet import model_lock, models
from fleet.load import RefusedError
from fleet.model import Fleet, Service
from fleet.model_lock import Key, Lock, LockedModel
from fleet.problems import Problem, report

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_SECONDS = 30
_LONGEST = 4 * 1024 * 1024


def resolved(fleet: Fleet, registry: str) -> Lock:
    """Every declared model, with what its registry has under its name at this moment.

    Raises:
        RefusedError: with every model that could not be resolved.
    """
    found: Lock = {}
    problems: list[Problem] = []
    for (service, name), declared in dict(_declared(fleet)).items():
        try:
            found[service, name] = _model(declared, name, registry)
        except (OSError, ValueError) as error:
            cure = "Look at its name and its registry; nothing was locked."
            problems.append(Problem(f"{service}/{name}", str(error), cure))
    if problems:
        raise RefusedError(f"Not every model could be resolved:\n{report(fleet.environment, problems)}")
    return found


def _declared(fleet: Fleet) -> Iterator[tuple[Key, Service]]:
    for node in fleet.with_role("gpu_nodes"):
        for service in node.services:
            for name in models.locked_names(service):
                yield (service.name, name), service


def _model(service: Service, name: str, registry: str) -> LockedModel:
    if name in service.downloads:
        download = service.downloads[name]
        return model_lock.from_download(name, download, _length(download.url))
    url = model_lock.manifest_url(name, registry)
    with _asked(urllib.request.Request(url, headers={"Accept": _MANIFEST})) as answer:  # noqa: S310 - see model_store.is_trusted
        return model_lock.from_manifest(name, registry, answer.read(_LONGEST))


def _length(url: str) -> int:
    with _asked(urllib.request.Request(url, method="HEAD")) as answer:  # noqa: S310 - as above
        if (length := answer.headers.get("Content-Length")) is None:
            raise ValueError(f"{url} does not say how long it is")
        return int(length)


def _asked(request: urllib.request.Request):  # type: ignore[no-untyped-def]  # noqa: ANN202 - urllib's own
    try:
        return urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310 - see model_store.is_trusted
    except urllib.error.HTTPError as error:
        raise OSError(f"{request.full_url} answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"{request.full_url}: {error.reason}") from error
