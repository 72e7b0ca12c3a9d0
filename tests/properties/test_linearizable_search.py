"""The checker of `linearizable` against checkers that try everything."""

from dataclasses import replace
from functools import cache
from math import inf
from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from model.history import History, Outcome
from properties.evidence import gather
from properties.invariants import linearizable
from properties.linearizability.search import Found, Kind, Move, find_order
from properties.verdicts import Status
from tests.properties.brute_force import has_an_order
from tests.properties.recordings import RECORDINGS
from tests.properties.sales import Sale

CASES = 4000
ENOUGH = 1_000_000


def every_order(moves: list[Move], capacity: int) -> bool:
    """Try every order of `moves`."""
    backs = {move.after: index for index, move in enumerate(moves) if move.kind is Kind.GIVE_BACK}

    def counted(left: frozenset[int], taken: int, refusal: Move) -> int:
        """How many tickets are taken besides its own, where `left` has yet to happen."""
        own = (
            moves[take].quantity
            for take in refusal.own
            if take not in left and (take not in backs or backs[take] in left)
        )
        return taken - sum(own)

    @cache
    def search(left: frozenset[int], taken: int, now_s: float) -> bool:
        if all(moves[index].until_s == inf for index in left):
            return True
        for index in left:
            move = moves[index]
            at_s = max(now_s, move.from_s)
            if at_s > move.until_s:
                return False
            if move.kind is Kind.TAKE:
                fits = taken + move.quantity <= capacity
                legal, after = fits and move.after not in left, taken + move.quantity
            elif move.kind is Kind.GIVE_BACK:
                legal, after = move.after not in left, taken - move.quantity
            else:
                legal, after = counted(left, taken, move) >= move.quantity, taken
            if legal and search(left - {index}, after, at_s):
                return True
        return False

    return search(frozenset(range(len(moves))), 0, -inf)


def random_moves(draw: Random) -> tuple[list[Move], int]:
    """Draw a record of a few takes, most of them given back, and refusals, all close together.

    Some takes are those of a hold that was taken before: it has been given back by then. Some
    refusals are of somebody whose own take does not count.
    """
    capacity = draw.randint(1, 5)
    moves: list[Move] = []
    for _ in range(draw.randint(1, 4)):
        quantity = draw.randint(1, min(3, capacity))
        from_s = draw.randint(0, 8)
        until_s = from_s + draw.randint(0, 5)
        moves.append(Move(kind=Kind.TAKE, quantity=quantity, from_s=from_s, until_s=until_s))
        if draw.random() < 0.7:
            moves.append(_back(draw, moves[-1], len(moves) - 1))
            if len(moves) < 7 and draw.random() < 0.5:
                _take_anew(draw, moves)
    takes = [index for index, move in enumerate(moves) if move.kind is Kind.TAKE]
    for _ in range(draw.randint(0, 3)):
        from_s = draw.randint(0, 10)
        moves.append(
            Move(
                kind=Kind.REFUSE,
                quantity=draw.randint(1, capacity),
                from_s=from_s,
                until_s=from_s + draw.randint(0, 3),
                own=_hold_of(moves, draw.choice(takes)) if draw.random() < 0.5 else frozenset(),
            )
        )
    return moves, capacity


def _hold_of(moves: list[Move], take: int) -> frozenset[int]:
    """A take and those by which its hold is taken anew."""
    found = [take]
    for index, move in enumerate(moves):
        if move.kind is Kind.TAKE and move.after is not None and moves[move.after].after in found:
            found.append(index)
    return frozenset(found)


def _back(draw: Random, take: Move, index: int) -> Move:
    from_s = draw.randint(int(take.from_s), int(take.from_s) + 6)
    until_s = max(from_s, take.until_s) + draw.choice((0, 1, 3, inf))
    return Move(
        kind=Kind.GIVE_BACK, quantity=take.quantity, from_s=from_s, until_s=until_s, after=index
    )


