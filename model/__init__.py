"""The SimPy model: scenarios, buyers, the kernel, the simulated stores and the history.

The only folder that imports `simpy` and `greenlet`.
"""
