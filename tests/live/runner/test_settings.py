"""What a scenario asks of its database reaches the real one, or is refused by name."""

from random import Random

import pytest
from sqlalchemy import text

from chaos.stacks.embedded import EmbeddedStack
from model.live.app_server import ServerSettings
from model.live.cloud import server_settings
from model.live.crossings import Crossings
from model.live.database_client import make_engine
from model.live.run import Arm, check_live
from model.live.timescale import TimeScale
from model.scenario import Servers
from model.scenario_problems import ScenarioError
from model.spec import RunSpec
from tests.live.runner.sales import hostile, prompt


def settings_of(embedded: EmbeddedStack, **servers: object) -> ServerSettings:
    """What the first application server of such a scenario is started with."""
    spec = RunSpec(
        scenario=hostile(servers=Servers(**servers)),  # type: ignore[arg-type] # any of its fields
        strategy="db-cart",
        seed=1,
        database="postgres",
    )
    found = server_settings(spec, {}, embedded.endpoints, TimeScale(10.0), uses_redis=False)
    return found[0]


def test_isolation_and_limits_are_the_scenarios(embedded: EmbeddedStack) -> None:
    """A verdict on SERIALIZABLE is about SERIALIZABLE: PostgreSQL itself says what is in force."""
    settings = settings_of(embedded, isolation="serializable", statement_timeout_s=20.0)
    engine = make_engine(
        settings.database_url,
        Crossings(Random(1), lambda *_trap: False, lambda _target: None),
        connections=1,
        pool_timeout_s=5.0,
        timeout_s=5.0,
        lock_timeout_s=settings.lock_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
        isolation=settings.isolation,
    )
    with engine.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("transaction_isolation", "statement_timeout", "lock_timeout")
        ]
    engine.dispose()
    assert shown == ["serializable", "2s", "1s"]


def test_retries_are_the_scenarios(embedded: EmbeddedStack) -> None:
    """An application server is told how often to make a call again that lost a conflict."""
    assert settings_of(embedded).conflict_retries == Servers().conflict_retries
    assert settings_of(embedded, conflict_retries=7).conflict_retries == 7


def test_what_cannot_be_set_is_refused_before_anything_runs(arm: Arm) -> None:
    """PostgreSQL's own deadlock timeout is its superuser's: no silent other value."""
    spec = RunSpec(
        scenario=prompt(servers=Servers(deadlock_timeout_s=3.0)),
        strategy="db-cart",
        seed=1,
        database="postgres",
    )
    with pytest.raises(ScenarioError, match=r"servers\.deadlock_timeout_s = 3: .* leave it out"):
        check_live(spec, arm)
