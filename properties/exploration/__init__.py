"""Search for a schedule that breaks an invariant: exhaustive, PCT, random; and shrink what broke."""
