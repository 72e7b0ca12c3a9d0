"""Scenario files: the bundled ones, and everything that can be wrong with the others."""

from pathlib import Path

import pytest

from model.scenario import Scenario
from model.scenario_file import BUNDLED, ScenarioError, bundled, load_scenario
from model.scenario_plans import resolve_plan
from reservation.api import AdmissionKind


def write(folder: Path, text: str | bytes) -> str:
    """Return the path of a scenario file with this text."""
    path = folder / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def message(name: str, overrides: dict[str, str] | None = None) -> str:
    """Return what is said about a scenario that cannot be used."""
    with pytest.raises(ScenarioError) as raised:
        load_scenario(name, overrides)
    return str(raised.value)


def test_the_bundled_scenarios_load() -> None:
    """Each has its own name and a summary; the default comes first."""
    assert [name for name, _ in bundled()] == ["on-sale", "steady", "seats", "small"]
    for name, summary in bundled():
        assert load_scenario(name).name == name
        assert summary == load_scenario(name).summary
        assert summary


@pytest.mark.parametrize(
    ("name", "people_per_ticket"), [("on-sale", 7.0), ("steady", 1.2), ("seats", 3.0)]
)
def test_the_bundled_scenarios_have_the_grounded_demand(
    name: str, people_per_ticket: float
) -> None:
    """People per ticket are those of docs/numbers.md."""
    scenario = load_scenario(name)
    assert scenario.arrivals.buyers / scenario.sale.capacity == people_per_ticket


def test_the_bundled_scenarios_are_what_their_names_say() -> None:
    """A rush, a steady stream, seats, and one that can be read by eye."""
    on_sale, steady, seats, small = (load_scenario(name) for name in BUNDLED)
    assert (on_sale.arrivals.rush_share, on_sale.arrivals.rush_s) == (0.5, 60.0)
    assert steady.arrivals.kind == "steady"
    assert seats.sale.kind is AdmissionKind.SEATS
    assert small.arrivals.buyers <= 12


@pytest.mark.parametrize("name", BUNDLED)
def test_every_fault_can_be_placed_in_every_bundled_scenario(name: str) -> None:
    """Every bundled plan finds its time in every bundled scenario."""
    assert resolve_plan("redis-kill+slow-fsync+app-kill", load_scenario(name)).faults


def test_a_file_may_say_nothing_and_be_named_by_itself(tmp_path: Path) -> None:
    """Everything has a default; the name is the file's."""
    assert load_scenario(write(tmp_path, "")) == Scenario(name="mine")


