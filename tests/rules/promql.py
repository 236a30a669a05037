"""What an expression of PromQL names: enough of its grammar to ask whether that exists."""

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_RANGE = re.compile(r"\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])")
_WORDS = {"and", "or", "unless", "bool", "offset", "by", "on"}


def families(expression: str) -> set[str]:
    """The metrics an expression reads."""
    bare = _GROUPING.sub("", re.sub(r"\{[^}]*\}", "", _RANGE.sub("", _STRING.sub("", expression))))
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def matched(expression: str) -> set[tuple[str, str]]:
    """Each metric with each label it is selected by; a regular expression may hold braces, so strings go first."""
    return {
        (name, label)
        for name, inner in _SELECTOR.findall(_STRING.sub('""', expression))
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inner)
    }


def grouped(expression: str) -> set[str]:
    """The labels an expression groups or joins by."""
    inner = _GROUPING.findall(_STRING.sub('""', expression))
    return {label.strip() for labels in inner for label in labels.split(",") if label.strip()}
