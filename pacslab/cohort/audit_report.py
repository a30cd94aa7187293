"""The audit as HTML: a page to read and sign, and a few lines for a notebook's cell."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from pacslab.deid.table import EDITION

if TYPE_CHECKING:
    from pacslab.cohort.audits import About

_STYLE: Final = """
:root{color-scheme:light}body{font:14px/1.5 system-ui,sans-serif;color:#1d2428;margin:0;
background:#f3f5f5}main{max-width:980px;margin:24px auto;background:#fff;padding:36px 48px;
border-top:6px solid #2b8a8a}h1{font-size:25px;margin:0 0 4px}h2{font-size:17px;margin:34px 0 8px;
border-bottom:1px solid #d5dcdc;padding-bottom:4px}p{margin:6px 0;max-width:76ch}
.note{color:#5a676b}
table{border-collapse:collapse;width:100%;font-size:12.5px;margin:8px 0}
th{text-align:left;font-weight:600;background:#eef2f2}td,th{padding:4px 9px;vertical-align:top;
border-bottom:1px solid #e3e8e8;overflow-wrap:anywhere}
td:first-child{min-width:150px}td.n,th.n{text-align:right;
font-variant-numeric:tabular-nums;overflow-wrap:normal}
.tiles{display:flex;gap:12px;flex-wrap:wrap;margin:18px 0}.tile{border:1px solid #d5dcdc;
border-radius:6px;padding:10px 18px;min-width:96px}.tile b{display:block;font-size:24px}
.verdict{padding:12px 16px;border-radius:6px;font-weight:600}.good{background:#e0f2e7;color:#14532d}
.bad{background:#fbe6e3;color:#7f1d1d}.tag{border-radius:4px;padding:1px 7px;font-size:11.5px;
white-space:nowrap}.high,.no{background:#f6cdc8}.medium{background:#fae6bf}.low{background:#e4e9ea}
.yes,.accepted,.fixed{background:#cfead9}.open{background:#f6cdc8}
.sign{display:grid;grid-template-columns:1fr 1fr;gap:44px 40px;margin-top:56px}
.sign div{border-top:1px solid #1d2428;padding-top:4px;font-size:12px}
.wide{overflow-x:auto}@media print{body{background:#fff}main{margin:0;padding:0;border:0}
h2{break-after:avoid}tr{break-inside:avoid}}
"""
_MEANT: Final = (
    "<p>The files were read byte by byte by a program that shares no code with the one that "
    "de-identified them. <b>alone</b>: it looks like an identifier. <b>against</b>: it stands in "
    "the source. Details are masks (letters as x, digits as 9): this report holds no original "
    "value. What no program finds: faces in images of the head, faint text in the pixels, names "
    "that nothing else says, rare diseases.</p>"
)
_MOST: Final = 400


def page(
    about: About,
    summary: pd.DataFrame,
    before_after: pd.DataFrame,
    checks: pd.DataFrame,
    actions: pd.DataFrame,
) -> str:
    """One self-contained HTML file."""
    parts = [
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>De-identification audit: {escape(about.archive)}</title>",
        f"<style>{_STYLE}</style></head><body><main>",
        f"<h1>De-identification audit</h1><p class='note'>{_of(about)}</p>",
        _verdict(summary, checks),
        _tiles(about, summary),
        _MEANT,
        "<h2>Findings</h2>",
        _table(summary, "Nothing was found."),
    ]
    if len(checks):
        parts += ["<h2>Over all instances</h2>", _table(checks, "")]
    if len(before_after):
        parts += [
            "<h2>Before and after, by attribute</h2><p class='note'>How often an attribute had a "
            "value before and after, and what became of it, told from the bytes of both; the names "
            "of the actions are MIDI-B's (arXiv 2507.23608).</p><div class='wide'>",
            _table(before_after, ""),
            "</div>",
        ]
    if len(actions):
        parts += [
            "<h2>What the de-identification says it did</h2><p class='note'>From its log, by the "
            f"rule or option of PS3.15 (edition {EDITION}) that asked for it.</p>",
            _table(actions, ""),
        ]
    parts += [_SIGN, "</main></body></html>"]
    return "".join(parts)


def cell(about: About, summary: pd.DataFrame, checks: pd.DataFrame) -> str:
    """The findings in a notebook's cell."""
    style = _STYLE.replace("body{", ".pacslab-audit{").replace(":root", ".pacslab-audit")
    scoped = style.replace("background:#f3f5f5", "max-width:980px")
    return (
        f"<style>@scope (.pacslab-audit){{{scoped}}}</style><div class='pacslab-audit'>"
        f"<p class='note'>{_of(about)}</p>{_verdict(summary, checks)}{_tiles(about, summary)}"
        f"{_table(summary.head(30), 'Nothing was found.')}{_table(checks, '')}</div>"
    )


_SIGN: Final = (
    "<h2>Review</h2><p>I have read the findings above, looked at the images where they ask for it, "
    "and decided about each open finding.</p><p>Released: &#9744; yes &nbsp; &#9744; no &nbsp; "
    "&#9744; with conditions: ______________________________________</p>"
    "<div class='sign'><div>Name</div><div>Place, date</div><div>Function</div>"
    "<div>Signature</div></div>"
)


def _of(about: About) -> str:
    against = f" against its source <b>{escape(about.source)}</b>" if about.source else " alone"
    return (
        f"<b>{escape(about.archive)}</b>, audited{against} on {escape(about.at)} by "
        f"{escape(about.who)}"
    )


def _verdict(summary: pd.DataFrame, checks: pd.DataFrame) -> str:
    open_ = summary[summary["status"] == "open"]
    failed = int((checks["result"] == "no").sum()) if len(checks) else 0
    if open_.empty and not failed:
        return "<p class='verdict good'>No open finding.</p>"
    told = []
    if len(open_):
        told.append(f"{len(open_)} kinds of open findings")
    if failed:
        told.append(f"{failed} of the checks over all instances not passed")
    return f"<p class='verdict bad'>{' and '.join(told)}: to be decided before release.</p>"


def _tiles(about: About, summary: pd.DataFrame) -> str:
    numbers: list[tuple[str, Any]] = [("instances", about.instances)]
    if about.source:
        numbers += [("with their source", about.paired), ("originals searched", about.originals)]
    open_ = summary[summary["status"] == "open"]
    for severity in ("high", "medium", "low"):
        many = int(open_.loc[open_["severity"] == severity, "instances"].sum())
        numbers.append((f"open, {severity}", many))
    accepted = summary[summary["status"] == "accepted"]
    numbers.append(("accepted", int(accepted["instances"].sum())))
    tiles = "".join(f"<div class='tile'><b>{n:,}</b>{escape(what)}</div>" for what, n in numbers)
    return f"<div class='tiles'>{tiles}</div>"


def _table(frame: pd.DataFrame, empty: str) -> str:
    if frame.empty:
        return f"<p>{empty}</p>" if empty else ""
    kinds = {c: pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns}
    head = "".join(
        f"<th{' class=n' if kinds[c] else ''}>{escape(str(c)).replace('_', '_<wbr>')}</th>"
        for c in frame.columns
    )
    rows = "".join(_row(row, kinds) for row in frame.head(_MOST).to_dict("records"))
    more = f"<p class='note'>and {len(frame) - _MOST} more</p>" if len(frame) > _MOST else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _row(row: dict[Any, Any], kinds: dict[Any, bool]) -> str:
    return f"<tr>{''.join(_cells(row, kinds))}</tr>"


def _cells(row: dict[Any, Any], kinds: dict[Any, bool]) -> Iterable[str]:
    for column, value in row.items():
        if kinds[column]:
            yield f"<td class=n>{value:,}</td>" if value else "<td class=n>&middot;</td>"
        elif column in {"severity", "status", "result"}:
            yield f"<td><span class='tag {escape(str(value))}'>{escape(str(value))}</span></td>"
        else:
            # Long names of attributes may break at their points
            yield f"<td>{escape(str(value)).replace('.', '.<wbr>')}</td>"
