"""The ground all executions of one small world stand on: an open database, an opened sale."""

from sqlalchemy import insert

from model.buyers import EVENT_ID, seat_names
from model.exploring.database import open_explored
from model.exploring.kernel import ChoosingKernel
from model.exploring.programs import PRICE_CENTS
from model.exploring.shop import Shop
from model.exploring.small_world import SmallWorld
from reservation.tables import events, metadata, seats


class Ground:
    """What all executions of one small world share: an open database, an opened sale."""

    def __init__(self, small: SmallWorld) -> None:
        self.small = small
        self.database = open_explored(small)
        self.scripts: dict[bytes, bytes] = {}
        kernel = ChoosingKernel()
        self.database.reset(kernel)
        shop = Shop(small, kernel, self.database)
        self._open(shop)
        self.fake = None if shop.redis is None else shop.redis.fake
        self.redis_dump = b"" if shop.redis is None else shop.redis._dump()  # noqa: SLF001
        self.database.remember()

    def _open(self, shop: Shop) -> None:
        small, engine = self.small, shop.back_office.engine
        metadata.create_all(engine)
        event = {
            "id": EVENT_ID,
            "capacity": small.capacity,
            "remaining_ticket": small.capacity,
            "price_cents": PRICE_CENTS,
        }
        with engine.begin() as connection:
            connection.execute(insert(events), [event])
            if small.seats:
                names = seat_names(small.capacity, 20)
                rows = [{"event_id": EVENT_ID, "seat_no": n, "status": "available"} for n in names]
                connection.execute(insert(seats), rows)
        shop.back_office.strategy.open_sale(EVENT_ID)

    def reset(self, kernel: ChoosingKernel) -> None:
        """Put the opened sale back."""
        self.database.reset(kernel)

    def reset_redis(self, shop: Shop) -> None:
        """Give the shop's Redis the sale as it was opened, and the scripts it will be asked for."""
        redis = shop.redis
        if redis is None or self.fake is None:
            return
        redis.fake = self.fake
        redis._fresh_keyspace()  # noqa: SLF001
        redis._load(self.redis_dump)  # noqa: SLF001
        redis._checkpoints = [(0, self.redis_dump)]  # noqa: SLF001
        self.fake.script_cache = dict(self.scripts)

    def close(self) -> None:
        """Close the database."""
        self.database.close()
