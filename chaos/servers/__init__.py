"""Real servers as child processes: a Redis, a PostgreSQL and a Toxiproxy in a private room."""
