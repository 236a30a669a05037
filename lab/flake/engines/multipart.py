"""Reads multipart/form-data (RFC 7578), as a browser sends an image."""

import re
from dataclasses import dataclass

from .http import HttpError


@dataclass(frozen=True)
class Part:
    """One field of a form; `filename` is empty where it is no file."""

    name: str
    filename: str
    content: bytes


def parts(content_type: str, body: bytes) -> dict[str, Part]:
    """Return the fields of a form by name; a 400 where it is none."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    if not boundary or not content_type.lower().startswith("multipart/form-data"):
        raise HttpError(400, {"error": "the body is no multipart/form-data"})
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.group(1).encode())
    found = [_part(piece) for piece in pieces[1:-1]]
    return {part.name: part for part in found}


def _part(piece: bytes) -> Part:
    head, blank, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    name = re.search(rb'[; ]name="([^"]*)"', head)
    if not blank or not name:
        raise HttpError(400, {"error": "a part of the form has no name"})
    filename = re.search(rb'filename="([^"]*)"', head)
    return Part(name.group(1).decode(), filename.group(1).decode() if filename else "", content)
