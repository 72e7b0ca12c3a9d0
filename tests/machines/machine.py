"""A strategy and a box office do the same things one after the other, and must agree after each."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chaos.faults import Death
from chaos.persistence import Persistence
from model.buyers import EVENT_ID
from reservation.api import AdmissionKind, CheckoutRequest, HoldRequest
from reservation.catalogue import find
from reservation.errors import HoldExpired, OrderRefused, SoldOut
from tests.machines.box_office import BoxOffice, Habits, State, Ticket
from tests.machines.shop import TTL_S, Shop

SERVER = st.integers(0, 1)
WHICH = st.integers(0, 4)  # the oldest, the second oldest, ... of the holds so far
LONG_S = TTL_S + 1.0
HAPPENS = st.sampled_from(
    (
        (),
        ("hold",),
        ("sweep",),
        ("crash",),
        ("crash", "hold"),
        ("sweep", "hold"),
        ("hold", "sweep", "crash"),
    )
)
WAITS_S = st.sampled_from((LONG_S, 1.0, 60.0))

BOUNDED = settings(
    max_examples=20,
    stateful_step_count=12,
    phases=(Phase.generate, Phase.shrink),
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One strategy with options, on one Redis, and how it rightly behaves."""

    strategy: str
    habits: Habits
    capacity: int = 3
    kind: AdmissionKind = AdmissionKind.GENERAL
    persistence: Persistence = Persistence.AOF_ALWAYS
    options: dict[str, Any] = field(default_factory=dict)
    redis_retries: int = 3
    overbooks: bool = False  # known bad: it may sell more than there is, in a way the habits state

    @property
    def title(self) -> str:
        """Its name in test reports."""
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        parts = [self.strategy, options, self.kind.value]
        parts += [self.persistence] if find(self.strategy).uses_redis else []
        return "-".join(part for part in parts if part)


