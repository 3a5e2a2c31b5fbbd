"""Filling template fields: what is rendered, what is left alone, and how a mistake is told."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest

from clockmill import DAG, BaseOperator
from clockmill.errors import DagDefinitionError, SkipTask
from clockmill.templating import literal, render_fields, rendered

DAY = datetime(2026, 1, 31, 6, tzinfo=UTC)
CONTEXT = {"ds": "2026-01-31", "logical_date": DAY, "params": {"n": 3}, "numbers": [1, 2]}

Pair = namedtuple("Pair", "left right")


class Command(BaseOperator):
    """An operator with one template field that may be a file."""

    template_fields = ("what",)
    template_ext = (".sql", ".sh")

    def __init__(self, *, what: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.what = what


def fill(what: Any, folder: Path = Path("/nowhere"), *, explain: Any = None, **dag_arguments: Any) -> Any:
    """``what`` as the field of a task, rendered."""
    task = Command(task_id="load", what=what, dag=DAG("d", **dag_arguments))
    return render_fields(task, CONTEXT, folder=folder, explain=explain)["what"]


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("day {{ ds }}", "day 2026-01-31"),
        ("{% for n in numbers %}{{ n }};{% endfor %}{# not shown #}", "1;2;"),
        (["{{ ds }}", ("{{ params.n }}",)], ["2026-01-31", ("3",)]),
        ({"{{ ds }}": {"a": "{{ ds }}"}}, {"{{ ds }}": {"a": "2026-01-31"}}),
        ({"{{ ds }}"}, {"2026-01-31"}),
        (Pair("{{ ds }}", 1), Pair("2026-01-31", 1)),
        (5, 5),
        (None, None),
        ("no template } } { {", "no template } } { {"),
        ("cat <<END\n{{ ds }}\nEND\n", "cat <<END\n2026-01-31\nEND\n"),
        (literal("{{ ds }}"), "{{ ds }}"),
        ([literal("{{ ds }}")], ["{{ ds }}"]),
    ],
)
def test_a_field_is_rendered_wherever_a_string_is(what: Any, expected: Any) -> None:
    assert fill(what) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ logical_date | ds }}", "2026-01-31"),
        ("{{ logical_date | ds_nodash }}", "20260131"),
        ("{{ logical_date | ts }}", "2026-01-31T06:00:00+00:00"),
        ("{{ logical_date | ts_nodash }}", "20260131T060000"),
        ("{{ logical_date | ts_nodash_with_tz }}", "20260131T060000+0000"),
        ("{{ none | ds }}", "None"),
    ],
)
def test_the_date_filters(template: str, expected: str) -> None:
    assert fill(template) == expected


def test_native_values_when_the_dag_asks_for_them() -> None:
    assert fill("{{ numbers }}", render_template_as_native_obj=True) == [1, 2]
    assert fill("{{ numbers }}") == "[1, 2]"


def test_macros_and_filters_of_the_author() -> None:
    arguments = {"user_defined_macros": {"twice": lambda n: 2 * n}, "user_defined_filters": {"loud": str.upper}}
    assert fill("{{ twice(params.n) }} {{ 'a' | loud }}", **arguments) == "6 A"


def test_marks_of_the_authors_own() -> None:
    options = {"variable_start_string": "<<", "variable_end_string": ">>"}
    assert fill("<< ds >>", jinja_environment_kwargs=options) == "2026-01-31"


def test_a_template_file_lies_beside_the_dag_file_or_on_the_search_path(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "here.sql").write_text("select '{{ ds }}'\n")
    (tmp_path / "sql" / "there.sql").write_text("{% include 'here.sql' %}")
    assert fill("here.sql", tmp_path) == "select '2026-01-31'\n"
    assert fill(["there.sql"], tmp_path, template_searchpath="sql") == ["select '2026-01-31'\n"]


def test_a_command_that_ends_like_a_file_is_a_command(tmp_path: Path) -> None:
    assert fill("bash run.sh", tmp_path) == "bash run.sh"
    assert fill("{{ ds }}.sql", tmp_path) == "2026-01-31.sql"


def test_a_missing_template_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DagDefinitionError, match=rf"field 'what': there is no template file 'gone.sql' in {tmp_path}"):
        fill("gone.sql", tmp_path)


def test_an_unknown_name_names_task_field_template_and_the_nearest_name() -> None:
    with pytest.raises(DagDefinitionError) as caught:
        fill("select\n'{{ dss }}'")
    assert str(caught.value) == (
        "Task 'load', field 'what', line 2: the template \"'{{ dss }}'\" cannot be filled: 'dss' is undefined."
        " Did you mean 'ds'?"
    )


def test_what_is_known_of_an_absent_name_is_told() -> None:
    with pytest.raises(DagDefinitionError, match="use logical_date"):
        fill("{{ execution_date.year }}", explain=lambda name: "It is gone; use logical_date.")


def test_an_absent_name_can_be_asked_for() -> None:
    assert fill("{{ dss | default('none') }}{% if dss is defined %}x{% endif %}") == "none"


def test_lax_names_when_the_dag_asks_for_them() -> None:
    assert fill("a{{ dss }}b", template_undefined=jinja2.Undefined) == "ab"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ ds", "TemplateSyntaxError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{{ ds.__class__.__mro__ }}", "unsafe"),
        ("{{ ds | nofilter }}", "No filter named 'nofilter'"),
        ("{{ params.x }}", "no attribute 'x'"),
    ],
)
def test_a_broken_template_fails_with_its_reason(template: str, problem: str) -> None:
    with pytest.raises(DagDefinitionError, match="Task 'load', field 'what'") as caught:
        fill(template)
    assert problem in str(caught.value)


def test_a_macro_may_skip_the_task() -> None:
    def skip() -> None:
        raise SkipTask("not today")

    with pytest.raises(SkipTask, match="not today"):
        fill("{{ skip() }}", user_defined_macros={"skip": skip})


def test_the_task_itself_is_not_changed() -> None:
    task = Command(task_id="load", what="{{ ds }}", dag=DAG("d"))
    copy = rendered(task, CONTEXT, folder=Path("/"))
    assert (copy.what, task.what) == ("2026-01-31", "{{ ds }}")
    assert copy.task_id == "load"


def test_an_object_in_a_field_may_have_template_fields_of_its_own() -> None:
    class Query:
        template_fields = ("text",)

        def __init__(self, text: str) -> None:
            self.text = text

    query = Query("{{ ds }}")
    assert fill([query])[0].text == "2026-01-31"
    assert query.text == "{{ ds }}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ macros.ds_add(ds, 1) }} {{ macros.ds_add(ds, -31) }}", "2026-02-01 2025-12-31"),
        ("{{ macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%y') }}", "31.01.26"),
        ("{{ macros.datetime(2026, 1, 1) + macros.timedelta(days=1) }}", "2026-01-02 00:00:00"),
        ("{{ macros.json.dumps([1]) }}{{ macros.yaml.safe_load('a: 1') }}", "[1]{'a': 1}"),
        ("{{ macros.uuid.UUID(int=0) }}", "00000000-0000-0000-0000-000000000000"),
        ("{{ 0 <= macros.random() < 1 }}", "True"),
        ("{{ macros.dateutil.parser.parse('3 May 2026').day }}", "3"),
    ],
)
def test_macros(template: str, expected: str) -> None:
    from clockmill.templating import macros

    task = Command(task_id="load", what=template, dag=DAG("d"))
    assert render_fields(task, {**CONTEXT, "macros": macros}, folder=Path("/"))["what"] == expected


def test_how_long_ago_in_words() -> None:
    from clockmill.templating.macros import datetime_diff_for_humans as words

    assert words(DAY - timedelta(hours=50), DAY) == "2 days before"
    assert words(DAY + timedelta(minutes=1), DAY) == "1 minute after"
    assert words(DAY, DAY) == "0 seconds after"


def test_a_macro_that_does_not_exist_names_the_nearest() -> None:
    from clockmill.templating import macros

    with pytest.raises(AttributeError, match="Did you mean 'ds_add'"):
        macros.ds_ad


def test_jinja_is_loaded_only_for_a_template() -> None:
    program = """
import sys
from pathlib import Path
from clockmill import DAG, BaseOperator
from clockmill.templating import render_fields
class Command(BaseOperator):
    template_fields = ("owner",)
task = Command(task_id="t", owner="plain", dag=DAG("d"))
assert render_fields(task, {}, folder=Path("/")) == {"owner": "plain"}
assert "jinja2" not in sys.modules
task.owner = "{{ ds }}"
assert render_fields(task, {"ds": date}, folder=Path("/")) == {"owner": date}
assert "jinja2" in sys.modules
""".replace("date", repr(date(2026, 1, 1).isoformat()))
    subprocess.run([sys.executable, "-c", program], check=True)
