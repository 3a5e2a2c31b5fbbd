"""The DAG document: a DAG as JSON, written where its file is parsed and read everywhere else.

It holds what scheduling, the web pages and the command line need, never code: reading it executes nothing.
"""

from clockmill.serde.decode import decode
from clockmill.serde.document import SCHEMA_VERSION, Document, GroupDoc, ParamDoc, TaskDoc
from clockmill.serde.encode import dumps, encode

__all__ = ["SCHEMA_VERSION", "Document", "GroupDoc", "ParamDoc", "TaskDoc", "decode", "dumps", "encode"]
