"""The code under test: hold strategies a ticket shop could run in production, unchanged.

Nothing in this folder imports anything else of Holdfast, and nothing in it reads a clock, draws a
random number or starts a thread: the world is reached only through the `Stores` it is given.
"""
