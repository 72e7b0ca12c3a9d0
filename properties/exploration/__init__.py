"""Search for a schedule that breaks an invariant: wholly, by PCT or at random; shrink it."""
