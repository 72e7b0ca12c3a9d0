"""One run: equal specs give equal histories, in any process; different seeds do not."""

import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from chaos.persistence import Persistence
from model.arrivals import arrival_times
from model.history import Outcome
from model.run import WrongAdmission, simulate
from model.scenario_file import load_scenario
from model.spec import RunSpec
from properties.sometimes import idle_faults
from reservation.catalogue import STRATEGIES

SMALL = {"arrivals.buyers": "40", "sale.capacity": "12"}


def spec(strategy: str = "redis-hold", *, seed: int = 1, fault: str = "redis-kill") -> RunSpec:
    """A run of the small scenario."""
    uses_redis = STRATEGIES[strategy].uses_redis
    return RunSpec(
        scenario=load_scenario("small", SMALL),
        strategy=strategy,
        seed=seed,
        fault=fault,
        persistence=Persistence.AOF_EVERYSEC if uses_redis else None,
    )


def trace_hash(wanted: RunSpec) -> str:
    """The run's hash (at module level, so that another process can be asked for it)."""
    return simulate(wanted).trace_hash


@pytest.mark.parametrize(
    ("strategy", "persistence", "idle"),
    [
        ("redis-hold", Persistence.NONE, ["slow fsync"]),
        ("redis-hold", Persistence.AOF_EVERYSEC, []),
        ("db-cart", None, []),  # nothing of Redis can break it: that is what is told
    ],
)
def test_a_history_tells_which_faults_were_planned(
    strategy: str, persistence: Persistence | None, idle: list[str]
) -> None:
    """So that a plan of which one fault had nothing to break is not called tested."""
    planned = spec(strategy, fault="redis-kill+slow-fsync")
    history = simulate(replace(planned, persistence=persistence)).history
    assert history.meta["planned_faults"] == ["redis sigkill", "slow fsync"]
    assert idle_faults(history) == idle


@pytest.mark.parametrize("fault", ["none", "redis-kill", "lost-replies", "app-kill", "app-pause"])
@pytest.mark.parametrize("strategy", ["db-cart", "redis-hold-recheck", "redis-counter"])
def test_the_same_spec_gives_the_same_run(strategy: str, fault: str) -> None:
    """Twice in one process: the same hash and, to the last field, the same operations."""
    first = simulate(spec(strategy, fault=fault))
    second = simulate(spec(strategy, fault=fault))
    assert first.trace_hash == second.trace_hash
    assert first.history.operations == second.history.operations
    assert first.history.audit == second.history.audit
    assert first.metrics == second.metrics


def test_recording_crossings_changes_nothing() -> None:
    """A replay with every crossing kept has the hash of the run without."""
    plain = simulate(spec())
    kept = simulate(spec(), record_crossings=True)
    assert kept.trace_hash == plain.trace_hash
    assert len(kept.crossings) == kept.metrics["crossings"]
    assert not plain.crossings


def test_another_process_and_hash_seed_give_the_same_hash() -> None:
    """Nothing depends on the order of a set or on Python's hash of a string."""
    program = (
        "from tests.model.test_run import spec, trace_hash; import json;"
        "print(json.dumps([trace_hash(spec(s, fault=f)) for s in"
        " ('db-cart', 'redis-hold')"
        " for f in ('redis-kill', 'lost-replies')]))"
    )
    found = set()
    for hash_seed in ("0", "1", "4242"):
        answer = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(answer.stdout)
    here = [
        trace_hash(spec(s, fault=f))
        for s in ("db-cart", "redis-hold")
        for f in ("redis-kill", "lost-replies")
    ]
    assert {json.dumps(here) + "\n"} == found


def test_serial_and_parallel_give_the_same_hashes() -> None:
    """Eight seeds in two processes, and the same eight here."""
    specs = [spec(seed=seed) for seed in range(8)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parallel = list(pool.map(trace_hash, specs))
    assert parallel == [trace_hash(each) for each in specs]
    assert len(set(parallel)) == 8


def test_leaving_buyers_out_moves_nobody_else() -> None:
    """Common random numbers: who stays arrives, wants and thinks as before."""
    whole = spec("db-cart", fault="none")
    few = RunSpec(
        scenario=whole.scenario, strategy="db-cart", seed=1, only_buyers=frozenset({3, 7, 11})
    )
    alone = [o for o in simulate(few).history.operations if o.kind == "hold"]
    among = {o.hold_id: o for o in simulate(whole).history.operations if o.kind == "hold"}
    assert {o.actor for o in alone} == {"buyer-3", "buyer-7", "buyer-11"}
    for operation in alone:
        if operation.hold_id.endswith("-1"):
            assert among[operation.hold_id].invoked_s == operation.invoked_s
            assert among[operation.hold_id].quantity == operation.quantity


def test_a_fault_changes_only_what_comes_after_it() -> None:
    """Until Redis dies, the run with the fault and the run without are the same."""
    quiet = simulate(spec(fault="none")).history
    killed = simulate(spec(fault="redis-kill")).history
    strikes_s = min(span.started_s for span in killed.faults)
    before = [o for o in quiet.operations if o.completed_s and o.completed_s < strikes_s]
    assert before
    assert before == [o for o in killed.operations if o.completed_s and o.completed_s < strikes_s]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_sells_and_comes_to_rest(strategy: str) -> None:
    """Without a fault buyers get holds and orders, and nothing is held or in doubt at the end."""
    kind = "small" if "general" in STRATEGIES[strategy].admits else "seats"
    scenario = load_scenario(kind, {"arrivals.buyers": "40"})
    persistence = Persistence.NONE if STRATEGIES[strategy].uses_redis else None
    history = simulate(
        RunSpec(scenario=scenario, strategy=strategy, seed=5, persistence=persistence)
    ).history
    assert history.audit is not None
    assert history.audit.orders
    assert all(row.held == 0 for row in history.audit.stock)
    kinds = {(o.kind, o.outcome) for o in history.operations}
    assert ("hold", Outcome.OK) in kinds
    assert ("checkout", Outcome.OK) in kinds
    assert all(o.completed_s is not None for o in history.operations)
    assert not [o for o in history.operations if o.outcome is Outcome.UNKNOWN]


def test_arrivals_are_who_comes() -> None:
    """Every buyer asks once at least, none before arriving."""
    wanted = spec("db-cart", fault="none")
    times = arrival_times(wanted.scenario, wanted.seed)
    first: dict[str, float] = {}
    for operation in simulate(wanted).history.operations:
        if operation.kind == "hold":
            first.setdefault(operation.actor, operation.invoked_s)
    assert len(first) == len(times) == 40
    assert all(first[f"buyer-{i}"] >= at_s for i, at_s in enumerate(times))


def test_a_strategy_that_cannot_sell_the_scenario_is_refused() -> None:
    """Seats by quantity is a mistake of the spec, and the message says what would work."""
    with pytest.raises(WrongAdmission, match="seat-setnx does not sell kind = 'general'"):
        simulate(spec("seat-setnx"))


def test_no_files_are_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's folder is gone after the run, also when the run fails."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    simulate(spec())
    monkeypatch.setattr("model.buyers.Crowd._pay", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        simulate(spec())
    assert not list(tmp_path.iterdir())
