"""Stacks of real servers for the live arm: a Redis, a PostgreSQL and, when found, a Toxiproxy."""
