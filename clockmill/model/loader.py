"""Import one DAG file and find its DAGs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from clockmill.errors import DagDefinitionError
from clockmill.model.dag import DAG
from clockmill.model.foreign import import_to_use
from clockmill.model.scope import listening


def load_dags(path: Path, module_name: str, root: Path | None = None, *, thorough: bool = True) -> list[DAG]:
    """Import the file ``path`` and give its DAGs, complete and free of cycles.

    They are those that a global variable of the module holds, and those that were opened by ``with`` or ``@dag``
    while it was imported, unless ``auto_register=False``.

    :param module_name: under which the module is imported; unique to the file, so that it shadows no other.
    :param root: the folder that the file imports its helpers from; put first on ``sys.path``.
    :param thorough: whether to check what only a scheduler needs too, schedules and the defaults of params.
    :raises DagDefinitionError: when the file cannot be imported or defines something impossible. Its cause is the
        exception of the file, its ``line`` the line of this file that led to it.
    """
    root = root or path.parent
    if str(root) not in sys.path[:1]:
        sys.path.insert(0, str(root))
    module = ModuleType(module_name)
    module.__file__ = str(path)
    sys.modules[module_name] = module
    try:
        with listening() as announced:
            _run(_compiled(path), module, path)
        dags = _distinct([*_held_by(module), *announced])
        for dag in dags:
            dag.validate() if thorough else dag.complete()
    except BaseException:
        sys.modules.pop(module_name, None)
        raise
    return dags


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise DagDefinitionError(f"Syntax error: {error.msg}.", line=error.lineno) from error
    except ValueError as error:  # null bytes
        raise DagDefinitionError(f"This is not a Python file: {error}.") from error
    except OSError as error:
        raise DagDefinitionError(f"The file cannot be read: {error.strerror}.") from error


def _run(code: CodeType, module: ModuleType, path: Path) -> None:
    try:
        exec(code, module.__dict__)  # noqa: S102 - a DAG file is a program
    except DagDefinitionError as error:
        error.line = _line_in(path, error.__traceback__) or error.line
        raise
    except ImportError as error:
        advice = import_to_use(error, _last_line(error))
        line = _line_in(path, error.__traceback__)
        raise DagDefinitionError(advice or f"{type(error).__name__}: {error}", line=line) from error
    except SyntaxError as error:  # of a helper that the file imports
        where = f"{Path(error.filename or '?').name}, line {error.lineno}"
        line = _line_in(path, error.__traceback__)
        raise DagDefinitionError(f"Syntax error in {where}: {error.msg}.", line=line) from error
    except SystemExit as error:
        line = _line_in(path, error.__traceback__)
        raise DagDefinitionError("The file ends the program (sys.exit) while it is imported.", line=line) from error
    except Exception as error:
        line = _line_in(path, error.__traceback__)
        raise DagDefinitionError(f"{type(error).__name__}: {error}", line=line) from error


def _line_in(path: Path, trace: TracebackType | None) -> int | None:
    """The line of ``path`` that was running when the exception was raised, wherever it was raised."""
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _last_line(error: BaseException) -> str:
    """The source line that raised ``error``, the machinery of imports left out."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    return (frames[-1].line or "") if frames else ""


def _held_by(module: ModuleType) -> list[DAG]:
    return [value for value in vars(module).values() if isinstance(value, DAG)]


def _distinct(dags: Iterable[DAG]) -> list[DAG]:
    """Each DAG once.

    :raises DagDefinitionError: when two have the same id.
    """
    found: dict[str, DAG] = {}
    for dag in dags:
        other = found.setdefault(dag.dag_id, dag)
        if other is not dag:
            first, second = sorted((other.line or 0, dag.line or 0))
            raise DagDefinitionError(
                f"The file defines two DAGs with the id {dag.dag_id!r}, in lines {first} and {second}.", line=second
            )
    return list(found.values())
