"""One module per invariant; each exports `INVARIANT`, listed in `properties.judge.INVARIANTS`."""
