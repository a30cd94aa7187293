"""The viewer in a cell: a frame that finds its way to the server, and a still picture beside it.

What a cell displays is saved with the notebook. So the frame, with a token that is good for looking
only and for a while, is a widget's state, which lives in the kernel; what is saved is the picture.
"""

from __future__ import annotations

import os
from html import escape
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import ipywidgets as widgets

from pacslab.web import passes

_HIGH: Final = 640


class View(widgets.HTML):  # type: ignore[misc]  # ipywidgets has no types
    """The viewer, as a widget; ``still`` is the HTML that stands in its place without a kernel."""

    def __init__(self, address: str, still: str, height: int = _HIGH) -> None:
        self._still = still
        frame = (
            f'<iframe src="{escape(address)}" title="pacslab viewer" allowfullscreen '
            f'style="width:100%;height:{height}px;border:0;border-radius:6px;background:#0b0f14">'
            "</iframe>"
        )
        super().__init__(frame, layout=widgets.Layout(width="100%"))

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        if isinstance(shown, dict):
            shown["text/html"] = self._still
        return shown

    def _repr_html_(self) -> str:
        return self._still


def address(viewer: str, token: str, study: str, series: str | None) -> str:
    """Where a browser finds a study or series, by the notebook server's proxy where there is one.

    On a JupyterHub the browser doesn't reach the server's port, but jupyter-server-proxy passes it
    on at ``<prefix>proxy/<port>/``.
    """
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    base = f"{prefix}proxy/{urlsplit(viewer).port}/viewer/" if prefix else viewer
    asked = urlencode({"study": study} | ({"series": series} if series else {}))
    return f"{base}?{asked}#token={passes.lend(token)}"
