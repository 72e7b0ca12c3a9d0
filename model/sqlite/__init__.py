"""The simulated database: SQLite under READ COMMITTED rules, in virtual time."""
