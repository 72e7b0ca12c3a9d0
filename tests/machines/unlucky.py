"""The machine's unlucky sister: replies get lost, and Redis forgets by the rules of its disk.

A call whose outcome stayed in doubt is made again with the same key, and both together must come
to what one undisturbed call comes to; or the buyer gives up, and then the stock must show that it
happened wholly or not at all. A call that surely had no effect must have had none.
"""

from collections.abc import Callable
from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from chaos.faults import Death
from chaos.persistence import Persistence
from reservation.api import Availability, Hold, HoldRequest
from reservation.errors import NotApplied, UnknownOutcome
from tests.machines.box_office import State, Ticket
from tests.machines.machine import SERVER, WHICH, ShopMachine
from tests.machines.shop import TTL_S

EARLY = st.integers(0, 5)  # which reply of a hold or a release is lost: most have fewer
NTH = st.integers(0, 12)  # of a payment or a sweep
ALL_SYNCED_S = 3.0  # past the fsync of every second, and its delay


class UnluckyMachine(ShopMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.saved = False  # RDB: a snapshot exists, and would come back as old as it is

    @rule(
        server=SERVER,
        quantity=st.integers(1, 2),
        first=st.integers(0, 2),
        nth=EARLY,
        insists=st.booleans(),
    )
    def hold_unheard(
        self, server: int, quantity: int, first: int, nth: int, *, insists: bool
    ) -> None:
        """A reply is lost while a buyer asks for tickets; they ask again, or give up."""
        self._did("hold unheard" if insists else "hold unheard, give up")
        request = self._request(quantity, first)
        before = self.shop.view(server)
        if not self._in_doubt(server, nth, lambda: self._hold_as(server, request), before):
            return
        if insists:
            self._hold_as(server, request)
        else:
            self._see_what_became_of(server, request, before)

    def _see_what_became_of(self, server: int, request: HoldRequest, before: Availability) -> None:
        """Nobody knows whether the hold was made but the shop: wholly, or not at all."""
        held = self.shop.view(server).held - before.held
        assert held in (0, request.quantity), f"{held} of {request.quantity} tickets are held"
        if not held:
            return
        assert self.office.fits(request.quantity, request.seats), f"{request} was granted"
        deadline_s = self.shop.now_s + TTL_S
        hold = Hold(
            hold_id=request.hold_id,
            event_id=request.event_id,
            customer_id=request.customer_id,
            quantity=request.quantity,
            seats=request.seats,
            expires_at=self.shop.epoch_s() + TTL_S,
        )
        self.office.tickets.append(Ticket(hold, deadline_s))

    @precondition(lambda self: self.office.tickets)
    @rule(server=SERVER, which=WHICH, nth=EARLY)
    def release_unheard(self, server: int, which: int, nth: int) -> None:
        """A reply is lost while a buyer gives a hold back; they do so again."""
        self._did("release unheard")
        ticket = self._ticket(which)

        def release() -> None:
            self.shop.strategy(server).release(ticket.hold)

        if self._in_doubt(server, nth, release, self.shop.view(server)):
            release()
        self.office.release(ticket)

    @precondition(lambda self: self.office.tickets)
    @rule(server=SERVER, which=WHICH, nth=NTH)
    def pay_unheard(self, server: int, which: int, nth: int) -> None:
        """A reply is lost while a buyer pays; they pay again with the same key, for they may.

        Also when they were told yes: the hold of a sold ticket may have been left to its own end.
        """
        self._did("pay unheard")
        ticket, lost = self._ticket(which), self.shop.replies.lost
        with self.shop.replies.losing(nth), suppress(NotApplied, UnknownOutcome):
            self._pay(server, ticket)
        if self.shop.replies.lost > lost:
            self._pay(server, ticket)

    @rule(server=SERVER, nth=NTH)
    def sweep_unheard(self, server: int, nth: int) -> None:
        """A reply is lost while the sweeper runs; it runs again."""
        self._did("sweep unheard")
        with self.shop.replies.losing(nth), suppress(NotApplied, UnknownOutcome):
            self._sweep(server)
        self._sweep(server)

    def _in_doubt(
        self, server: int, nth: int, call: Callable[[], None], before: Availability
    ) -> bool:
        """Make a call that loses a reply; says whether its outcome stayed open."""
        with self.shop.replies.losing(nth):
            try:
                call()
            except UnknownOutcome:
                return True
            except NotApplied as error:
                why = error
            else:
                return False
        after = self.shop.view(server)
        assert after == before, f"surely without effect ({why}), yet {before} is {after}"
        return True

    # -- what Redis's disk keeps

    @precondition(lambda self: self.case.persistence is Persistence.RDB and self._has_redis)
    @rule()
    def stop_properly(self) -> None:
        """SIGTERM under RDB saves on the way out: nothing is lost."""
        self._did("stop properly")
        self.saved = True
        self.shop.crash(Death.SIGTERM)

    @precondition(lambda self: self.case.persistence is Persistence.RDB and self._has_redis)
    @rule(
        server=SERVER,
        quantity=st.integers(1, 2),
        first=st.integers(0, 2),
        death=st.sampled_from((Death.SIGKILL, Death.POWER_LOSS)),
        holds=st.booleans(),
    )
    def save_and_die(
        self, server: int, quantity: int, first: int, death: Death, *, holds: bool
    ) -> None:
        """A kill soon after SIGTERM's save: that comes back, and a hold made since does not."""
        self._did("save, hold and die" if holds else "save and die")
        self.saved = True
        self.shop.crash(Death.SIGTERM)
        known = len(self.office.tickets)
        if holds:
            self._hold_as(server, self._request(quantity, first))
        self.shop.crash(death)
        for ticket in self.office.tickets[known:]:
            ticket.state = State.GONE

    @precondition(lambda self: self._has_redis and not self.saved)
    @rule(death=st.sampled_from((Death.SIGKILL, Death.POWER_LOSS)))
    def die(self, death: Death) -> None:
        """Redis dies when all it has was synced: only what its persistence never keeps is lost."""
        self._did(f"die of {death.value}")
        self._pass_time(ALL_SYNCED_S)
        self._crash(death)

    @precondition(lambda self: self.case.persistence is Persistence.AOF_EVERYSEC)
    @precondition(lambda self: self._has_redis)
    @rule(server=SERVER, quantity=st.integers(1, 2), first=st.integers(0, 2))
    def hold_and_lose_power(self, server: int, quantity: int, first: int) -> None:
        """The power fails just after a hold was acknowledged: under everysec it may be gone."""
        self._did("hold and lose power")
        self._pass_time(ALL_SYNCED_S)
        held = len(self.office.tickets)
        self._hold_as(server, self._request(quantity, first))
        self.shop.crash(Death.POWER_LOSS)
        if len(self.office.tickets) > held and self.shop.view(server).held < self.office.held:
            self.office.tickets[-1].state = State.GONE

    @property
    def _has_redis(self) -> bool:
        return self.shop.cloud.redis is not None


UNLUCKY_RULES = ("hold", "ask_again", "release", "pay", "sweep", "wait", "restart")
"""The rules of every machine that this one follows too; deaths of Redis are its own."""
