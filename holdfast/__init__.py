"""The front door: compare strategies, replay a run, judge a history; the `holdfast` command.

From Python: `compare` runs what `holdfast compare` runs and returns a `CompareResult`; `simulate`
runs one `model.spec.RunSpec`; `judge` judges one history. With more than one job, call `compare`
under `if __name__ == "__main__":`, because worker processes import the calling script.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.comparison import CompareResult, compare
    from model.run import simulate
    from properties.judge import judge

__version__ = "0.1.0"

__all__ = ["CompareResult", "__version__", "compare", "judge", "simulate"]

_HOMES = {
    "CompareResult": "holdfast.comparison",
    "compare": "holdfast.comparison",
    "simulate": "model.run",
    "judge": "properties.judge",
}


def __getattr__(name: str) -> Any:
    """Import on first use: `holdfast --help` should not wait for SQLAlchemy and fakeredis."""
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
