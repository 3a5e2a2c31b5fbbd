"""What a worker tells with its letters, and what it makes of those that are refused."""

from __future__ import annotations

from clockmill.executors.base import Started
from clockmill.executors.worker.desk import Desk
from clockmill.protocols import AttemptReport
from clockmill.protocols.workers import Exchange, ExchangeAnswer


def letter(desk: Desk) -> Exchange:
    return desk.compose(1, free=0, ask=False, is_draining=False)


def test_a_letter_that_tells_an_end_asks_for_as_much_as_there_is_room_for() -> None:
    desk = Desk()
    desk.is_hungry = False
    desk.adopt([("a", "token"), ("b", "token")])
    assert desk.compose(1, free=1, ask=False, is_draining=False).want == 0
    desk.ended(AttemptReport(attempt_id="a", token="token", outcome="success"))
    assert desk.compose(2, free=1, ask=False, is_draining=False).want == 1
    assert desk.compose(3, free=0, ask=False, is_draining=False).want == 0


def test_of_a_task_that_is_over_already_the_report_alone_says_when_it_began() -> None:
    desk = Desk()
    desk.adopt([("a", "token"), ("b", "token")])
    for ident in "ab":
        desk.started(Started(ident, "token", "2026-01-01T00:00:00+00:00"))
    desk.ended(AttemptReport(attempt_id="a", token="token", outcome="success"))
    assert [ident for ident, _, _ in letter(desk).started] == ["b"]


def outcomes(said: Exchange) -> dict[str, str]:
    return {report["attempt_id"]: report["outcome"] for report in said.reports}


def test_while_every_letter_is_refused_no_report_is_blamed_and_none_is_lost() -> None:
    desk = Desk()
    desk.adopt([("a", "token"), ("b", "token")])
    for ident in "ab":
        desk.ended(AttemptReport(attempt_id=ident, token="token", outcome="success"))
    for _ in range(9):
        desk.refused(letter(desk), "Refused: The call failed; the log of the web server says why.")
        assert desk.has_news
    for _ in range(3):
        said = letter(desk)
        assert set(outcomes(said).values()) <= {"success"}
        desk.take_in(said, ExchangeAnswer(taken=sorted(outcomes(said))))
        if not desk.has_news:
            break
    assert desk.held == {}


def test_a_report_is_blamed_when_it_is_refused_again_after_a_letter_without_it_was_taken() -> None:
    desk = Desk()
    desk.adopt([("a", "token")])
    desk.ended(AttemptReport(attempt_id="a", token="token", outcome="success"))
    desk.refused(letter(desk), "ValueError: too odd")
    without = letter(desk)
    assert without.reports == []
    desk.take_in(without, ExchangeAnswer())
    assert outcomes(letter(desk)) == {"a": "success"}
    desk.refused(letter(desk), "ValueError: too odd")
    [report] = letter(desk).reports
    assert (report["outcome"], report["reason"]) == ("failed", "Its result cannot be stored: ValueError: too odd")


def test_of_several_reports_the_one_that_is_to_blame_is_found_replaced_and_at_last_dropped() -> None:
    desk, stored = Desk(), set()
    desk.adopt([(ident, "token") for ident in "abc"])
    for ident in "abc":
        desk.ended(AttemptReport(attempt_id=ident, token="token", outcome="success"))
    letters = 0
    while desk.has_news:
        said = letter(desk)
        letters += 1
        if "b" in outcomes(said):  # whatever it says
            desk.refused(said, "ValueError: too odd")
        else:
            stored |= outcomes(said).items()
            desk.take_in(said, ExchangeAnswer(taken=sorted(outcomes(said))))
    assert stored == {("a", "success"), ("c", "success")}
    assert desk.held == {"b": "token"}
    assert letters < 10
