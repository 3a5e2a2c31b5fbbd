"""Parameters of DAGs and tasks: a default, a description, and a JSON schema that the given value must satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from clockmill.errors import DagDefinitionError, UsageError, did_you_mean
from clockmill.model.schemas import schema_problem, value_problems


class ParamError(UsageError):
    """Values given for the parameters do not satisfy their schemas; the message lists all that is wrong.

    :param problems: parameter name -> one sentence for each thing that is wrong with its value.
    """

    def __init__(self, problems: Mapping[str, list[str]]) -> None:
        told = (f"{name}: {problem}" for name, several in problems.items() for problem in several)
        super().__init__("Wrong parameters: " + "; ".join(told))
        self.problems = problems


class _NoDefault:
    def __repr__(self) -> str:
        return "NO_DEFAULT"


NO_DEFAULT: Any = _NoDefault()


class ParamLike(Protocol):
    """A parameter as the checks see it: of a DAG file, or of a stored document."""

    @property
    def default(self) -> Any:
        """The default, or :data:`NO_DEFAULT`."""
        ...

    @property
    def schema(self) -> Mapping[str, Any]:
        """Its JSON schema; empty when anything goes."""
        ...


class Param:
    """A parameter.

    :param default: the value when a run is given none; without it, a run must be given one.
    :param description: what it is for, shown where a run is triggered.
    :param schema: a whole JSON schema, instead of or beside its keywords.
    :param keywords: keywords of JSON schema: ``type``, ``enum``, ``minimum``, ``format``, ``title``...
    """

    def __init__(
        self,
        default: Any = NO_DEFAULT,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        self.default = default
        self.description = description
        if schema is not None and not isinstance(schema, Mapping):
            raise DagDefinitionError(f"Param: schema must be a dictionary, not {schema!r}.")
        self.schema: dict[str, Any] = {**(schema or {}), **keywords}

    @property
    def has_default(self) -> bool:
        return self.default is not NO_DEFAULT

    @property
    def value(self) -> Any:
        """The default; None without one."""
        return self.default if self.has_default else None

    def __repr__(self) -> str:
        return f"Param({self.default!r})"


def as_params(owner: str, given: Mapping[Any, Any]) -> dict[str, Param]:
    """``given`` with every plain value made a parameter that has it as its default.

    :raises DagDefinitionError: when a name is not a string or a schema is no JSON schema.
    """
    params = {}
    for name, value in given.items():
        if not isinstance(name, str) or not name:
            raise DagDefinitionError(f"{owner}: the name of a parameter is a non-empty string, not {name!r}.")
        params[name] = value if isinstance(value, Param) else Param(value)
    return params


def resolve_params(params: Mapping[str, ParamLike], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a run: defaults, with what was given over them.

    Names that are no parameter are passed through, as free configuration.

    :raises ParamError: when values are missing or do not satisfy their schemas; all of them in one message.
    """
    from clockmill.model.checking import problems_in_time

    values = {name: param.default for name, param in params.items() if param.default is not NO_DEFAULT}
    values.update(given)
    problems: dict[str, list[str]] = {}
    for name, param in params.items():
        if name not in values:
            hint = did_you_mean(name, [key for key in given if key not in params])
            problems[name] = [f"a value is required, as there is no default.{hint}"]
        elif wrong := problems_in_time(param.schema, values[name]):
            problems[name] = wrong
    if problems:
        raise ParamError(problems)
    return values


def check_defaults(owner: str, params: Mapping[str, Param], *, required: bool) -> None:
    """See to it that every schema is one, and that every default satisfies it.

    :param required: whether each parameter must have a default, because runs are made that nobody gives values to.
    :raises DagDefinitionError: listing all that is wrong.
    """
    problems = []
    for name, param in params.items():
        if problem := schema_problem(param.schema):
            problems.append(f"{name}: its schema is wrong: {problem}")
        elif param.has_default:
            problems.extend(f"{name}: its default {problem}" for problem in value_problems(param.schema, param.default))
        elif required:
            problems.append(f"{name}: needs a default, because the DAG has a schedule")
    if problems:
        raise DagDefinitionError(f"{owner}: wrong params: " + "; ".join(problems))
