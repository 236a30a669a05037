"""Text as Go writes it, because Ollama's logs, durations and times are Go's."""

import re
from datetime import UTC, datetime

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def duration_text(seconds: float) -> str:
    """Return seconds as Go's time.Duration prints them: 31.4µs, 1.5s, 1m3s."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.6g}µs"
    if seconds < 1:
        return f"{seconds * 1e3:.9g}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{int(hours)}h"] if hours else []
    parts += [f"{int(minutes)}m"] if hours or minutes else []
    return "".join([*parts, f"{rest:.9g}s"])


def duration_seconds(value: object) -> float:
    """Return a keep_alive in seconds: a bare number is seconds, text is a Go duration, negative is for ever.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, int | float):
        return float("inf") if value < 0 else float(value)
    text = str(value).strip()
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return duration_seconds(float(text))
    if text.startswith("-"):
        return float("inf")
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'time: invalid duration "{text}"')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def timestamp(unix: float | None = None) -> str:
    """Return a time as RFC 3339 in UTC; now without an argument, Go's zero-like far future for infinity."""
    if unix == float("inf"):
        return "2318-01-01T00:00:00Z"
    moment = datetime.now(UTC) if unix is None else datetime.fromtimestamp(unix, UTC)
    return moment.isoformat().replace("+00:00", "Z")
