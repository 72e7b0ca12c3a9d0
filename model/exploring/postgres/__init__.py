"""Explored worlds on a real PostgreSQL: who waits for whom, what commutes, what a state is."""
