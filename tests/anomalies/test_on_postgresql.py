"""The anomalies of the database once more, on a real PostgreSQL under the simulator.

Each is the very trial of the other modules, with the very numbers a bad variant must reach there:
what the simulated SQLite shows must be true of the server it stands for.
"""

from collections.abc import Callable

import pytest

from tests.anomalies import test_a_holding, test_a_stock, test_c_payment, trial

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'holdfast[postgres]'")

ON_BOTH = (
    test_a_stock.test_a01_lost_update,
    test_a_stock.test_a02_write_skew,
    test_a_stock.test_a06_two_sweepers_give_back_twice,
    test_a_stock.test_a07_the_sweeper_unsells,
    test_a_stock.test_a08_checkout_after_the_sweep,
    test_a_stock.test_a09_expires_between_check_and_commit_margin,
    test_a_stock.test_a09_expires_between_check_and_commit_grace,
    test_a_stock.test_a10_clock_skew_between_servers,
    test_a_stock.test_a10_the_application_clocks_step,
    test_a_stock.test_a11_double_release,
    test_a_stock.test_a12_release_not_atomic,
    test_a_holding.test_a15_held_is_not_sold,
    test_a_holding.test_a17_each_retry_resets_the_deadline,
    test_a_holding.test_a18_asking_again_overwrites_the_quantity,
    test_a_holding.test_a21_the_provider_is_called_inside_the_transaction,
    test_c_payment.test_c01_the_outcome_of_a_commit_is_unknown,
    test_c_payment.test_c08_cancel_against_confirm,
)

FOR_TWO_STRATEGIES = (
    test_c_payment.test_c03_webhook_and_redirect_together,
    test_c_payment.test_c07_idempotency_by_check_then_insert,
)


@pytest.fixture(autouse=True)
def _on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "DATABASE", "postgres")


@pytest.mark.parametrize("anomaly", ON_BOTH, ids=lambda test: test.__name__[5:])
def test_the_same_anomaly_on_postgresql(anomaly: Callable[[], None]) -> None:
    """The bad variant breaks what it must there as well, and the fixed one keeps it."""
    anomaly()


@pytest.mark.parametrize("anomaly", FOR_TWO_STRATEGIES, ids=lambda test: test.__name__[5:])
@pytest.mark.parametrize("strategy", ["redis-hold", "redis-counter"])
def test_the_same_payment_anomaly_on_postgresql(
    anomaly: Callable[[str], None], strategy: str
) -> None:
    """The till's anomalies, under two Redis strategies."""
    anomaly(strategy)