class ShopMachine(RuleBasedStateMachine):
    """See the module; subclasses set `case`.

    `steps` is what the last example did. Hypothesis runs the smallest failing one last, so after a
    failure it is the story of the defect.
    """

    case: ClassVar[Case]
    steps: ClassVar[list[str]]

    def __init__(self) -> None:
        super().__init__()
        case = self.case
        type(self).steps = []
        self.shop = Shop(
            case.strategy,
            capacity=case.capacity,
            kind=case.kind,
            persistence=case.persistence,
            options=case.options,
            redis_retries=case.redis_retries,
        )
        self.office = BoxOffice(case.capacity, case.habits)
        self.asked = 0

    def teardown(self) -> None:
        """Remove the shop's files."""
        self.shop.close()

    def _did(self, what: str) -> None:
        self.steps.append(what)
        self._pass_time(0.25)

    def _pass_time(self, seconds: float) -> None:
        self.shop.pass_time(seconds)
        while any(abs(t.deadline_s - self.shop.now_s) < 0.01 for t in self.office.tickets):
            self.shop.pass_time(0.05)  # whether a hold lives at its very deadline is not judged
        self.office.pass_time(self.shop.now_s)

    def _ticket(self, which: int) -> Ticket:
        return self.office.tickets[which % len(self.office.tickets)]

    @rule(server=SERVER, quantity=st.integers(1, 2), first=st.integers(0, 2))
    def hold(self, server: int, quantity: int, first: int) -> None:
        """A buyer asks for tickets: granted if and only if they are there."""
        self._did("hold")
        self._hold(server, quantity, first)

    def _hold(self, server: int, quantity: int, first: int) -> None:
        self._hold_as(server, self._request(quantity, first))

    def _request(self, quantity: int, first: int) -> HoldRequest:
        self.asked += 1
        seats = tuple(self.shop.seats[first : first + quantity])
        return HoldRequest(
            hold_id=f"h{self.asked}",
            event_id=EVENT_ID,
            customer_id=f"buyer-{self.asked}",
            quantity=len(seats) or quantity,
            seats=seats,
        )

    def _hold_as(self, server: int, request: HoldRequest) -> None:
        fits = self.office.fits(request.quantity, request.seats)
        try:
            hold = self.shop.strategy(server).hold(request)
        except SoldOut:
            assert not fits, f"{request} was refused, but {self.office.sellable} are sellable"
            return
        assert fits, f"{request} was granted, but only {self.office.sellable} are sellable"
        assert abs(hold.expires_at - self.shop.epoch_s() - TTL_S) < 0.01
        self.office.tickets.append(Ticket(hold, self.shop.now_s + TTL_S))

    @precondition(lambda self: self.office.tickets)
    @rule(server=SERVER, which=WHICH)
    def ask_again(self, server: int, which: int) -> None:
        """A buyer repeats the request: a live hold is the same hold, another one is no promise."""
        ticket = self._ticket(which)
        if ticket.state is State.SOLD:
            return
        self._did("ask_again")
        hold, habits = ticket.hold, self.office.habits
        request = HoldRequest(
            hold_id=hold.hold_id,
            event_id=EVENT_ID,
            customer_id=hold.customer_id,
            quantity=hold.quantity,
            seats=hold.seats,
        )
        revived = ticket.state is State.OVER and habits.again == "revived"
        expected = ticket.state is State.LIVE or revived
        if ticket.state is State.GONE and habits.again != "refused":
            expected = self.office.fits(hold.quantity, hold.seats)
        try:
            again = self.shop.strategy(server).hold(request)
        except (SoldOut, HoldExpired):
            assert not expected, f"{request} was refused"
            return
        assert expected, f"{request} was granted, though it had ended"
        if ticket.state is State.LIVE:
            assert again == hold
        else:
            ticket.hold, ticket.deadline_s = again, self.shop.now_s + TTL_S
            ticket.state = State.LIVE

    @precondition(lambda self: self.office.tickets)
    @rule(server=SERVER, which=WHICH)
    def release(self, server: int, which: int) -> None:
        """A buyer gives a hold back, whatever has become of it."""
        self._did("release")
        ticket = self._ticket(which)
        self.shop.strategy(server).release(ticket.hold)
        self.office.release(ticket)

    @precondition(lambda self: self.office.tickets)
    @rule(server=SERVER, which=WHICH)
    def pay(self, server: int, which: int) -> None:
        """A buyer pays, and the provider answers at once."""
        self._did("pay")
        self._pay(server, self._ticket(which))

    @precondition(lambda self: self.office.tickets)
    @rule(
        server=SERVER,
        which=WHICH,
        seconds=st.sampled_from((1.0, LONG_S)),
        happens=HAPPENS,
    )
    def pay_slowly(self, server: int, which: int, seconds: float, happens: tuple[str, ...]) -> None:
        """A buyer pays for a while, in which other things happen."""
        long = ["too long"] if seconds == LONG_S else []
        slowly = "slowly" if long or happens else ""
        self._did(" ".join(filter(None, ["pay", slowly, *long, *happens])))

        def meanwhile() -> None:
            self._pass_time(seconds)
            for what in happens:
                if what == "crash" and self.shop.cloud.redis is not None:
                    self._crash(Death.SIGKILL)
                elif what == "sweep":
                    self._sweep(server)
                elif what == "hold":
                    self._hold(server, 1, 0)

        self.shop.meanwhile = meanwhile
        self._pay(server, self._ticket(which))
        self.shop.meanwhile = None

    def _pay(self, server: int, ticket: Ticket) -> None:
        request = CheckoutRequest(
            hold=ticket.hold, idempotency_key=ticket.key, amount_cents=5000 * ticket.hold.quantity
        )
        before = ticket.state
        try:
            order = self.shop.strategy(server).checkout(request)
        except HoldExpired:
            assert before in (State.OVER, State.GONE), f"{ticket} was refused"
            assert not ticket.refunded, "a refused payment was refunded: it stays refused"
            return
        except OrderRefused:
            assert ticket.refunded or not self.office.sells(ticket), f"{ticket} was refused"
            ticket.refunded = True
            return
        if before is State.SOLD:
            assert order.order_id == ticket.order_id, f"{ticket} was sold again as {order}"
            return
        assert before is State.LIVE, f"{ticket} was sold"
        assert self.office.sells(ticket), f"{ticket} was sold, which ended during the payment"
        ticket.state, ticket.order_id = State.SOLD, order.order_id

    @rule(server=SERVER)
    def sweep(self, server: int) -> None:
        """The sweeper runs."""
        self._did("sweep")
        self._sweep(server)

    def _sweep(self, server: int) -> None:
        self.shop.strategy(server).sweep()
        self.office.sweep()

    @rule(seconds=WAITS_S)
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self._did("wait")
        self._pass_time(seconds)

    @precondition(lambda self: self.shop.cloud.redis is not None)
    @rule(death=st.sampled_from((Death.SIGKILL, Death.POWER_LOSS)))
    def crash(self, death: Death) -> None:
        """Redis dies and is back at once."""
        self._did("crash")
        self._crash(death)

    def _crash(self, death: Death) -> None:
        self.shop.crash(death)
        self.office.crash()

    @rule(server=SERVER)
    def restart(self, server: int) -> None:
        """An application server is replaced."""
        self._did("restart")
        self.shop.restart(server)

    @invariant()
    def the_stock_is_what_the_box_office_has(self) -> None:
        """Each server sees the same stock, and nothing is lost or made."""
        office = self.office
        for server in range(len(self.shop.cloud.servers)):
            seen = self.shop.view(server)
            assert (seen.sellable, seen.held, seen.sold) == (
                office.sellable,
                office.held,
                office.sold,
            ), f"sellable, held, sold: {seen}; the box office has {office}"

    @invariant()
    def the_books_are_right(self) -> None:
        """Nothing is oversold, every order is paid once, and every seat has one owner."""
        sold = [ticket for ticket in self.office.tickets if ticket.state is State.SOLD]
        assert self.shop.orders() == len(sold) == self.shop.kept_payments()
        assert self.case.overbooks or self.office.sold <= self.case.capacity, "overbooked"
        seats = self.shop.sold_seats()
        assert len(seats) == len(set(seats)), f"sold twice: {seats}"


RULES = ("hold", "ask_again", "release", "pay", "pay_slowly", "sweep", "wait", "crash", "restart")


def machine_of(
    case: Case, rules: tuple[str, ...] = RULES, kind: type[ShopMachine] = ShopMachine
) -> type[ShopMachine]:
    """Make the machine of one case; of the rules that all machines have, it follows `rules`."""
    silent = dict.fromkeys(set(RULES) - set(rules))
    return type("Machine", (kind,), {"case": case, "steps": [], **silent})
