"""XComs: the values that tasks hand to each other, as JSON text that comes back exactly as it went in."""

from clockmill.xcom.backend import DatabaseBackend, XComBackend
from clockmill.xcom.codec import MAX_DEPTH, check_size, decode, encode
from clockmill.xcom.display import element, length, parts, to_display
from clockmill.xcom.lazy import LazySequence

RETURN_KEY = "return_value"
MAX_KEY_LENGTH = 250

__all__ = [
    "MAX_DEPTH",
    "MAX_KEY_LENGTH",
    "RETURN_KEY",
    "DatabaseBackend",
    "LazySequence",
    "XComBackend",
    "check_size",
    "decode",
    "element",
    "encode",
    "length",
    "parts",
    "to_display",
]
