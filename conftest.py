"""What every test run ends with: which tests were skipped for want of something, and that CI accepts none."""

from __future__ import annotations

import os
from collections import Counter

import pytest


def _skipped(reporter: pytest.TerminalReporter) -> Counter[str]:
    """How many tests were skipped for each reason."""
    reasons: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text.removeprefix("Skipped: ")] += 1
    return reasons


def _reporter(config: pytest.Config) -> pytest.TerminalReporter | None:
    plugin = config.pluginmanager.get_plugin("terminalreporter")
    return plugin if isinstance(plugin, pytest.TerminalReporter) else None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, a skipped test is a failure: what it needs was to be installed."""
    reporter = _reporter(session.config)
    if os.environ.get("CI") and reporter and _skipped(reporter) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out and what would bring it in."""
    skipped = _skipped(terminalreporter)
    if not skipped:
        return
    failed = " (CI is set: this fails the run)" if os.environ.get("CI") else ""
    terminalreporter.section(f"skipped for want of something{failed}")
    for reason, count in sorted(skipped.items()):
        terminalreporter.write_line(f"{count:5} tests: {reason}")
