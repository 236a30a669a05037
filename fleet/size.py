"""Sizes in systemd's spelling."""

import re

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def bytes_of(size: str) -> int | None:
    """The bytes of a size in systemd's spelling (base 1024), or None where it is none.

    Source: systemd.resource-control(5), MemoryMax=.
    """
    match = re.fullmatch(r"(\d+)([KMGT]?)", size)
    return int(match[1]) * _UNITS[match[2]] if match else None
