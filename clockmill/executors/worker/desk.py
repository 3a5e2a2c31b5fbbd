"""What lies on the desk of a worker: who knocked, what it holds, what it has to tell. No clock, no thread, no call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from clockmill.executors.base import Started
from clockmill.executors.worker.blame import Blame
from clockmill.protocols import AttemptReport, Workload
from clockmill.protocols.workers import Exchange, ExchangeAnswer
from clockmill.state import Outcome

#: Of so many attempts it is remembered that they were here: a doorbell that comes late asks for nothing then.
_REMEMBERED = 2000
#: Reports are told so many at a time: all XComs of an attempt are in its report.
_REPORTS_AT_ONCE = 200


@dataclass
class _Knock:
    token: str
    futures: list[Future[bool]]


@dataclass
class Told:
    """What follows from an answer.

    :param fresh: attempts to be started.
    :param stop: attempts that run and are to be stopped.
    :param taken: attempts whose reports need no keeping any more.
    :param unrung: whether one of the fresh ones came without a knock for it.
    """

    fresh: list[Workload] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    unrung: bool = False


class Desk:
    """The books of one worker under one id.

    :ivar is_hungry: whether it is worth asking for any work at all, because there may be some without a doorbell.
    """

    def __init__(self) -> None:
        self._knocks: OrderedDict[str, _Knock] = OrderedDict()
        self._held: dict[str, str] = {}
        self._running: set[str] = set()
        self._started: dict[str, Started] = {}
        self._reports: OrderedDict[str, AttemptReport] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._blame = Blame()
        self._replaced: set[str] = set()
        self.is_hungry = True

    # --- what there is --------------------------------------------------------------------------------------------

    @property
    def held(self) -> dict[str, str]:
        """What was received and is not taken back yet: attempt id -> token."""
        return dict(self._held)

    @property
    def running(self) -> set[str]:
        """What of it is not over."""
        return set(self._running)

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._reports or self._started)

    @property
    def has_knocks(self) -> bool:
        """Whether somebody knocked and waits for an answer."""
        return bool(self._knocks)

    # --- what comes in --------------------------------------------------------------------------------------------

    def knock(self, attempt_id: str, token: str, future: Future[bool]) -> None:
        """Somebody offers an attempt; the future is told whether it was claimed here."""
        if attempt_id in self._known:
            future.set_result(True)
        elif found := self._knocks.get(attempt_id):
            found.futures.append(future)
        else:
            self._knocks[attempt_id] = _Knock(token, [future])

    def send_away(self) -> None:
        """Nothing is claimed for now: whoever waits is told so by a cancelled future."""
        for each in self._knocks.values():
            for future in each.futures:
                future.cancel()
        self._knocks.clear()

    def close(self) -> None:
        """Nothing is claimed any more."""
        self.send_away()
        self.is_hungry = False

    def inherit_knocks(self, other: Desk) -> None:
        """Those that knocked at another desk are served here."""
        self._knocks, other._knocks = other._knocks, OrderedDict()

    def adopt(self, tokens: Iterable[tuple[str, str]]) -> None:
        """Attempts of the worker before were found."""
        for ident, token in tokens:
            self._receive(ident, token)

    def started(self, event: Started) -> None:
        """The user code of an attempt has begun."""
        if event.attempt_id in self._running:
            self._started[event.attempt_id] = event

    def ended(self, report: AttemptReport) -> bool:
        """An attempt is over; False when it is none of ours."""
        if report.attempt_id not in self._held:
            return False
        self._running.discard(report.attempt_id)
        self._started.pop(report.attempt_id, None)  # its report says when it was
        self._reports.setdefault(report.attempt_id, report)
        return True

    def give_back(self, attempt_ids: Iterable[str], outcome: Outcome, reason: str) -> None:
        """Report attempts of which no supervisor will say anything."""
        for ident in attempt_ids:
            self.ended(self._report(ident, outcome, reason))

    # --- letters and answers --------------------------------------------------------------------------------------

    def compose(self, beat: int, *, free: int, ask: bool, is_draining: bool) -> Exchange:
        """The next letter. One that reports an end asks for more: nobody rings for a worker that is full.

        :param free: how many attempts can be started at once now.
        :param ask: whether to ask for any work that there is.
        """
        claims = [[ident, each.token] for ident, each in self._knocks.items()][:free]
        reports = self._blame.choose(self._reports, _REPORTS_AT_ONCE)
        started = [] if self._blame.is_sought else self._started.values()
        return Exchange(
            beat=beat,
            held=sorted(self._held),
            claims=claims,
            want=free if free > 0 and (ask or self.is_hungry or reports) else 0,
            started=[[each.attempt_id, each.token, each.started_at] for each in started],
            reports=[self._reports[ident].to_json() for ident in reports],
            is_draining=is_draining,
        )

    def take_in(self, said: Exchange, answer: ExchangeAnswer) -> Told:
        """The answer to a letter."""
        told = Told()
        for body in answer.workloads:
            workload = Workload.from_json(body)
            is_rung = workload.attempt_id in self._knocks
            if self._receive(workload.attempt_id, workload.token):
                told.fresh.append(workload)
                told.unrung |= not is_rung
        told.taken = self._forget_told(said, set(answer.taken))
        told.stop = [ident for ident in answer.stop if ident in self._running]
        self._blame.taken()
        missed = [ident for ident, _ in said.claims if not self._answer_knock(ident)]
        if missed:
            self.is_hungry = True
        elif said.want:
            self.is_hungry = len(told.fresh) >= said.want
        return told

    def refused(self, said: Exchange, why: str) -> None:
        """A letter was not taken as it is: from now on reports are told one by one, to find the culprit.

        That one is replaced by a report that says why. When that is convicted in its turn, nothing is said of the
        attempt any more, which is lost with the end of this worker.
        """
        told = [str(report["attempt_id"]) for report in said.reports]
        if not self._blame.is_sought and len(told) != 1:
            self._started.clear()  # one of them may be to blame
        culprit = self._blame.refused(told)
        if culprit is None:
            return
        if culprit in self._replaced:
            del self._reports[culprit]
        else:
            self._replaced.add(culprit)
            self._reports[culprit] = self._report(culprit, Outcome.FAILED, f"Its result cannot be stored: {why[:300]}")

    # --- inside ---------------------------------------------------------------------------------------------------

    def _report(self, ident: str, outcome: Outcome, reason: str) -> AttemptReport:
        return AttemptReport(attempt_id=ident, token=self._held[ident], outcome=outcome.value, reason=reason)

    def _receive(self, ident: str, token: str) -> bool:
        if ident in self._held:
            return False
        self._held[ident] = token
        self._running.add(ident)
        self._known[ident] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if each := self._knocks.pop(ident, None):
            for future in each.futures:
                future.set_result(True)
        return True

    def _forget_told(self, said: Exchange, taken: set[str]) -> list[str]:
        for ident in taken.intersection(each[0] for each in said.started):
            self._started.pop(ident, None)
        ended = [str(report["attempt_id"]) for report in said.reports if report["attempt_id"] in taken]
        for ident in ended:
            self._drop(ident)
        return ended

    def _drop(self, ident: str) -> None:
        self._reports.pop(ident, None)
        self._blame.over(ident)
        self._started.pop(ident, None)
        self._held.pop(ident, None)
        self._running.discard(ident)

    def _answer_knock(self, ident: str) -> bool:
        """Whether an attempt that was claimed came; who knocked for one that did not is told that it is gone."""
        each = self._knocks.pop(ident, None)
        if each is None:
            return ident in self._known
        for future in each.futures:
            future.set_result(False)
        return False
