"""A run and the server's processes that serve it keep to one processor, and others to others."""

import os
from pathlib import Path

import pytest

from model.postgres.processor import Processor
from tests.model.postgres.world import PostgresWorld

MANY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
pytestmark = pytest.mark.skipif(MANY < 2, reason="one processor, or no choice between them")


def test_a_run_keeps_to_one_processor_until_it_is_over() -> None:
    """Its own process and each session's backend; afterwards the process has all of them again."""
    before = os.sched_getaffinity(0)
    world = PostgresWorld()
    with world.engine.connect() as connection:
        during = os.sched_getaffinity(0)
        pid = connection.connection.driver_connection.pid  # type: ignore[union-attr]
        assert len(during) == 1
        assert os.sched_getaffinity(pid) == during
    world.postgres.close()
    assert os.sched_getaffinity(0) == before


def test_no_two_processes_of_a_command_share_one(tmp_path: Path) -> None:
    """Each has another one; who finds none free works wherever the system likes."""
    before = os.sched_getaffinity(0)
    all_of_them = [Processor(tmp_path) for _ in range(MANY + 1)]
    try:
        for each in all_of_them:
            each.take([])
            os.sched_setaffinity(0, before)  # as another process would have it
        numbers = [each.number for each in all_of_them]
        assert set(numbers[:-1]) == before
        assert numbers[-1] is None
        all_of_them[0].leave()
        all_of_them[-1].take([])
        assert all_of_them[-1].number == numbers[0]
    finally:
        for each in all_of_them:
            each.leave()
        os.sched_setaffinity(0, before)
