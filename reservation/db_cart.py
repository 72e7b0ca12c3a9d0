"""The strategies of flow 1: one flow, three ways of guarding its writes."""

from dataclasses import replace
from typing import Any

from reservation.api import AdmissionKind, Stores, StrategyInfo
from reservation.cart_conditional import Conditional, add_back
from reservation.cart_flow import CART_CHOICES, CART_DEFAULTS, CartFlow, CartOptions
from reservation.cart_read_then_write import ReadThenWrite, confirm_blind
from reservation.cart_sql import CART_SQL
from reservation.cart_writer import CartInserter, CartWriter
from reservation.database_time import Moments
from reservation.till import TILL_CHOICES, TILL_DEFAULTS_WITHOUT_DROP, Till, till_options

# A paid cart is never dropped, so `drop_hold` would be an option without effect.
_DEFAULTS = {**CART_DEFAULTS, **TILL_DEFAULTS_WITHOUT_DROP}
_CHOICES = {**CART_CHOICES, "idempotency": TILL_CHOICES["idempotency"]}
_BOTH = frozenset({AdmissionKind.GENERAL, AdmissionKind.SEATS})


def _build_naive(stores: Stores, options: dict[str, Any]) -> CartFlow:
    return _flow(stores, options, _reading(stores, options, lock=False).writer())


def _build_row_lock(stores: Stores, options: dict[str, Any]) -> CartFlow:
    locks_key = options["event_lock"] == "update"
    writer = _reading(stores, options, lock=True, locks_key=locks_key).writer()
    return _flow(stores, options, writer)


def _build_conditional(stores: Stores, options: dict[str, Any]) -> CartFlow:
    own = _cart_options(options)
    writer = Conditional(CART_SQL[own.clock], _inserter(stores, own)).writer()
    if not options["status_guard"]:
        reading = _reading(stores, options, lock=False)
        writer = replace(
            writer,
            end=reading.end,
            end_batch=reading.end_batch,
            give_back=reading.giving_back(add_back),
        )
    if options["confirm"] == "blind":
        writer = replace(writer, confirm=confirm_blind)
    return _flow(stores, options, writer)


def _cart_options(options: dict[str, Any]) -> CartOptions:
    return CartOptions(**{name: options[name] for name in CART_DEFAULTS})


def _inserter(stores: Stores, own: CartOptions) -> CartInserter:
    return CartInserter(CART_SQL[own.clock], Moments(stores.clock, own.clock), own.ttl_s)


def _reading(
    stores: Stores, options: dict[str, Any], *, lock: bool, locks_key: bool = False
) -> ReadThenWrite:
    own = _cart_options(options)
    inserter = _inserter(stores, own)
    return ReadThenWrite(CART_SQL[own.clock], inserter, lock=lock, locks_key=locks_key)


def _flow(stores: Stores, options: dict[str, Any], writer: CartWriter) -> CartFlow:
    own = _cart_options(options)
    till = Till(stores, till_options(options))
    return CartFlow(stores, own, till, Moments(stores.clock, own.clock), writer)


INFOS: tuple[StrategyInfo, ...] = (
    StrategyInfo(
        name="db-cart-naive",
        summary="database cart: read the stock, then write it, no lock",
        uses_redis=False,
        admits=_BOTH,
        defaults=_DEFAULTS,
        choices=_CHOICES,
        build=_build_naive,
        known_bad="two buyers read the same stock and both take it (A01)",
    ),
    StrategyInfo(
        name="db-cart-row-lock",
        summary="database cart: SELECT ... FOR UPDATE before each write",
        uses_redis=False,
        admits=_BOTH,
        defaults={**_DEFAULTS, "event_lock": "no-key-update"},
        choices={**_CHOICES, "event_lock": ("no-key-update", "update")},
        build=_build_row_lock,
    ),
    StrategyInfo(
        name="db-cart",
        summary="database cart: conditional UPDATE, indexed batch sweeper, atomic give-back",
        uses_redis=False,
        admits=_BOTH,
        defaults={**_DEFAULTS, "status_guard": True, "confirm": "conditional"},
        choices={**_CHOICES, "confirm": ("conditional", "blind")},
        build=_build_conditional,
    ),
)
