"""What a worker makes of letters that are refused."""

from __future__ import annotations

from clockmill.executors.worker.desk import Desk
from clockmill.protocols import AttemptReport
from clockmill.protocols.workers import Exchange, ExchangeAnswer


def letter(desk: Desk) -> Exchange:
    return desk.compose(1, free=0, ask=False, is_draining=False)


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
