"""What the actors of an explored world do, as plain code; the kernel stops it at each crossing."""

from collections.abc import Callable
from typing import Any, Protocol

from model.buyers import EVENT_ID, seat_names
from model.exploring.kernel import BEGIN, Actor, ChoosingKernel, Stop
from model.exploring.small_world import SmallWorld
from model.history import History, Operation, Outcome
from model.kernel import EPOCH_S, ServerDied
from model.outcomes import ENDINGS, write_down
from reservation.api import CheckoutRequest, Hold, HoldRequest

PRICE_CENTS = 5000


class Stage(Protocol):
    """As much of a world as its actors need."""

    small: SmallWorld
    kernel: ChoosingKernel
    history: History

    def renew_server(self, actor: Actor) -> None:
        """Give the actor a fresh server: the last one died."""

    def cue(self, name: str, kind: str, program: Callable[[Actor], None]) -> None:
        """Let another actor enter after this turn."""

    def captured_s(self, key: str) -> float | None:
        """When the provider took this key's money."""

    def began(self, operation: Operation, by: str) -> None:
        """An operation was begun, by an actor; a hold may live from now on."""

    def answered(self, operation: Operation) -> None:
        """An operation has ended, however."""


def buyer(stage: Stage, number: int, visit: str) -> Callable[[Actor], None]:
    """Come, hold, and do what the visit says, calls joined by `+` at the same time."""
    small = stage.small

    def program(actor: Actor) -> None:
        request = _request(small, actor.actor, number)
        hold = _hold(stage, actor, request)
        if hold is None:
            return
        first, *others = visit.split("+")
        for index, call in enumerate(others, start=2):
            stage.cue(f"{actor.actor}{index}", "buyer", _after_hold(stage, call, hold, request))
        _after_hold(stage, first, hold, request)(actor)

    return program


def sweeper(stage: Stage) -> Callable[[Actor], None]:
    """One pass of the sweeper."""

    def program(actor: Actor) -> None:
        operation = Operation(op_id=0, actor=actor.actor, kind="sweep", invoked_s=0.0)
        report = perform(stage, actor, operation, lambda strategy: strategy.sweep())
        if report is not None:
            operation.returned = report.returned_tickets

    return program


def task(stage: Stage, name: str, argument: str) -> Callable[[Actor], None]:
    """One run of a delayed task, and another if it failed."""

    def program(actor: Actor) -> None:
        for _ in range(stage.small.attempts):
            operation = Operation(
                op_id=0, actor=actor.actor, kind="task", invoked_s=0.0, hold_id=argument
            )
            perform(stage, actor, operation, lambda strategy: strategy.run_task(name, argument))
            if operation.outcome in {Outcome.OK, Outcome.REFUSED}:
                return

    return program


def perform(
    stage: Stage, actor: Actor, operation: Operation, call: Callable[[Any], Any]
) -> Any | None:
    """Make one call and write down how it ended; returns the answer, or None.

    A `Refused` is an answer. An error that is none of `reservation.errors` ends the actor.
    """
    kernel, history = stage.kernel, stage.history
    actor.operation = operation.kind
    actor.calls += 1
    kernel.wait_for_the_chooser(Stop(BEGIN, operation.kind))
    kernel.read_clock = True
    operation.invoked_s = kernel.stamp_s
    operation.op_id = len(history.operations) + 1
    history.operations.append(operation)
    stage.began(operation, actor.actor)
    answer = None
    try:
        answer = call(actor.server.strategy)
        operation.outcome = Outcome.OK
    except ENDINGS as error:
        if isinstance(error, ServerDied):
            if actor.leaving:
                raise
            actor.dying = False
            stage.renew_server(actor)
        write_down(operation, error)
    kernel.read_clock = True
    operation.completed_s = kernel.stamp_s + 0.5e-6
    actor.io.update(f"{operation.kind} {operation.outcome} {operation.reason}".encode())
    if operation.outcome is Outcome.OK:
        _fill(operation, answer)
    stage.answered(operation)
    return answer


def _fill(operation: Operation, answer: Any) -> None:
    if operation.kind == "hold":
        operation.expires_s = answer.expires_at - EPOCH_S
    elif operation.kind == "checkout":
        operation.order_id = answer.order_id


def _insist(
    stage: Stage,
    actor: Actor,
    new_operation: Callable[[], Operation],
    call: Callable[[Any], Any],
) -> Any | None:
    """Call, and again with the same key while the outcome is in doubt."""
    answer = None
    for _ in range(stage.small.attempts):
        operation = new_operation()
        answer = perform(stage, actor, operation, call)
        if operation.key:
            operation.captured_s = stage.captured_s(operation.key)
        if operation.outcome in {Outcome.OK, Outcome.REFUSED}:
            break
    return answer


def _request(small: SmallWorld, name: str, number: int) -> HoldRequest:
    seats: tuple[str, ...] = ()
    if small.seats:
        start = number % (small.capacity - small.quantity + 1)
        seats = tuple(seat_names(small.capacity, 20)[start : start + small.quantity])
    return HoldRequest(
        hold_id=f"hold-{name}",
        event_id=EVENT_ID,
        customer_id=name,
        quantity=small.quantity,
        seats=seats,
    )


def _hold(stage: Stage, actor: Actor, request: HoldRequest) -> Hold | None:
    def operation() -> Operation:
        return Operation(
            op_id=0,
            actor=request.customer_id,
            kind="hold",
            invoked_s=0.0,
            hold_id=request.hold_id,
            quantity=request.quantity,
            seats=request.seats,
        )

    found: Hold | None = _insist(stage, actor, operation, lambda s: s.hold(request))
    return found


def _after_hold(
    stage: Stage, call: str, hold: Hold, request: HoldRequest
) -> Callable[[Actor], None]:
    def program(actor: Actor) -> None:
        held = hold
        for step in call.split(">"):
            if step == "pay":
                _pay(stage, actor, held)
            elif step == "again":
                held = _hold(stage, actor, request) or held
            elif step == "release":
                _release(stage, actor, held)

    return program


def _release(stage: Stage, actor: Actor, hold: Hold) -> None:
    _insist(stage, actor, lambda: _operation(hold, "release"), lambda s: s.release(hold))


def _pay(stage: Stage, actor: Actor, hold: Hold) -> None:
    request = CheckoutRequest(
        hold=hold,
        idempotency_key=f"pay-{hold.customer_id}",
        amount_cents=PRICE_CENTS * hold.quantity,
    )

    def operation() -> Operation:
        made = _operation(hold, "checkout")
        made.key = request.idempotency_key
        made.expires_s = hold.expires_at - EPOCH_S
        return made

    _insist(stage, actor, operation, lambda s: s.checkout(request))


def _operation(hold: Hold, kind: str) -> Operation:
    return Operation(
        op_id=0,
        actor=hold.customer_id,
        kind=kind,
        invoked_s=0.0,
        hold_id=hold.hold_id,
        quantity=hold.quantity,
        seats=hold.seats,
    )
