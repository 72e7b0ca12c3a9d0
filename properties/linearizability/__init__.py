"""Is there an order of the calls in which a box office could have given all these answers?

`box_office` turns a history into moves of a box office (take, give back, refuse), each with the
span of time in which it happened; `search` looks for an order. `docs/linearizable.md` states the
specification. The algorithm is that of Wing and Gong (1993) with Lowe's just-in-time
linearization and memoised configurations (2017).
"""
