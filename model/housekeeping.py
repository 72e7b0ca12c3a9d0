"""What runs beside the buyers: each server's sweeper (a cron job), and delayed tasks."""

from collections.abc import Generator
from typing import Any

import simpy

from model.buyers import Counter
from model.deployment import FaultsInForce, Host
from model.history import Operation, Outcome
from model.link import Pace

TASK_RETRY_S = 5.0
TASK_RETRIES = 100


class Housekeeping:
    """Sweepers and the worker of the task queue, as the shop's own cron and workers would run."""

    def __init__(self, counter: Counter, injector: FaultsInForce) -> None:
        self.counter = counter
        self.cloud = counter.cloud
        self.env = counter.env
        self.injector = injector
        self._tasks = 0
        self.cloud.tasks.on_due = self._due

    def start(self) -> None:
        """One sweeper on every server, all on the same minute as cron has it."""
        for server in self.cloud.servers:
            self.env.process(self._sweeper(server))

    def _sweeper(self, server: Host) -> Generator[simpy.Event, Any, None]:
        period_s = self.cloud.spec.scenario.sweeper.period_s
        actor = f"sweeper-{server.name}"
        travel = Pace(self.cloud.spec.seed, "travel", actor)
        jitter = self.cloud.draw("cron", actor)
        pass_number = 0
        while True:
            pass_number += 1
            due_s = pass_number * period_s + jitter.random() * 0.05
            if due_s <= self.env.now:
                continue  # the last pass took longer than a period
            yield self.env.timeout(due_s - self.env.now)
            if self.injector.sweepers_stopped or not server.alive:
                continue
            operation = Operation(op_id=0, actor=actor, kind="sweep", invoked_s=self.env.now)
            report = yield from self.counter.perform(
                operation, "sweeper", travel, server, lambda strategy: strategy.sweep()
            )
            if report is not None:
                operation.returned = report.returned_tickets

    def _due(self, name: str, argument: str) -> None:
        self._tasks += 1
        self.env.process(self._task(self._tasks, name, argument))

    def _task(self, number: int, name: str, argument: str) -> Generator[simpy.Event, Any, None]:
        """At least once: a task whose worker failed is tried again."""
        actor = f"task-{number}"
        travel = Pace(self.cloud.spec.seed, "travel", actor)
        for attempt in range(TASK_RETRIES):
            while self.injector.sweepers_stopped:
                yield self.env.timeout(TASK_RETRY_S)
            operation = Operation(
                op_id=0, actor=actor, kind="task", invoked_s=self.env.now, hold_id=argument
            )
            server = self.cloud.server_for(number + attempt)
            yield from self.counter.perform(
                operation,
                "sweeper",
                travel,
                server,
                lambda strategy: strategy.run_task(name, argument),
            )
            if operation.outcome in {Outcome.OK, Outcome.REFUSED}:
                return
            yield self.env.timeout(TASK_RETRY_S)
