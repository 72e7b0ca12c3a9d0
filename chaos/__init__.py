"""Everything about breaking things: the fault vocabulary as plain data, and fault plans.

This folder knows no SimPy: the simulated arm (`model`) and the live arm interpret the same data,
and each refuses, with `UnsupportedFault`, what it cannot do.
"""
