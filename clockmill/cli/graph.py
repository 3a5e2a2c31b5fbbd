"""The graph of a DAG as text: a tree for the terminal, dot for Graphviz, Mermaid for documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from clockmill.serde import Document


def as_tree(document: Document) -> str:
    """Each task under those that it waits for; what stands below several of them is drawn once."""
    below = _downstream(document)
    lines = [document.dag_id]
    roots = [task.task_id for task in document.tasks if not task.upstream]
    lines += _branches(roots, below, {task.task_id: task.operator for task in document.tasks})
    return "\n".join(lines)


def as_dot(document: Document) -> str:
    """The graph in the language of Graphviz, groups as clusters."""
    lines = [f"digraph {_quoted(document.dag_id)} {{", "  rankdir=LR", "  node [shape=box, style=rounded]"]
    lines += _dot_group(document, None, "  ")
    below = _downstream(document)
    for task in document.tasks:
        for name in below[task.task_id]:
            label = task.edge_labels.get(name)
            suffix = f" [label={_quoted(label)}]" if label else ""
            lines.append(f"  {_quoted(task.task_id)} -> {_quoted(name)}{suffix}")
    return "\n".join([*lines, "}"])


def as_mermaid(document: Document) -> str:
    """The graph in the language of Mermaid, groups as subgraphs."""
    numbers = {task.task_id: f"t{number}" for number, task in enumerate(document.tasks)}
    lines = ["flowchart LR", *_mermaid_group(document, None, numbers, "  ")]
    below = _downstream(document)
    for task in document.tasks:
        for name in below[task.task_id]:
            label = task.edge_labels.get(name)
            arrow = f"-->|{_escaped(label)}|" if label else "-->"
            lines.append(f"  {numbers[task.task_id]} {arrow} {numbers[name]}")
    return "\n".join(lines)


def _downstream(document: Document) -> dict[str, list[str]]:
    return {task_id: list(node.downstream) for task_id, node in document.graph().items()}


def _branches(roots: list[str], below: Mapping[str, list[str]], operators: Mapping[str, str]) -> Iterator[str]:
    drawn: set[str] = set()
    stack = _level("", roots)
    while stack:
        indent, is_last, name = stack.pop()
        branch = "└── " if is_last else "├── "
        if name in drawn:
            yield f"{indent}{branch}{name} (see above)"
            continue
        drawn.add(name)
        yield f"{indent}{branch}{name} [{operators[name]}]"
        stack += _level(indent + ("    " if is_last else "│   "), below[name])


def _level(indent: str, names: list[str]) -> list[tuple[str, bool, str]]:
    """Siblings as (indent, is the last, name), in the order in which a stack gives them back."""
    return [(indent, position == len(names) - 1, name) for position, name in enumerate(names)][::-1]


def _dot_group(document: Document, group: str | None, indent: str) -> Iterator[str]:
    for task in document.tasks:
        if task.group == group:
            yield f"{indent}{_quoted(task.task_id)} [label={_quoted(task.display_name)}]"
    for each in document.groups:
        if each.parent == group:
            yield f"{indent}subgraph {_quoted('cluster_' + each.group_id)} {{"
            yield f"{indent}  label={_quoted(each.label)}"
            yield from _dot_group(document, each.group_id, indent + "  ")
            yield f"{indent}}}"


def _mermaid_group(document: Document, group: str | None, numbers: Mapping[str, str], indent: str) -> Iterator[str]:
    for task in document.tasks:
        if task.group == group:
            yield f'{indent}{numbers[task.task_id]}["{_escaped(task.display_name)}"]'
    for position, each in enumerate(document.groups):
        if each.parent == group:
            yield f'{indent}subgraph g{position}["{_escaped(each.label)}"]'
            yield from _mermaid_group(document, each.group_id, numbers, indent + "  ")
            yield f"{indent}end"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("|", "&#124;").replace("\n", " ")