def test_files_of_windows_are_read(tmp_path: Path) -> None:
    """A byte order mark and CR LF do no harm."""
    path = write(tmp_path, b"\xef\xbb\xbf[sale]\r\ncapacity = 7\r\nkind = 'seats'\r\n")
    assert load_scenario(path, {"buyers.party_sizes": "{ 2 = 1 }"}).sale.capacity == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("capcity = 5", "capcity = 5: unknown key; did you mean `sale.capacity`? allowed here: n"),
        ("[sale]\ncapcity = 5", "sale.capcity = 5: unknown key; did you mean `capacity`? allowed"),
        ("[sales]\ncapacity = 5", "sales: unknown key; did you mean `sale`? allowed here: name, s"),
        ("zzz = 1", "zzz = 1: unknown key; allowed here: name, summary, sale, arrivals, buyers,"),
        ("name = 5", "name = 5: must be text in quotes"),
        ("sale = 5", "sale = 5: must be a table"),
        ("[sale]\ncapacity = 0", "sale.capacity = 0: must be at least 1"),
        ("[sale]\ncapacity = 2000000", "sale.capacity = 2000000: must be at most 1000000"),
        ("[sale]\ncapacity = '5'", 'sale.capacity = "5": must be a whole number'),
        ("[sale]\ncapacity = true", "sale.capacity = true: must be a whole number"),
        ("[sale]\ncapacity = 1.5", "sale.capacity = 1.5: must be a whole number"),
        ("[sale]\ncapacity = [5]", "sale.capacity = [5]: must be a whole number"),
        ("[sale]\nkind = 'seat'", "sale.kind = \"seat\": must be 'general' or 'seats'"),
        ("[arrivals]\nbuyers = -5", "arrivals.buyers = -5: must be greater than 0"),
        ("[arrivals]\nbuyers = 99999999", "arrivals.buyers = 99999999: must be at most 10000000"),
        ("[arrivals]\nduration_s = -1.0", "arrivals.duration_s = -1.0: must be greater than 0"),
        ("[arrivals]\nduration_s = inf", "arrivals.duration_s = Infinity: must be a finite numb"),
        ("[arrivals]\nkind = 'flood'", "arrivals.kind = \"flood\": must be 'rush', 'steady' or"),
        ("[arrivals]\nrush_s = 1801", "arrivals.rush_s = 1801.0: must be at most arrivals.dura"),
        ("[arrivals]\nkind = 'trace'", 'arrivals: kind = "trace" and the key `trace` (a CSV file)'),
        ("[arrivals]\ntrace = 'x.csv'", 'arrivals: kind = "trace" and the key `trace` (a CSV fil'),
        ("[buyers]\nabandon = 1.5", "buyers.abandon = 1.5: must be at most 1"),
        ("[buyers]\nabandon = nan", "buyers.abandon = NaN: must be a finite number"),
        ("[buyers]\nretry_delay_s = [5]", "buyers.retry_delay_s[1]: is missing"),
        ("[buyers]\nretry_delay_s = [5, 6, 7]", "buyers.retry_delay_s = [5, 6, 7]: must have at m"),
        ("[buyers]\nretry_delay_s = [9, 5]", "buyers.retry_delay_s = [9.0, 5.0]: must be the lea"),
        ("[buyers]\nparty_sizes = {}", "buyers.party_sizes = {}: must give at least one size"),
        ("[buyers]\nparty_sizes = { a = 1 }", "buyers.party_sizes.a = 1: must be a whole number"),
        ("[buyers]\nparty_sizes = { 2 = 0 }", "buyers.party_sizes.2 = 0: must be greater than 0"),
        ("[buyers]\nparty_sizes = { 0 = 1 }", "buyers.party_sizes.0: a party size must be from 1"),
        ("[buyers]\nparty_sizes = { 101 = 1 }", "buyers.party_sizes.101: a party size must be fro"),
        ("[latency]\nredis_p99_ms = 0.1", "latency.redis_p99_ms = 0.1: must be at least latency."),
        ("[servers]\nredis_retries = 500", "servers.redis_retries = 500: must be at most 100"),
        ("trace_quantities = [1]", "trace_quantities: is filled from the CSV file that `arrivals."),
        ("[options]\ndb-cart = 1", "options.db-cart = 1: must be a table"),
        ("[options.db-cart]\nx = [1]", "options.db-cart.x = [1]: must be text in quotes or a who"),
        ("[plans.p]\nfaults = 5", "plans.p.faults = 5: must be a list"),
        ("[plans.p]\nfaults = [{}]", "plans.p.faults[0].fault: is missing"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, said: str) -> None:
    """The message has the file, the key, the value and what is allowed, on one line."""
    path = write(tmp_path, text)
    answer = message(path)
    assert answer.startswith(f"{path}: {said}")
    assert "\n" not in answer


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sale]\ncapacity 5\n", ", line 2: TOML syntax error in `capacity 5`: Expected '='"),
        ("[sale\n", ", line 1: TOML syntax error in `[sale`: Expected ']'"),
        ("a = 1\na = 2\n", ", line 2: TOML syntax error in `a = 2`: Cannot overwrite a value"),
        ('a = """', ', line 1: TOML syntax error in `a = """`: '),
        (b"\n\nname = '\xff'\n", ", line 3: is not text in UTF-8"),
    ],
)
def test_a_syntax_error_is_named_with_its_line(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    """The message has the file, the line and what stands there."""
    path = write(tmp_path, text)
    assert message(path).startswith(f"{path}{said}")


def test_several_wrong_keys_are_told_together(tmp_path: Path) -> None:
    """Nobody wants to repair a file one run at a time."""
    path = write(tmp_path, "[sale]\ncapacity = 0\nprice_cents = 'x'\n[hold]\nttl_s = -1\n")
    assert message(path).splitlines() == [
        f"{path}: 3 things are wrong:",
        "  sale.capacity = 0: must be at least 1",
        '  sale.price_cents = "x": must be a whole number',
        "  hold.ttl_s = -1: must be greater than 0",
    ]


def test_an_unknown_scenario_is_told_with_the_nearest() -> None:
    """A typo in a bundled name gets the names; a path that is not there says so."""
    assert message("on-sal") == (
        "unknown scenario 'on-sal'; did you mean `on-sale`? "
        "bundled: on-sale, steady, seats, small; or give the path of a TOML file"
    )
    assert message("nowhere.toml") == "nowhere.toml: cannot be read: No such file or directory"


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    """What exists and cannot be read is named."""
    assert message(str(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"


def test_overrides_are_values_of_toml_or_text() -> None:
    """Numbers, lists, tables and bare words; short names for the three used most."""
    scenario = load_scenario(
        "on-sale",
        {
            "buyers": "12",
            "capacity": "40",
            "ttl_s": "480",
            "buyers.abandon": "0.7",
            "buyers.retry_delay_s": "[1, 2]",
            "buyers.party_sizes": "{ 2 = 1.0 }",
            "sale.kind": "seats",
            "name": "my sale",
        },
    )
    assert scenario.arrivals.buyers == 12
    assert scenario.sale.capacity == 40
    assert scenario.hold.ttl_s == 480.0
    assert scenario.buyers.abandon == 0.7
    assert scenario.buyers.retry_delay_s == (1.0, 2.0)
    assert scenario.buyers.party_sizes == {2: 1.0}
    assert scenario.sale.kind is AdmissionKind.SEATS
    assert scenario.name == "my sale"


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("buyers", "-5", "scenario on-sale: --set buyers: arrivals.buyers = -5: must be greater"),
        ("arrivals.buyers", "-5", "scenario on-sale: --set arrivals.buyers = -5: must be greater"),
        ("capacity", "0", "scenario on-sale: --set capacity: sale.capacity = 0: must be at least"),
        ("capcity", "3", "scenario on-sale: --set capcity = 3: unknown key; did you mean `sale.c"),
        ("buyrs", "3", "scenario on-sale: --set buyrs = 3: unknown key; did you mean `buyers`?"),
        ("ttl_s", "15m", 'scenario on-sale: --set ttl_s: hold.ttl_s = "15m": must be a number'),
        ("ttl_s", "", 'scenario on-sale: --set ttl_s: hold.ttl_s = "": must be a number'),
        ("ttl_s", "1\nx = 2", 'scenario on-sale: --set ttl_s: hold.ttl_s = "1\\nx = 2": must be'),
        ("sale", "3", "scenario on-sale: --set sale = 3: must be a table"),
        ("sale.capacity.x", "3", "--set sale.capacity.x=3: sale.capacity is not a table"),
        ("sale.", "3", "--set sale.=3: the key must be names joined by dots"),
        ("", "3", "--set =3: the key must be names joined by dots"),
        ("buyers.party_sizes.0", "1", "scenario on-sale: --set buyers.party_sizes.0: a party si"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_named_as_typed(key: str, text: str, said: str) -> None:
    """The message says that it was `--set`, the key, the value and what is allowed."""
    answer = message("on-sale", {key: text})
    assert answer.startswith(said)
    assert "\n" not in answer


def test_an_override_that_breaks_another_key_names_that_key() -> None:
    """A capacity of 3 is allowed; the party sizes that no longer fit are named."""
    assert message("on-sale", {"capacity": "3"}).splitlines() == [
        "scenario on-sale: 2 things are wrong:",
        "  buyers.party_sizes.4: a party size must be from 1 to sale.capacity (3)",
        "  buyers.party_sizes.6: a party size must be from 1 to sale.capacity (3)",
    ]


def test_options_of_strategies_are_checked(tmp_path: Path) -> None:
    """An unknown strategy, option or value under [options] is named by its strategy."""
    assert load_scenario(write(tmp_path, "[options.db-cart]\nttl_s = 60.0\n")).options
    path = write(tmp_path, "[options.db-crt]\nttl_s = 60.0\n")
    assert message(path).startswith(f"{path}: options.db-crt: ")
    assert "db-cart" in message(path)
    path = write(tmp_path, "[options.db-cart]\nttl = 60.0\n")
    assert message(path).startswith(f"{path}: options.db-cart: ")
    assert "ttl_s" in message(path)
