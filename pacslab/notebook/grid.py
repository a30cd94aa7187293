"""A table of one page of rows, one of which can be chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pandas as pd
from itables.widget import ITable

_OPTIONS: Final[dict[str, Any]] = {
    "select": "single",
    "paging": False,
    "ordering": False,
    "layout": dict.fromkeys(("topStart", "topEnd", "bottomStart", "bottomEnd")),
    "classes": "display compact nowrap",
    "scrollX": True,
    "showIndex": False,
}


class Grid:
    """The rows of one page; whoever wants to know is told which is chosen."""

    def __init__(self) -> None:
        self.rows = pd.DataFrame()
        self.widget = ITable(self.rows, **_OPTIONS)
        self._tell: Callable[[pd.Series[Any]], None] | None = None
        self.widget.observe(self._chosen, "selected_rows")

    def show(self, rows: pd.DataFrame) -> None:
        """Other rows, of which none is chosen."""
        self.rows = rows
        self.widget.update(rows, selected_rows=[], **_OPTIONS)

    def on_select(self, tell: Callable[[pd.Series[Any]], None]) -> None:
        """Have this called with each row that is chosen."""
        self._tell = tell

    def _chosen(self, change: Any) -> None:
        if self._tell is not None and change["new"]:
            self._tell(self.rows.iloc[change["new"][0]])
