"""XComs for display: plain JSON only, no class of a user is ever looked up."""

from __future__ import annotations

from dataclasses import dataclass

from clockmill.errors import SerializationError
from clockmill.storage.run_pages import XComLine
from clockmill.webserver.display import pretty_json
from clockmill.xcom import to_display

#: Characters of a value that a page shows.
SHOWN_CHARS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownXCom:
    """An XCom as a page shows it.

    :param is_cut: only the beginning of the value is shown.
    """

    key: str
    text: str
    size: int
    is_cut: bool


def shown(line: XComLine) -> ShownXCom:
    """``line`` as indented JSON, or as it is stored when it is too long or no JSON."""
    is_cut = line.size > len(line.value)
    text = line.value if is_cut else _indented(line.value)
    return ShownXCom(key=line.key, text=text, size=line.size, is_cut=is_cut)


def _indented(text: str) -> str:
    try:
        return pretty_json(to_display(text))
    except SerializationError:
        return text
