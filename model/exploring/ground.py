"""The ground all executions of one small world stand on: an open database, an opened sale."""

from sqlalchemy import insert

from chaos.faults import Target
from model.buyers import EVENT_ID, seat_names
from model.exploring.kernel import ChoosingKernel, ChoosingLink
from model.exploring.programs import PRICE_CENTS
from model.exploring.shop import TIMEOUT_S, TRAVEL, Shop
from model.exploring.small_world import SmallWorld
from model.kernel import Places
from model.sqlite.server import SimulatedSQLite
from reservation.tables import events, metadata, seats


class Ground:
    """What all executions of one small world share: an open database, an opened sale."""

    def __init__(self, small: SmallWorld) -> None:
        self.small = small
        kernel = ChoosingKernel()
        link = ChoosingLink(kernel, Target.DATABASE, TIMEOUT_S)
        self.database = SimulatedSQLite(
            kernel, link, statement=TRAVEL, commit=TRAVEL, lock_timeout_s=TIMEOUT_S
        )
        self.scripts: dict[bytes, bytes] = {}
        shop = Shop(small, kernel, self.database)
        self._open(shop)
        self.fake = None if shop.redis is None else shop.redis.fake
        self.redis_dump = b"" if shop.redis is None else shop.redis._dump()  # noqa: SLF001
        main = self.database._main  # noqa: SLF001
        self._rows = {
            table.name: main.execute(f"SELECT * FROM {table.name}").fetchall()  # noqa: S608
            for table in metadata.sorted_tables
        }

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
        database = self.database
        database.kernel = kernel
        database.link = ChoosingLink(kernel, Target.DATABASE, TIMEOUT_S)
        database.write_lock = Places(kernel.env, 1)
        main = database._main  # noqa: SLF001
        if main.in_transaction:  # somebody never ended theirs
            main.execute("ROLLBACK")
        for table in reversed(metadata.sorted_tables):
            main.execute(f"DELETE FROM {table.name}")  # noqa: S608
        for name, rows in self._rows.items():
            if rows:
                marks = ",".join("?" * len(rows[0]))
                main.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608

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
