"""A counterexample as people read it: a table with a column an actor, Mermaid, SVG."""
