"""A live run watches its stack: a server that died by itself ends it, a fault's victim does not."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos.stacks.contract import StackBroken
from model.live.loop import LATE_S
from model.live.run import LATE_SCENARIO_S, LiveSale, lagged


class Stack:
    """Answers `check` with what the test says, after what happens meanwhile."""

    def __init__(self, meanwhile: Callable[[], None], *, broken: bool) -> None:
        self.meanwhile = meanwhile
        self.broken = broken
        self.checks = 0

    def check(self) -> None:
        """Look at the servers."""
        self.checks += 1
        self.meanwhile()
        if self.broken:
            raise StackBroken("redis: does not answer")


def sale_on(stack: Stack, injector: SimpleNamespace) -> LiveSale:
    """As much of a sale as watches."""
    sale = LiveSale.__new__(LiveSale)
    injector.stack = stack
    sale.injector = cast("Any", injector)
    sale.env = cast("Any", SimpleNamespace(now=0.0))

    def run(until: object) -> None:
        """Let time pass: what struck is healed."""
        if isinstance(until, float):
            injector.unhealed = []

    loop = SimpleNamespace(run=run, in_thread=lambda call: call(), scale=SimpleNamespace(factor=1))
    sale.loop = cast("Any", loop)
    return sale


def test_a_server_that_died_by_itself_is_heard_of() -> None:
    """Nothing was to be broken, and it does not answer."""
    sale = sale_on(Stack(lambda: None, broken=True), SimpleNamespace(unhealed=[]))
    with pytest.raises(StackBroken, match="redis: does not answer"):
        sale._check_if_whole()


def test_a_fault_that_strikes_during_the_look_is_no_death_by_itself() -> None:
    """The look began while all was whole, and saw the victim of a fault."""
    injector = SimpleNamespace(unhealed=[])
    stack = Stack(lambda: injector.unhealed.append("redis sigkill"), broken=True)
    sale_on(stack, injector)._check_if_whole()
    assert stack.checks == 1


def test_the_last_look_is_after_the_last_fault() -> None:
    """One that strikes while the stack is looked at makes another look needed before judging."""
    injector = SimpleNamespace(unhealed=["redis sigkill"])
    more = [["db kill"], []]
    stack = Stack(lambda: setattr(injector, "unhealed", more.pop(0)), broken=False)
    sale_on(stack, injector)._wait_until_healed()
    assert stack.checks == 2
    assert not injector.unhealed


@pytest.mark.parametrize(
    ("late_s", "factor", "says"),
    [
        (1.1 * LATE_S, 1.0, True),
        (0.9 * LATE_S, 1.0, False),
        (1.1 * LATE_SCENARIO_S / 300.0, 300.0, True),
        (0.9 * LATE_SCENARIO_S / 300.0, 300.0, False),
    ],
)
def test_late_is_late_in_wall_time_or_in_the_scenarios(
    late_s: float, factor: float, *, says: bool
) -> None:
    """At a large factor few wall milliseconds are many of a buyer's seconds."""
    assert lagged({"lateness_ms_p99": 1000.0 * late_s, "time_factor": factor}) is says
