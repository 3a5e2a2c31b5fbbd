"""What the parsing of one DAG file gives: plain records that cross two process borders as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FileError:
    """Why a file, or one DAG of it, cannot be taken.

    :param line: of the file, from 1, where it is known.
    :param message: one sentence that says what to do.
    :param traceback: the frames of the file and what it called.
    :param dag_id: of the DAG when the rest of the file is good, else None.
    """

    message: str
    line: int | None = None
    traceback: str = ""
    dag_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDag:
    """One DAG.

    :param document: its text as ``serde.dumps`` wrote it.
    :param ticks: what ``TickList.to_json`` wrote of a timetable of the author's own; None for any other.
    """

    dag_id: str
    document: str
    ticks: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What in the folder the outcome of a file depends on; paths relative to it.

    :param files: imported, opened or named by the file, itself included; some may not exist.
    :param folders: folders of which the file listed the names; ``""`` is the folder itself.
    :param whole: whether anything in the folder may change the outcome, as after an import that failed.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseResult:
    """The outcome of one file.

    :param dags: those that can be stored.
    :param errors: of the file, or of single DAGs of it.
    :param seconds: how long it took.
    """

    file: str
    dags: tuple[ParsedDag, ...] = ()
    errors: tuple[FileError, ...] = ()
    dependencies: Dependencies = field(default_factory=lambda: Dependencies(files=()))
    seconds: float = 0.0

    @property
    def is_broken(self) -> bool:
        """Whether the file as a whole could not be taken, so that nothing is known about its DAGs."""
        return any(error.dag_id is None for error in self.errors)

    def with_errors(self, *errors: FileError) -> ParseResult:
        """This result with further errors."""
        return replace(self, errors=(*self.errors, *errors))

    def without_dags(self, dag_ids: set[str]) -> ParseResult:
        """This result without some of its DAGs."""
        return replace(self, dags=tuple(dag for dag in self.dags if dag.dag_id not in dag_ids))

    def depending_on_all(self) -> ParseResult:
        """This result as one that any change in the folder may mend."""
        return replace(self, dependencies=replace(self.dependencies, whole=True))

    def to_json(self) -> dict[str, Any]:
        """This result as values that JSON knows."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ParseResult:
        """The result that :meth:`to_json` wrote."""
        needs = data["dependencies"]
        return cls(
            file=data["file"],
            dags=tuple(ParsedDag(**dag) for dag in data["dags"]),
            errors=tuple(FileError(**error) for error in data["errors"]),
            dependencies=Dependencies(
                files=tuple(needs["files"]), folders=tuple(needs["folders"]), whole=needs["whole"]
            ),
            seconds=data["seconds"],
        )


def failure(file: str, message: str) -> ParseResult:
    """The outcome of a file whose process could not say anything itself."""
    needs = Dependencies(files=(file,), whole=True)
    return ParseResult(file=file, errors=(FileError(message=message),), dependencies=needs)
