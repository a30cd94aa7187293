"""The parts of the dashboard that are only looked at, as HTML; no patient's name is in them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from html import escape
from typing import Final

import ipywidgets as widgets

from pacslab.archive import Archive, schema
from pacslab.archive.journal import entries

_STYLE: Final = """<style>
.pacslab-dashboard{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;
 color:var(--jp-ui-font-color1,#222)}
.pacslab-numbers{display:flex;gap:32px;padding:4px 0 8px}
.pacslab-numbers b{display:block;font-size:24px;font-weight:600;line-height:1.2}
.pacslab-numbers span,.pacslab-label{color:var(--jp-ui-font-color2,#666);font-size:12px}
.pacslab-plots{display:flex;flex-wrap:wrap;gap:12px}
.pacslab-said{border-left:4px solid #2b8a8a;padding:6px 10px;background:rgba(43,138,138,.08)}
.pacslab-said.wrong{border-color:#b3402a;background:rgba(179,64,42,.08)}
.pacslab-server td{text-align:left !important;padding:2px 14px 2px 0;vertical-align:top;border:none}
</style>"""
_LAST: Final = 5


def style() -> widgets.HTML:
    """How all of it looks."""
    return widgets.HTML(_STYLE)


def label(text: str) -> widgets.HTML:
    """What a control is for."""
    return widgets.HTML(f'<div class="pacslab-label">{escape(text)}</div>')


def said(text: str, *, wrong: bool = False) -> str:
    """A message."""
    kind = " wrong" if wrong else ""
    return f'<div class="pacslab-said{kind}">{escape(text)}</div>'


def numbers(counts: Mapping[str, int]) -> str:
    """The counts, large."""
    each = "".join(
        f"<div><b>{n:,}</b><span>{escape(what)}</span></div>" for what, n in counts.items()
    )
    return f'<div class="pacslab-numbers">{each}</div>'


def row(*drawings: str) -> str:
    """Plots side by side."""
    return f'<div class="pacslab-plots">{"".join(drawings)}</div>'


def server(archive: Archive, where: str) -> str:
    """Where the server answers, the last associations, room on the disk, and what was refused."""
    room = shutil.disk_usage(archive.directory)
    refused = list(archive.quarantined())
    rows = [
        ("server", where),
        ("disk", f"{room.free / 1e9:,.1f} of {room.total / 1e9:,.1f} GB free"),
        ("quarantine", f"{len(refused):,} refused"),
        *((one.at[:19], f"{one.code}: {one.reason}") for one in refused[-_LAST:]),
        *_associations(archive),
    ]
    cells = "".join(f"<tr><td>{escape(n)}</td><td>{escape(v)}</td></tr>" for n, v in rows)
    return f'<table class="pacslab-server">{cells}</table>'


def _associations(archive: Archive) -> list[tuple[str, str]]:
    last = entries(archive.database, schema.associations, last=_LAST)
    return [
        (
            str(a["StartedAt"])[:19],
            f"{a['CallingAETitle'] or 'a connection'} from {a['PeerHost']}: {a['Ending']}, "
            f"{a['Stored'] or 0} stored, {a['Refused'] or 0} refused",
        )
        for a in last
    ]
