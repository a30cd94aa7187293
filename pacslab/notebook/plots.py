"""Small plots for a cell as SVG: they need no script, and stay when the notebook is read later."""

from __future__ import annotations

import json
from typing import Any, Final

import altair as alt
import pandas as pd
import vl_convert

_COLOUR: Final = "#2b8a8a"
_CONFIG: Final[dict[str, Any]] = {
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {"grid": False, "labelFontSize": 10, "titleFontSize": 11, "domainColor": "#aaa"},
    "bar": {"color": _COLOUR},
}


def bars(frame: pd.DataFrame, by: str, number: str, *, title: str, width: int = 220) -> str:
    """A bar a row, as SVG: ``by`` along the axis, ``number`` as its height."""
    order = None if pd.api.types.is_numeric_dtype(frame[by]) else "-y"
    chart = (
        alt.Chart(frame.astype({by: str}), title=title, width=width, height=110)
        .mark_bar()
        .encode(
            x=alt.X(f"{by}:N", title=None, sort=order),
            y=alt.Y(f"{number}:Q", title=None, axis=alt.Axis(tickCount=4, format="~s")),
            tooltip=[f"{by}:N", f"{number}:Q"],
        )
        .configure(**_CONFIG)
    )
    return str(vl_convert.vegalite_to_svg(json.dumps(chart.to_dict())))
