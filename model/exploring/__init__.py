"""Small worlds whose every crossing waits for a chooser: the engine under schedule exploration."""
