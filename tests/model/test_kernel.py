"""The kernel: ordinary code suspends at each crossing, and virtual time decides who goes on."""

from model.kernel import Places, ServerDied
from tests.model.driving import SmallWorld


def test_requests_interleave_at_crossings_and_nowhere_else() -> None:
    """Two requests sleeping different times log in the order of virtual time."""
    world = SmallWorld()
    log: list[tuple[float, str]] = []

    def buyer(name: str, pause_s: float) -> str:
        for _ in range(3):
            log.append((world.env.now, name))
            world.kernel.sleep(pause_s)
        return name

    world.at(0.0, "slow", lambda: buyer("slow", 2.0))
    world.at(0.0, "fast", lambda: buyer("fast", 1.5))
    results = world.run()
    assert log == [
        (0.0, "slow"),
        (0.0, "fast"),
        (1.5, "fast"),
        (2.0, "slow"),
        (3.0, "fast"),
        (4.0, "slow"),
    ]
    assert results == {"slow": "slow", "fast": "fast"}


def test_an_exception_of_the_code_reaches_its_caller() -> None:
    """What the code under test raises comes out of Kernel.run."""
    world = SmallWorld()

    def fail() -> None:
        world.kernel.sleep(1.0)
        raise LookupError("nothing there")

    world.at(0.0, "buyer", fail)
    assert isinstance(world.run()["buyer"], LookupError)


def test_a_dead_server_stops_its_request_between_two_crossings() -> None:
    """After the interrupt not one more effect happens, whatever the code catches."""
    world = SmallWorld()
    effects: list[str] = []

    def stubborn() -> None:
        effects.append("first")
        try:
            world.kernel.sleep(10.0)
        except Exception:  # noqa: BLE001 - stubborn on purpose
            effects.append("survived")
        finally:
            world.kernel.sleep(1.0)
            effects.append("after death")

    world.at(0.0, "buyer", stubborn)
    world.do(5.0, lambda: world.kill("buyer"))
    assert isinstance(world.run()["buyer"], ServerDied)
    assert effects == ["first"]


def test_a_paused_server_goes_on_later_and_does_not_notice() -> None:
    """A wait that ends during the pause returns when the pause ends."""
    world = SmallWorld()

    def pause() -> None:
        world.server.paused = world.env.timeout(12.0)
        world.server.paused.callbacks.append(lambda _e: setattr(world.server, "paused", None))

    def buyer() -> float:
        world.kernel.sleep(3.0)
        return world.env.now

    world.at(0.0, "buyer", buyer)
    world.do(1.0, pause)
    assert world.run()["buyer"] == 13.0


def test_acquire_waits_in_virtual_time_and_gives_up_at_its_timeout() -> None:
    """A pool of one: the second waits for the first, the third's patience ends."""
    world = SmallWorld()
    place = Places(world.env, 1)

    def user(hold_s: float, patience_s: float) -> float | None:
        if not world.kernel.acquire(place, patience_s):
            return None
        taken_s = world.env.now
        world.kernel.sleep(hold_s)
        place.free()
        return taken_s

    world.at(0.0, "first", lambda: user(10.0, 1.0))
    world.at(1.0, "impatient", lambda: user(1.0, 2.0))
    world.at(2.0, "patient", lambda: user(1.0, 60.0))
    assert world.run() == {"first": 0.0, "impatient": None, "patient": 10.0}
    assert place.taken == 0
