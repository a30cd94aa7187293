"""The card: what an archive holds and where its servers answer, as HTML for a cell.

The token stands in no output, since what a cell shows is saved with the notebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

_STYLE: Final = """<style>
.pacslab-card{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;
 border:1px solid var(--jp-border-color2,#ccc);border-left:4px solid #2b8a8a;border-radius:6px;
 padding:12px 16px;max-width:760px;color:var(--jp-ui-font-color1,#222)}
.pacslab-card h3{margin:0 0 2px;font-size:16px}
.pacslab-card .where{color:var(--jp-ui-font-color2,#666);font-family:monospace;font-size:12px}
.pacslab-card .counts{display:flex;gap:28px;margin:12px 0}
.pacslab-card .counts b{display:block;font-size:20px;font-weight:600}
.pacslab-card .counts span{color:var(--jp-ui-font-color2,#666)}
.pacslab-card table{border-collapse:collapse;font-size:12px}
.pacslab-card td{text-align:left !important;padding:2px 14px 2px 0;vertical-align:top;border:none}
.pacslab-card code{font-size:12px}
.pacslab-card .dot{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:6px}
</style>"""


def card(
    directory: Path,
    counts: Mapping[str, int],
    facts: Sequence[tuple[str, str]],
    *,
    running: bool,
    refused: int = 0,
) -> str:
    """The HTML of the card; ``facts`` are shown as a table of names and values."""
    state = "running" if running else "stopped"
    colour = "#2b9a5b" if running else "#b0b0b0"
    numbers = "".join(
        f"<div><b>{number:,}</b><span>{escape(name)}</span></div>"
        for name, number in counts.items()
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(value)}</code></td></tr>"
        for name, value in facts
    )
    if refused:
        rows += f"<tr><td>quarantine</td><td>{refused:,} refused, see lab.quarantine</td></tr>"
    return (
        f'{_STYLE}<div class="pacslab-card"><h3>pacslab</h3>'
        f'<div class="where">{escape(str(directory))}</div>'
        f'<div class="counts">{numbers}</div>'
        f'<div><span class="dot" style="background:{colour}"></span>server {state}</div>'
        f"<table>{rows}</table></div>"
    )
