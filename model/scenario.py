"""Scenarios: what a TOML file may say, with grounded defaults.

Each default's ground is in `docs/numbers.md`. Unknown keys are errors. Load files with
`model.scenario_file.load_scenario`; this module only says what a scenario is.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from reservation.api import AdmissionKind

Share = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
WEEK_S = 604_800.0
Seconds = Annotated[float, Field(gt=0.0, le=WEEK_S)]
"""A length of time: a sale that goes on for months is a slip of the keyboard."""


Isolation = Literal["read-committed", "repeatable-read", "serializable"]


class Part(BaseModel):
    """A frozen table of a scenario file that accepts no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Sale(Part):
    """What is sold."""

    capacity: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    kind: AdmissionKind = AdmissionKind.GENERAL
    price_cents: PositiveInt = 5000
    row_length: PositiveInt = 20  # seats per row; seats are named A1, A2, ..., B1, ...


class Arrivals(Part):
    """When buyers come: a rush that decays, a steady stream, or a recorded trace."""

    kind: Literal["rush", "steady", "trace"] = "rush"
    buyers: PositiveInt = 700
    duration_s: Seconds = 1800.0
    rush_share: Share = 0.5  # rush: this share comes within the first rush_s, decaying
    rush_s: Seconds = 60.0
    opening_share: Share = 0.03  # rush: this share waits for the countdown, having chosen already
    opening_s: Seconds = 0.25  # rush: and clicks within this time of the opening
    trace: str | None = None  # trace: a CSV file, relative to the scenario file

    @model_validator(mode="after")
    def _trace_needs_a_file(self) -> "Arrivals":
        if (self.kind == "trace") != (self.trace is not None):
            raise ValueError('kind = "trace" and the key `trace` (a CSV file) go together')
        return self


class Buyers(Part):
    """What buyers do once they are there."""

    party_sizes: dict[int, PositiveFloat] = {1: 0.1, 2: 0.35, 3: 0.2, 4: 0.25, 6: 0.1}
    think_median_s: Seconds = 8.0  # before the first request
    abandon: Share = 0.5  # of those who hold, who never pay
    release_on_abandon: Share = 0.3  # of those who abandon, who give the hold back themselves
    checkout_median_s: Seconds = 120.0
    checkout_sigma: NotNegative = 0.7
    last_minute: Share = 0.01  # of those who pay, who press the button in the last moments only
    last_minute_s: Seconds = 60.0  # how long before the deadline those begin at most
    retry_refused: Share = 0.6  # of those refused a hold, who try again
    retry_delay_s: tuple[PositiveFloat, PositiveFloat] = (5.0, 30.0)
    max_attempts: PositiveInt = 3  # for refusals of a hold
    unknown_retries: Annotated[int, Field(ge=0)] = 5  # of a call with unknown outcome, same key
    unknown_delay_s: Seconds = 2.0


class Payment(Part):
    """The payment provider."""

    challenged: Share = 0.36  # payments that go through 3-D Secure
    challenge_mean_s: Seconds = 37.0
    challenge_fail: Share = 0.2
    plain_s: Seconds = 2.0
    timeout_s: Seconds = 60.0  # how long a caller waits for a lost answer


class Holds(Part):
    """The holds every strategy hands out."""

    ttl_s: Seconds = 900.0


class Sweeper(Part):
    """The periodic job that gives expired holds back."""

    period_s: Annotated[float, Field(ge=1.0, le=WEEK_S)] = 30.0
    grace_s: NotNegative = 0.0
    batch: PositiveInt = 1000


class Servers(Part):
    """The application tier. A request is served by one worker of one server, round robin."""

    count: PositiveInt = 2
    workers: PositiveInt = 200  # requests in flight per server
    database_pool: PositiveInt = 20  # connections per server
    database_pool_timeout_s: Seconds = 30.0
    redis_pool: PositiveInt = 50
    redis_retries: Annotated[int, Field(ge=0, le=100)] = 0  # redis-py's own resends
    redis_timeout_s: Seconds = 2.0  # socket timeout
    database_timeout_s: Seconds = 5.0
    lock_timeout_s: Seconds = 10.0  # waiting for one lock of the database
    statement_timeout_s: NotNegative = 0.0  # 0: none; PostgreSQL only
    deadlock_timeout_s: Seconds = 1.0  # PostgreSQL looks for a deadlock after waiting so long
    isolation: Isolation = "read-committed"  # of every transaction; others need PostgreSQL
    conflict_retries: Annotated[int, Field(ge=0, le=100)] = 0  # of a call the database rolled back
    clock_skew_sd_s: NotNegative = 0.020


class Latency(Part):
    """Round trips in milliseconds: lognormal by median and 99th percentile."""

    redis_median_ms: PositiveFloat = 0.3
    redis_p99_ms: PositiveFloat = 1.2
    database_median_ms: PositiveFloat = 0.5
    database_p99_ms: PositiveFloat = 1.5
    commit_median_ms: PositiveFloat = 1.2
    commit_p99_ms: PositiveFloat = 3.0


class RedisDisk(Part):
    """How Redis writes to its disk (matters only under rdb and aof-*)."""

    fsync_ms: PositiveFloat = 2.0
    snapshot_s: Seconds = 0.5  # how long one RDB snapshot takes
    save_points: tuple[tuple[PositiveInt, PositiveInt], ...] = (
        (3600, 1),
        (300, 100),
        (60, 10_000),
    )


class FaultEntry(Part):
    """One fault of a custom plan: a fault of `holdfast list faults` and when it strikes.

    Either between `earliest_s` and `latest_s` (drawn), or at a named crossing. `settings` overrides
    fields of the fault, such as `down_s` or `probability`.
    """

    fault: str
    at_s: NotNegative | None = None
    earliest_s: NotNegative | None = None
    latest_s: NotNegative | None = None
    crossing: str | None = None  # "database reply COMMIT", "redis request EVALSHA"
    actor: Literal["buyer", "sweeper", "any"] = "any"
    operation: str = ""
    occurrence: PositiveInt = 1
    settings: dict[str, float | str] = {}


class Plan(Part):
    """A fault plan of the scenario's own, named by its table."""

    summary: str = ""
    faults: tuple[FaultEntry, ...]


class Scenario(Part):
    """One sale, its buyers, its deployment; the fault and the strategy are chosen beside it."""

    name: str
    summary: str = ""
    sale: Sale = Sale()
    arrivals: Arrivals = Arrivals()
    buyers: Buyers = Buyers()
    payment: Payment = Payment()
    hold: Holds = Holds()
    sweeper: Sweeper = Sweeper()
    servers: Servers = Servers()
    latency: Latency = Latency()
    redis_disk: RedisDisk = RedisDisk()
    plans: dict[str, Plan] = {}
    options: dict[str, dict[str, str | int | float | bool]] = {}  # per strategy
    trace_arrivals_s: tuple[float, ...] = ()  # filled by the loader from `arrivals.trace`
    trace_quantities: tuple[int, ...] = ()  # likewise; if not empty, the party size of each buyer
