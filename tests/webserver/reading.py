"""Reading pages as a person does."""

from __future__ import annotations

import html
import re

from werkzeug.test import TestResponse


def words(answer: TestResponse) -> str:
    """The text of a page, without markup."""
    body = re.sub(r"<(script|svg)[^>]*>.*?</\1>", " ", answer.text, flags=re.DOTALL)
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
    return re.sub(r" (?=[,:.](?: |$))", "", text)


def hidden(text: str) -> dict[str, str]:
    """The hidden fields of the first form that has a fingerprint, or else of the first form."""
    forms: list[str] = re.findall(r'<form[^>]* method="post"[^>]*>(.*?)</form>', text, re.DOTALL)
    form = next((each for each in forms if "fingerprint" in each), forms[0])
    fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in fields}
