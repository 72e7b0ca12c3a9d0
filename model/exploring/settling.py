"""The end of an execution: every hold ends and is swept, undisturbed, and the books are read."""

import contextlib
from collections.abc import Callable
from math import inf

from model.audit import read_audit
from model.exploring.kernel import ChoosingKernel
from model.exploring.shop import Shop
from model.history import Audit
from reservation.errors import NotApplied, UnknownOutcome

JUST_PAST_S = 1.0
SWEEP_BOUND_S = 120.0
SWEEPS = 3


class Settling:
    """Brings one shop to rest."""

    def __init__(
        self,
        shop: Shop,
        kernel: ChoosingKernel,
        pass_time: Callable[[float], None],
        forget_cues: Callable[[], None],
    ) -> None:
        """`pass_time` moves the clock to a moment; `forget_cues` keeps tasks from entering."""
        self._shop = shop
        self._kernel = kernel
        self._pass_time = pass_time
        self._forget_cues = forget_cues

    def audit(self, last_end_s: float) -> Audit:
        """Pass the last hold's end and what the strategy waits after it, sweep, and read."""
        env, office = self._kernel.env, self._shop.back_office
        left_s = env.now
        doubtful_s = float(self._shop.options.get("doubtful_after_s", 0.0))
        grace_s = float(self._shop.options.get("sweeper_grace_s", 0.0))
        self._pass_time(max(left_s + doubtful_s, last_end_s) + grace_s + JUST_PAST_S)
        for _ in range(SWEEPS):
            self._run_tasks()
            with contextlib.suppress(NotApplied, UnknownOutcome):
                office.strategy.sweep()
            self._pass_time(env.now + SWEEP_BOUND_S / SWEEPS)
        self._run_tasks()
        return read_audit(
            office.engine,
            office.strategy,
            self._shop.provider.ledger,
            at_s=env.now,
            quiet_s=env.now - left_s,
        )

    def _run_tasks(self) -> None:
        """The queue's worker, after everybody has left."""
        self._forget_cues()
        for _, name, argument in self._shop.tasks.due(inf):
            with contextlib.suppress(NotApplied, UnknownOutcome):
                self._shop.back_office.strategy.run_task(name, argument)
