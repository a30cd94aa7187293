"""pacslab: a research PACS that lives in a notebook.

``Lab`` is the whole interface; see the notebooks for how it is used.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from pacslab.errors import PacslabError

if TYPE_CHECKING:
    from pacslab.lab import Lab

__version__ = version("pacslab")
__all__ = ["Lab", "PacslabError", "__version__"]


def __getattr__(name: str) -> object:
    # The command line and the server process don't need what the notebook needs (pandas, IPython).
    if name == "Lab":
        from pacslab.lab import Lab

        return Lab
    if name == "load_ipython_extension":  # what %load_ext pacslab asks for
        from pacslab.notebook.magic import load

        return load
    raise AttributeError(f"module 'pacslab' has no attribute {name!r}")
