"""What must be true of a sale: invariants judged on recorded histories, and what the verdicts mean.

Start at `properties.judge`. An invariant is a pure function of `model.history.History`; it never
runs the code under test, so old histories can be judged again.
"""
