"""The package mirror takes its archives from a sources.list."""

from pathlib import Path

from lab.mirror import archives, configuration, source_lines

SOURCES = """\
deb http://archive.example/debian trixie main
deb http://archive.example/debian trixie-updates main
deb [signed-by=/usr/share/keyrings/x.gpg] https://archive.example:8443/debian-security/ trixie-security main
"""


def test_each_archive_is_found_once() -> None:
    """Two suites of one archive share one place on the mirror."""
    assert archives(SOURCES) == [
        "http://archive.example/debian",
        "https://archive.example:8443/debian-security/",
    ]


def test_nodes_ask_the_mirror_for_everything(tmp_path: Path) -> None:
    """A node has no route to any archive but the mirror's copy of it, and keeps its options."""
    (tmp_path / "etc/apt").mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text(SOURCES)
    assert source_lines(tmp_path).splitlines() == [
        "deb http://198.18.0.1:3142/archive0/ trixie main",
        "deb http://198.18.0.1:3142/archive0/ trixie-updates main",
        "deb [signed-by=/usr/share/keyrings/x.gpg] http://198.18.0.1:3142/archive1/ trixie-security main",
    ]


def test_the_mirror_listens_in_the_lab_only() -> None:
    """Nobody on the machine's real network may use it."""
    listens = [line.split()[1] for line in configuration(SOURCES).splitlines() if "listen " in line]
    assert listens == ["198.18.0.1:3142;"]


def test_an_https_archive_is_reached_by_tls_on_its_port() -> None:
    """The scheme and the port are the archive's, not the mirror's."""
    text = configuration(SOURCES)
    assert "upstream archive1 { server archive.example:8443;" in text
    assert "proxy_pass https://archive1;" in text
