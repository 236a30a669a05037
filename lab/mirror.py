"""The packages' way into the lab: nodes have no route out, so a caching nginx brings Debian's archives to them.

nginx runs from an overlay over the cached tree, in a mount namespace of its own: this machine gets no package.
It forwards to the archives that the tree's own sources.list names; apt on the nodes verifies their signatures
as on any Debian, so the mirror need not be trusted.
"""

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
from pathlib import Path

from lab import cgroups
from lab.roster import MACHINE_ADDRESS
from lab.state import CACHE, STATE, LabError, Ledger, Process

PORT = 3142
WWW = STATE / "www"
"""Served below /: `www/flake/x` is http://198.18.0.1:3142/flake/x."""

PACKAGES = CACHE / "packages"
GROUP = "package-mirror"
"""Its control group: whoever ends the session that ran `up` must not end the mirror with it."""

LOG = STATE / "mirror" / "log"

INSTALL = r"""
set -eu
tree=$1 layer=$2
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$layer/upper,workdir=$layer/work" "$layer/root"
mount --bind /etc/resolv.conf "$layer/root/etc/resolv.conf"
mount --bind /etc/hosts "$layer/root/etc/hosts"
mount -t proc proc "$layer/root/proc"
mount --rbind /dev "$layer/root/dev"
export DEBIAN_FRONTEND=noninteractive
chroot "$layer/root" apt-get -q update
chroot "$layer/root" apt-get -q install -y --no-install-recommends nginx
chroot "$layer/root" apt-get -q clean
rm -rf "$layer/root"/var/lib/apt/lists/*
"""

RUN = r"""
set -eu
tree=$1 layer=$2 home=$3 www=$4 packages=$5
for group in $LAB_GROUPS; do echo $$ > "$group/cgroup.procs"; done
mount -t overlay overlay -o "lowerdir=$layer/upper:$tree,upperdir=$home/upper,workdir=$home/work" "$home/root"
mount --bind /etc/resolv.conf "$home/root/etc/resolv.conf"
mount --bind /etc/hosts "$home/root/etc/hosts"
mount --rbind /dev "$home/root/dev"
mount --bind "$www" "$home/root/srv"
mount --bind "$packages" "$home/root/mnt"
exec chroot "$home/root" nginx -c /etc/nginx/lab.conf
"""

CONFIGURATION = """\
daemon off;
worker_processes 2;
pid /run/nginx-lab.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  default_type application/octet-stream;
  sendfile on;
  proxy_cache_path /mnt levels=1:2 keys_zone=packages:10m max_size=4g inactive=90d use_temp_path=off;
  proxy_cache packages;
  # Two nodes that want the same package cause one download.
  proxy_cache_lock on;
  proxy_cache_lock_timeout 120s;
  proxy_cache_use_stale error timeout updating http_502 http_503 http_504;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_ssl_server_name on;
  proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
{upstreams}
  server {{
    listen {address}:{port};
    root /srv;
{locations}
  }}
}}
"""

UPSTREAM = "  upstream archive{number} {{ server {host}:{port}; keepalive 8; }}\n"

# A package and a by-hash index never change under their name; everything else may at any moment.
LOCATION = """\
    location ~ ^/archive{number}/.*(\\.deb$|/by-hash/) {{
      rewrite ^/archive{number}/(.*)$ {path}$1 break;
      proxy_pass {scheme}://archive{number};
      proxy_set_header Host {host};
      proxy_ssl_name {host};
      proxy_cache_valid 200 90d;
    }}
    location /archive{number}/ {{
      rewrite ^/archive{number}/(.*)$ {path}$1 break;
      proxy_pass {scheme}://archive{number};
      proxy_set_header Host {host};
      proxy_ssl_name {host};
      proxy_cache_valid 200 1m;
    }}
"""


def source_lines(tree: Path) -> str:
    """Return the tree's sources.list with every archive replaced by its place on the mirror."""
    lines = (tree / "etc/apt/sources.list").read_text()
    for number, archive in enumerate(archives(lines)):
        # Followed by a space: one archive's address may be the beginning of another's.
        lines = lines.replace(f"{archive} ", f"http://{MACHINE_ADDRESS}:{PORT}/archive{number}/ ")
    return lines


def archives(sources: str) -> list[str]:
    """Return the distinct archive addresses of a sources.list, in its order."""
    return list(dict.fromkeys(re.findall(r"^deb .*?(https?://\S+) ", sources, re.MULTILINE)))


def configuration(sources: str) -> str:
    """Render nginx's configuration for the archives of a sources.list."""
    upstreams = locations = ""
    for number, archive in enumerate(archives(sources)):
        url = urllib.parse.urlsplit(archive)
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        upstreams += UPSTREAM.format(number=number, host=url.hostname, port=port)
        path = url.path.rstrip("/") + "/"
        locations += LOCATION.format(number=number, host=url.netloc, path=path, scheme=url.scheme)
    return CONFIGURATION.format(upstreams=upstreams, locations=locations, address=MACHINE_ADDRESS, port=PORT)


def install(tree: Path) -> Path:
    """Install nginx into a cached layer over the tree, if it is not there, and return the layer."""
    layer = tree.with_name(tree.name.replace("tree-", "mirror-"))
    if layer.is_dir():
        return layer
    unfinished = layer.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in ("upper", "work", "root"):
        (unfinished / part).mkdir(parents=True)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", INSTALL, "sh", str(tree), str(unfinished)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"nginx could not be installed for the package mirror:\n{done.stderr[-2000:].strip()}")
    unfinished.rename(layer)
    return layer


def start(tree: Path, ledger: Ledger) -> bool:
    """Start the mirror unless it runs; tell whether it had to be started.

    Raises:
        LabError: nginx ended, or does not answer after 15 seconds.
    """
    if ledger.mirror is not None and ledger.mirror.alive():
        return False
    layer, home = install(tree), STATE / "mirror"
    shutil.rmtree(home, ignore_errors=True)
    for directory in (home / "upper/etc/nginx", home / "work", home / "root", WWW / "flake", PACKAGES):
        directory.mkdir(parents=True, exist_ok=True)
    (home / "upper/etc/nginx/lab.conf").write_text(configuration((tree / "etc/apt/sources.list").read_text()))
    command = [
        *(*cgroups.launcher(GROUP), "unshare", "-m", "sh", "-c", RUN, "sh"),
        *map(str, (tree, layer, home, WWW, PACKAGES)),
    ]
    groups = " ".join(map(str, cgroups.create(GROUP)))
    ledger.mirror = Process.launch(command, LOG, {**os.environ, "LAB_GROUPS": groups})
    ledger.save()
    _await(ledger.mirror, seconds=15)
    return True


def _await(process: Process, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((MACHINE_ADDRESS, PORT), timeout=1).close()
        except OSError as error:
            if not process.alive() or time.monotonic() > deadline:
                raise LabError(f"the package mirror does not run:\n{LOG.read_text().strip()}") from error
            time.sleep(0.05)
        else:
            return


def stop(ledger: Ledger) -> None:
    """Stop the mirror, if it runs."""
    if ledger.mirror is None:
        return
    ledger.mirror.stop()
    if not ledger.mirror.wait(10):
        raise LabError(f"the package mirror (pid {ledger.mirror.pid}) does not end; end it by hand")
    cgroups.remove(GROUP)
    ledger.mirror = None
    ledger.save()
