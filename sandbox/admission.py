"""Whether a call may act: key, credit, spell, limit, and last the fault that will befall it."""

import threading
import time
from dataclasses import dataclass
from typing import NamedTuple

from sandbox import answers
from sandbox.answers import Refusal
from sandbox.faults import TAKING_LANES, Faults, of_call
from sandbox.journal import Journal
from sandbox.limits import UNDERSTAND_LANES, Gate
from sandbox.options import Options

_OVER = "Request has exceeded the limit."


@dataclass(slots=True)
class Purse:
    """Credit of the account: how many calls may still take something in; None for any number."""

    left: int | None


class Ticket(NamedTuple):
    """What an admitted call has in its hand."""

    lane: str
    key: str
    at: float
    fault: str | None  # that befalls it
    paid_from: Purse | None  # None: it cost nothing


class Admission:
    """`admit` each call; `refund` those that took nothing in after all."""

    def __init__(self, options: Options, journal: Journal, faults: Faults) -> None:
        self._options = options
        self._journal = journal
        self._faults = faults
        self._gate = Gate(options.limits)
        # Calls are admitted one by one: nobody is judged between a call and the spell it begins.
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """As freshly started: the key works, the credit is that of the command line."""
        with self._lock:
            self._gate.forget()
            self._spells: dict[tuple[str, str], float] = {}  # (lane, key) -> its end, monotonic
            self._purse = Purse(self._options.credit)
            self._refused = False

    def top_up(self, calls: int | None) -> None:
        with self._lock:
            self._purse = Purse(calls)  # a new one: what is still on its way was paid from the old

    def refuse_keys(self, refused: bool) -> None:
        with self._lock:
            self._refused = refused

    def admit(self, lane: str, key: str, at: float) -> Ticket:
        """The ticket of the call that arrived `at`; Refusal when it may not act."""
        with self._lock:
            self._check_key(lane, key)
            self._check_credit(lane)
            fault = self._check_limit(lane, key, at)
            if self._purse.left is None or lane not in TAKING_LANES:
                return Ticket(lane, key, at, fault, None)
            self._purse.left -= 1
            return Ticket(lane, key, at, fault, self._purse)

    def join(self, ticket: Ticket, lane: str) -> None:
        """The admitted call counts against `lane` too; Refusal when that is full: then it occupies neither."""
        with self._lock:
            gap = self._gate.judge(lane, ticket.key, ticket.at)
            self._journal.call(lane, ticket.key, ticket.at, gap)
            if gap is None:
                return
            self._gate.withdraw(ticket.lane, ticket.key, ticket.at)
            self._journal.turned_away(ticket.lane, ticket.key, ticket.at)
            raise Refusal(_OVER, answers.LIMIT)

    def refund(self, ticket: Ticket) -> None:
        """Only what is accepted costs credit (it is taken at the door, or two calls would share the last one)."""
        with self._lock:
            if ticket.paid_from is not None and ticket.paid_from.left is not None:
                ticket.paid_from.left += 1

    def _check_key(self, lane: str, key: str) -> None:
        """The code for a key of the other host is not known; 9009 names the matter (contract A.2, A.4)."""
        library, understand = self._hosts_of(key)
        here, there = (understand, library) if lane in UNDERSTAND_LANES else (library, understand)
        if here and not self._refused:
            return
        if there and not self._refused:
            self._journal.wrong_host_key()
            raise Refusal("permission denied", answers.PERMISSION)
        self._journal.bad_key()
        raise Refusal("key not valid", answers.KEY)

    def _hosts_of(self, key: str) -> tuple[bool, bool]:
        """Whether `key` opens the library and whether it opens the understand calls."""
        keys, captions = self._options.keys, self._options.caption_keys
        library = bool(key) and (key in keys if keys else key not in captions)
        return library, (key in captions if captions else library)

    def _check_credit(self, lane: str) -> None:
        """Questions cost nothing (contract A.4 names the code, E.4 68 the switch)."""
        if lane in TAKING_LANES and self._purse.left == 0:
            self._journal.out_of_credit()
            raise Refusal("credit used up", answers.CREDIT)

    def _check_limit(self, lane: str, key: str, at: float) -> str | None:
        if at < self._spells.get((lane, key), 0.0):
            self._journal.spelled(lane, key, at)
            raise Refusal(_OVER, answers.LIMIT)
        gap = self._gate.judge(lane, key, at)
        fault = self._faults.draw(of_call(lane)) if gap is None else None
        if fault == "spell":
            self._begin_spell(lane, key)
            self._gate.withdraw(lane, key, at)
            self._journal.spelled(lane, key, at)
            raise Refusal(_OVER, answers.LIMIT)
        self._journal.call(lane, key, at, gap)
        if gap is not None:
            raise Refusal(_OVER, answers.LIMIT)
        return fault

    def _begin_spell(self, lane: str, key: str) -> None:
        self._faults.count("spell")
        self._spells[lane, key] = time.monotonic() + self._faults.seconds("spell", *self._options.spell)