def _take_anew(draw: Random, moves: list[Move]) -> None:
    """Take the last hold again: after its give-back, and perhaps at the same instant."""
    back = moves[-1]
    from_s = back.from_s + draw.randint(0, 3)
    until_s = max(from_s, moves[-2].until_s) + draw.randint(0, 4)
    moves[-1] = replace(back, until_s=min(back.until_s, until_s))
    moves.append(
        replace(back, kind=Kind.TAKE, from_s=from_s, until_s=until_s, after=len(moves) - 1)
    )
    if draw.random() < 0.6:
        moves.append(_back(draw, moves[-1], len(moves) - 1))


def test_the_search_agrees_with_every_order() -> None:
    """On thousands of small records the search finds an order exactly when there is one."""
    found = {Found.ORDER: 0, Found.NONE: 0}
    for seed in range(CASES):
        moves, capacity = random_moves(Random(seed))
        answer = find_order(moves, capacity, budget=ENOUGH)
        expected = Found.ORDER if every_order(moves, capacity) else Found.NONE
        assert answer.found is expected, (seed, capacity, moves)
        found[answer.found] += 1
    assert min(found.values()) > CASES // 10, found


def test_the_prefix_without_an_order_is_the_shortest() -> None:
    """Up to the end of the stuck move there is no order; of what ended before it there is one."""
    told = 0
    for seed in range(CASES // 4):
        moves, capacity = random_moves(Random(seed))
        answer = find_order(moves, capacity, budget=ENOUGH)
        if answer.stuck is None:
            continue
        due = (moves[answer.stuck].until_s, 1, answer.stuck)

        def cut(
            at: tuple[float, int, int], *, whole: bool, moves: list[Move] = moves
        ) -> list[Move]:
            """Make every move optional that was not due by `at`."""
            kept = []
            for index, move in enumerate(moves):
                ends = (move.until_s, 1, index)
                if ends < at or (whole and ends == at):
                    kept.append(move)
                else:
                    kept.append(replace(move, until_s=inf))
            return kept

        assert not every_order(cut(due, whole=True), capacity), seed
        assert every_order(cut(due, whole=False), capacity), seed
        told += 1
    assert told > 50


IN_TURN = (0.5, 1.5, 4.5)
AT_ONCE = (-3.0, -1.5, -0.5, 0.5, 1.5)


@st.composite
def sales(draw: st.DrawFn, pauses: tuple[float, ...] = IN_TURN) -> History:
    """Draw a short sale of few tickets: any outcomes, any overlap, told by seconds.

    `pauses` are those of one buyer between a call and the next; negative: while it is under way.
    """
    sale = Sale(capacity=draw(st.integers(1, 3)), ttl_s=float(draw(st.integers(3, 8))))
    sale.sweep_bound_s = float(draw(st.integers(0, 3)))
    for number in range(draw(st.integers(1, 4))):
        _visit(draw, sale, f"b{number}", pauses)
    return sale.ended(at_s=1000.0)


SECONDS = st.integers(0, 10).map(float)
LENGTHS = st.sampled_from((0.0, 1.0, 2.0, 4.0))
UNANSWERED = Outcome.UNKNOWN


def _visit(draw: st.DrawFn, sale: Sale, who: str, pauses: tuple[float, ...]) -> None:
    """One buyer asks, perhaps twice, and may hold tickets in the end."""
    at_s, quantity = draw(SECONDS), draw(st.integers(1, sale.capacity))
    asks = draw(st.sampled_from(("ok", "refused", "ok", "refused", "lost", "lost-ok", "lost-no")))
    if asks.startswith("lost"):
        sale.hold(who, at_s, quantity, outcome=UNANSWERED, completed_s=at_s + draw(LENGTHS))
        at_s += 4.0
    if asks in {"refused", "lost-no"}:
        sale.sold_out(who, at_s, quantity, completed_s=at_s + draw(LENGTHS))
    elif asks != "lost":
        held = sale.hold(who, at_s, quantity, completed_s=at_s + draw(LENGTHS))
        at_s = (held.completed_s or 0.0) + 0.5 + draw(SECONDS)
        first_s = at_s
        for _ in range(draw(st.integers(0, 3))):
            took_s = draw(LENGTHS)
            _change(draw, sale, who, at_s, quantity, at_s + took_s)
            at_s = max(first_s, at_s + took_s + draw(st.sampled_from(pauses)))
        _end(draw, sale, who, at_s, quantity)


def _end(draw: st.DrawFn, sale: Sale, who: str, at_s: float, quantity: int) -> None:
    """The holder goes away, or pays, and may give back or ask again even then."""
    then = draw(st.sampled_from(("leave", "pay", "late", "made", "lost")))
    took_s = draw(LENGTHS)
    if then == "pay":
        sale.pay(who, at_s, took_s)
    elif then == "late":
        sale.refused(who, at_s, "HoldExpired", took_s)
    elif then in {"made", "lost"}:
        op = sale.pay(who, at_s, took_s, outcome=UNANSWERED, captured_s=None)
        if then == "made":
            sale.order(op, 100 + op.op_id)
    if then != "leave" and draw(st.booleans()):
        at_s += took_s + 0.5
        _change(draw, sale, who, at_s, quantity, at_s + draw(LENGTHS))


def _change(
    draw: st.DrawFn, sale: Sale, who: str, at_s: float, quantity: int, completed_s: float
) -> None:
    """A holder gives back, or asks again; with any answer."""
    what = draw(st.sampled_from(("release", "unsure", "again", "again", "refused", "doubt")))
    if what in {"release", "unsure"}:
        outcome = Outcome.OK if what == "release" else UNANSWERED
        sale.release(who, at_s, quantity=quantity, outcome=outcome, completed_s=completed_s)
    elif what == "refused":
        sale.sold_out(who, at_s, quantity, completed_s=completed_s)
    else:
        doubt = {"outcome": UNANSWERED} if what == "doubt" else {}
        sale.hold(who, at_s, quantity, completed_s=completed_s, **doubt)


@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
@given(sales())
def test_the_invariant_agrees_with_every_order(history: History) -> None:
    """On whole histories the verdict is that of a box office that tries every order."""
    verdict = linearizable.examine(gather(history))
    event(str(verdict.status))
    expected = has_an_order(history)
    assert (verdict.status is not Status.VIOLATED) is expected, (verdict, history.operations)


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(sales(AT_ONCE))
def test_no_order_is_overlooked(history: History) -> None:
    """One buyer's calls may overlap too (a double click); what has an order is no violation.

    The other way round the invariant may be lenient: it takes the earliest of what such calls told.
    """
    verdict = linearizable.examine(gather(history))
    assert verdict.status is not Status.VIOLATED or not has_an_order(history)


@pytest.mark.parametrize("budget", [0, 1, 5])
def test_a_search_cut_short_is_inconclusive(budget: int) -> None:
    """A budget that is used up says so; it never passes, and enough of it does."""
    evidence = gather(RECORDINGS["good-order-of-three"]())
    verdict = linearizable.examine_within(evidence, budget)
    assert verdict.status is Status.INCONCLUSIVE
    assert f"cut after {budget} steps" in verdict.reason
    assert verdict.undecided
    assert linearizable.examine(evidence).status is Status.HOLDS


def test_a_contradiction_is_found_without_a_search() -> None:
    """What is wrong at one glance is a violation, however small the budget."""
    evidence = gather(RECORDINGS["bad-held-twice"]())
    assert linearizable.examine_within(evidence, 0).status is Status.VIOLATED


def test_who_gave_a_hold_back_makes_room_for_who_is_in_the_way() -> None:
    """Of two holds that may go first, the refused buyer's own is no reason to refuse it."""
    sale = Sale(capacity=2)
    sale.hold("ann", 1.0)
    sale.hold("bob", 2.0)
    sale.release("bob", 10.0, outcome=Outcome.UNKNOWN, completed_s=11.0)
    sale.hold("cid", 11.5, completed_s=15.0)
    sale.release("ann", 12.0, completed_s=15.5)
    sale.sold_out("bob", 12.5, completed_s=13.5)  # bob was out by 11, cid in by 12
    history = sale.ended()
    assert has_an_order(history)
    assert linearizable.examine(gather(history)).status is Status.HOLDS
