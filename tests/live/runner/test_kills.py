"""Holds that were acknowledged and are gone after a kill: the design's table, measured.

Holds are written by the strategies' own ledger (one Lua script each) without a pause; Redis is
killed amid them. Log lines give the share of kills that lost any, with its exact
95 % interval (`--log-cli-level=INFO` shows them).
"""

import logging
import threading
import time

import pytest

from chaos.faults import Death, RedisDeath
from chaos.persistence import Persistence
from chaos.stacks.embedded import EmbeddedStack
from properties.statistics import interval_95
from reservation.api import Hold, HoldRequest
from reservation.errors import UnknownOutcome
from reservation.hold_ledger import HoldLedger
from tests.live.asking import FAILURES, redis_client

KILLS = 30
WRITE_S = 0.4
PLENTY = 10_000_000
KILL = RedisDeath(death=Death.SIGKILL, down_s=1.0)
LOG = logging.getLogger(__name__)


def acknowledged_until_killed(stack: EmbeddedStack, mode: Persistence) -> tuple[int, int]:
    """Write holds, kill Redis amid them and start it: how many were acknowledged, how many lost."""
    url = stack.renew(mode).direct_redis_url
    granted: list[Hold] = []

    def write() -> None:
        client = redis_client(url)
        ledger = HoldLedger(client, ttl_s=900.0)
        try:
            while True:
                number = len(granted)
                request = HoldRequest(
                    hold_id=f"h{number}", event_id=1, customer_id="ann", quantity=1
                )
                deadline_ms = ledger.place(request, PLENTY)
                granted.append(
                    Hold(
                        hold_id=request.hold_id,
                        event_id=1,
                        customer_id="ann",
                        quantity=1,
                        seats=(),
                        expires_at=deadline_ms / 1000,
                    )
                )
        except (UnknownOutcome, *FAILURES):
            client.close()

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(WRITE_S)
    breakage = stack.strike(KILL)
    writer.join()
    breakage.heal()
    client = redis_client(url)
    ledger = HoldLedger(client, ttl_s=900.0)
    lost = sum(not ledger.is_live(hold) for hold in granted)
    client.close()
    return len(granted), lost


def table(stack: EmbeddedStack, mode: Persistence, kills: int) -> tuple[int, int]:
    """Kill so often; log the share of holds lost; return acknowledged and lost."""
    found = [acknowledged_until_killed(stack, mode) for _ in range(kills)]
    written, lost = sum(a for a, _ in found), sum(b for _, b in found)
    struck = sum(b > 0 for _, b in found)
    low, high = interval_95(struck, kills)  # the holds of one kill share its fate
    LOG.info(
        "%s: %d of %d acknowledged holds lost; %d of %d kills lost any (95 %%: %.3f to %.3f)",
        mode,
        lost,
        written,
        struck,
        kills,
        low,
        high,
    )
    assert written > kills * 20, "too few holds were written to say anything"
    return written, lost


@pytest.mark.extended
@pytest.mark.parametrize("mode", list(Persistence))
def test_what_a_kill_forgets(embedded: EmbeddedStack, mode: Persistence) -> None:
    """Everything without an append-only file (no snapshot was due), nothing with one."""
    written, lost = table(embedded, mode, KILLS)
    assert lost == (written if mode in {Persistence.NONE, Persistence.RDB} else 0)
