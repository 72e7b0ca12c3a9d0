"""Recorded arrivals."""

from pathlib import Path

import pytest

from model.scenario_file import load_scenario
from model.scenario_problems import ScenarioError
from model.trace_csv import Trace, read_trace


def trace_file(folder: Path, text: str | bytes) -> Path:
    """Return the path of a trace with this text."""
    path = folder / "arrivals.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_trace_need_not_be_sorted(tmp_path: Path) -> None:
    """The first line is buyer 0, whenever that buyer comes."""
    path = trace_file(tmp_path, "arrival_s\n5\n0.25\n 3e1 \n")
    assert read_trace(path, most_quantity=9) == Trace(arrivals_s=(5.0, 0.25, 30.0))


def test_a_trace_may_give_quantities(tmp_path: Path) -> None:
    """Columns may come in any order, with blanks around their names."""
    path = trace_file(tmp_path, "quantity, arrival_s\n2,1.5\n9,0\n")
    assert read_trace(path, most_quantity=9) == Trace(arrivals_s=(1.5, 0.0), quantities=(2, 9))


@pytest.mark.parametrize(
    "text",
    [
        "arrival_s\n1\n\n2\n   \n",  # blank lines
        "arrival_s\r\n1\r\n2\r\n",  # from Windows
        "\ufeffarrival_s\n1\n2",  # a byte order mark, and no newline at the end
        '"arrival_s"\n"1"\n"2"\n',
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, text: str) -> None:
    """Blank lines, Windows line ends, a byte order mark and quotes do no harm."""
    assert read_trace(trace_file(tmp_path, text), most_quantity=1).arrivals_s == (1.0, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": line 1 is empty; it must be a header with the column arrival_s"),
        ("\n1\n", ": line 1 is empty; it must be a header"),
        ("arrival_s\n", ": has no arrivals; write one a line under the header"),
        ("arrival_s\n\n \n", ": has no arrivals"),
        ("1\n2\n", ", line 1: unknown column '1'; allowed: arrival_s (required), quantity"),
        ("arival_s\n1\n", ", line 1: unknown column 'arival_s'; did you mean `arrival_s`?"),
        ("quantity\n1\n", ", line 1: the header is 'quantity'; it must have arrival_s once"),
        ("arrival_s,arrival_s\n1,1\n", ", line 1: the header is 'arrival_s,arrival_s'; it must"),
        ("arrival_s\n1\n-2\n", ", line 3: arrival_s = '-2': must be a number of seconds after"),
        ("arrival_s\n1\n\nsoon\n", ", line 4: arrival_s = 'soon': must be a number of seconds"),
        ("arrival_s\nnan\n", ", line 2: arrival_s = 'nan': must be a number of seconds"),
        ("arrival_s\ninf\n", ", line 2: arrival_s = 'inf': must be a number of seconds"),
        ("arrival_s\n1_0\n", ", line 2: arrival_s = '1_0': must be a number of seconds"),
        ("arrival_s\n1,2\n", ", line 2: has 2 values, the header has 1 columns"),
        ("arrival_s,quantity\n1\n", ", line 2: has 1 values, the header has 2 columns"),
        ("arrival_s,quantity\n1,0\n", ", line 2: quantity = '0': must be a whole number of"),
        ("arrival_s,quantity\n1,5\n", ", line 2: quantity = '5': must be a whole number of tick"),
        ("arrival_s,quantity\n1,2.5\n", ", line 2: quantity = '2.5': must be a whole number"),
        ("arrival_s,quantity\n1,\n", ", line 2: quantity = '': must be a whole number"),
        ("arrival_s,quantity\n1,²\n", ", line 2: quantity = '²': must be a whole number"),
        ('arrival_s\n"1\n', ", line 2: is not CSV: unexpected end of data"),
        (b"arrival_s\n\xff\n", ": the trace is not text in UTF-8"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    """The message has the file, the line, the value and what is allowed."""
    path = trace_file(tmp_path, text)
    with pytest.raises(ScenarioError) as raised:
        read_trace(path, most_quantity=4)
    assert str(raised.value).startswith(f"{path}{message}")


def test_a_trace_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder is no trace."""
    with pytest.raises(ScenarioError, match="the trace cannot be read: Is a directory"):
        read_trace(tmp_path, most_quantity=1)


SCENARIO = """
sale.capacity = 4
buyers.party_sizes = { 1 = 1.0 }
arrivals = { kind = "trace", trace = "arrivals.csv" }
"""


def scenario_file(folder: Path, text: str = SCENARIO) -> str:
    """Return the path of a scenario beside the trace."""
    path = folder / "traced.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_scenario_takes_its_trace_from_beside_it(tmp_path: Path) -> None:
    """The arrivals, the quantities and the number of buyers come from the trace."""
    trace_file(tmp_path, "arrival_s,quantity\n3,1\n1,2\n")
    scenario = load_scenario(scenario_file(tmp_path))
    assert scenario.trace_arrivals_s == (3.0, 1.0)
    assert scenario.trace_quantities == (1, 2)
    assert scenario.arrivals.buyers == 2


def test_a_trace_of_the_command_line_is_taken_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--set arrivals.trace=...` means what the shell would complete."""
    trace_file(tmp_path, "arrival_s\n3\n")
    monkeypatch.chdir(tmp_path)
    overrides = {"arrivals.kind": "trace", "arrivals.trace": "arrivals.csv", "buyers": "1"}
    assert load_scenario("on-sale", overrides).trace_arrivals_s == (3.0,)


def test_a_missing_trace_is_named(tmp_path: Path) -> None:
    """The message has the scenario, the key, the value and where it was looked for."""
    path = scenario_file(tmp_path)
    with pytest.raises(ScenarioError) as raised:
        load_scenario(path)
    assert str(raised.value) == (
        f'{path}: arrivals.trace = "arrivals.csv": must be a CSV file; '
        f"there is none at {tmp_path / 'arrivals.csv'}"
    )


def test_a_quantity_above_the_capacity_is_refused(tmp_path: Path) -> None:
    """The trace is held against the scenario's capacity."""
    trace = trace_file(tmp_path, "arrival_s,quantity\n3,5\n")
    with pytest.raises(ScenarioError) as raised:
        load_scenario(scenario_file(tmp_path))
    assert str(raised.value) == (
        f"{trace}, line 2: quantity = '5': must be a whole number of tickets from 1 to the "
        "capacity, 4"
    )


def test_a_number_of_buyers_beside_a_trace_must_be_its_own(tmp_path: Path) -> None:
    """`buyers` cannot silently cut or stretch a trace."""
    trace_file(tmp_path, "arrival_s\n3\n4\n")
    path = scenario_file(tmp_path)
    with pytest.raises(ScenarioError) as raised:
        load_scenario(path, {"buyers": "7"})
    assert str(raised.value) == (
        f"{path}: --set buyers: arrivals.buyers = 7: the trace has 2 arrivals; leave the key out"
    )
