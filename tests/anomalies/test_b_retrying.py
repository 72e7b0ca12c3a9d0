"""Anomalies B28 to B30: a reply is lost, and what the client or the buyer does then.

See `test_a_stock.py` for how these tests work.
"""

import pytest

from tests.anomalies.claims import falsely_sold_out
from tests.anomalies.trial import (
    LOG,
    Runs,
    Trial,
    assert_caught,
    assert_clean,
    evenly,
    hostile,
    lost_reply,
)

SIX_SEATS = {"kind": "seats", "capacity": 6, "row_length": 6}
PAIRS = {"party_sizes": {2: 1.0}}


@pytest.mark.parametrize("resends", [3, 0], ids=["redis-py-resends", "the-buyer-resends"])
def test_b28_a_resent_hold_is_deducted_twice(resends: int) -> None:
    """The script ran, its reply was lost, it is sent again: one hold, two deductions, one leak."""
    trial = Trial(
        scenario=hostile(
            sale={"capacity": 60},
            arrivals=evenly(24, 60.0),
            servers={"redis_retries": resends},
        ),
        faults=(lost_reply("redis", "EVAL", "hold", occurrence=5),),
    )
    bad = trial.run("redis-counter", request_id=False)
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_caught(bad, "no-leak", at_least=4)
    fixed = trial.run("redis-counter")
    assert_clean(fixed, "stock-conserved", saw=[] if resends else ["retry-after-unknown"])


def test_b28_a_resent_release_is_given_back_twice() -> None:
    """The same for a give-back: one unit too many, which somebody else then holds."""
    trial = Trial(
        scenario=hostile(
            arrivals=evenly(24, 60.0),
            buyers={"abandon": 0.6, "release_on_abandon": 1.0},
            servers={"redis_retries": 3},
        ),
        faults=(lost_reply("redis", "EVAL", "release", occurrence=2),),
    )
    bad = trial.run("redis-counter", give_back="unguarded")
    assert_caught(bad, "stock-conserved", at_least=4)
    assert_caught(bad, "no-overhold", at_least=3)
    fixed = trial.run("redis-counter")
    assert_clean(fixed, "stock-conserved", "no-overhold", saw=["hold-released"])


def test_b29_a_resent_hold_finds_itself() -> None:
    """The seat was taken, the reply lost, the resend says "taken": by the very buyer who asks.

    A refusal is an answer and the key's TTL frees the seat, so no invariant of the table breaks;
    the claim is that nobody is refused free tickets.
    """
    trial = Trial(
        scenario=hostile(
            sale=SIX_SEATS,
            arrivals=evenly(6, 30.0),
            buyers=PAIRS,
            servers={"redis_retries": 3},
        ),
        faults=(lost_reply("redis", "EVAL", "hold", occurrence=2),),
    )
    assert _turned_away(trial.run("seat-setnx", recognise_own=False)) >= 4
    fixed = trial.run("seat-setnx")
    assert _turned_away(fixed) == 0
    assert_clean(fixed, "seat-sold-once", "no-overhold", saw=["refused-sold-out", "order-made"])


def test_b30_a_timeout_taken_for_a_failure() -> None:
    """The hold was made, the answer lost, the buyer goes away: the seats are kept for nobody.

    Asking again with the same token is the buyer's part of the fix, knowing it the strategy's.
    """

    def trial(retries: int) -> Trial:
        return Trial(
            scenario=hostile(
                sale=SIX_SEATS,
                arrivals=evenly(12, 60.0),
                buyers={**PAIRS, "unknown_retries": retries},
            ),
            faults=(lost_reply("redis", "EVAL", "hold", occurrence=2),),
        )

    assert _turned_away(trial(0).run("seat-setnx")) >= 4
    fixed = trial(5).run("seat-setnx")
    assert _turned_away(fixed) == 0
    assert_clean(
        fixed, "seat-sold-once", "no-overhold", saw=["refused-sold-out", "retry-after-unknown"]
    )


def _turned_away(runs: Runs) -> int:
    """Count the seeds in which somebody was refused tickets that nobody had."""
    seeds = sum(bool(falsely_sold_out(run.history)) for run in runs)
    LOG.info("%s refuses free tickets in %d of %d seeds", runs.variant, seeds, len(runs.runs))
    return seeds
