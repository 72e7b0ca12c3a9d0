"""The simulated Redis: fakeredis on the virtual clock, with a disk that forgets honestly."""
