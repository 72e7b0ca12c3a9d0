"""`holdfast live`: the comparison on real servers, and whether the simulation agrees with it."""
