"""Jinja templates in the fields of tasks. Jinja itself is loaded by the first field that holds a template."""

from clockmill.templating.render import Literal, literal, render_fields, render_text, rendered

__all__ = ["Literal", "literal", "render_fields", "render_text", "rendered"]
