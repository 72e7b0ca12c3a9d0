"""What is required must be there: a promise that was skipped is not kept."""

import pytest

from tests.live.conftest import lacks, required


def test_a_missing_component_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the stack's own message, which names the remedy."""
    monkeypatch.setenv("HOLDFAST_REQUIRE", "redis")
    with pytest.raises(pytest.skip.Exception, match="toxiproxy: get it"):
        lacks("toxiproxy", "toxiproxy: get it")


def test_a_missing_component_that_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails with who required it, and the remedy."""
    monkeypatch.setenv("HOLDFAST_REQUIRE", "redis, toxiproxy")
    with pytest.raises(pytest.fail.Exception, match="HOLDFAST_REQUIRE names toxiproxy: get it"):
        lacks("toxiproxy", "get it")


def test_an_unknown_component_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt one would never be missed."""
    monkeypatch.setenv("HOLDFAST_REQUIRE", "redis,postgress")
    with pytest.raises(pytest.UsageError, match="unknown postgress; allowed: redis, postgres, tox"):
        required()
    monkeypatch.setenv("HOLDFAST_REQUIRE", "")
    assert required() == set()
