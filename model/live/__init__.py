"""The live arm: the same buyers, strategies and faults on real servers in real time."""
