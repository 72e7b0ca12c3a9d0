"""Lets `python -m holdfast` do what the `holdfast` command does."""

from holdfast.cli import main

if __name__ == "__main__":
    main()
