"""The contact sheet: one picture a series, in a cell and in the saved notebook."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from pacslab.archive import Archive, Stored
from pacslab.dicom.matching import Query
from pacslab.dicom.pixels import open_pixels
from pacslab.dicom.rendering import encode, render
from pacslab.errors import PacslabError

_STYLE: Final = """<style>
.pacslab-sheet{display:flex;flex-wrap:wrap;gap:10px;
 font-family:var(--jp-ui-font-family,system-ui,sans-serif)}
.pacslab-sheet figure{margin:0;width:SIZEpx}
.pacslab-sheet .picture{width:SIZEpx;height:SIZEpx;background:#000;display:flex;
 align-items:center;justify-content:center;border-radius:4px;overflow:hidden;color:#aaa;
 font-size:11px;text-align:center}
.pacslab-sheet .reason{padding:0 6px;box-sizing:border-box}
.pacslab-sheet figcaption{font-size:11px;line-height:1.35;margin-top:3px;
 color:var(--jp-ui-font-color2,#555);overflow-wrap:anywhere}
.pacslab-sheet figcaption b{color:var(--jp-ui-font-color1,#222)}
</style>"""


@dataclass(frozen=True)
class Picture:
    """One series on the sheet: a JPEG, or the reason why there is none."""

    series_instance_uid: str
    modality: str
    description: str
    number: int
    jpeg: bytes | None
    reason: str = ""


@dataclass(frozen=True)
class ContactSheet:
    """Pictures side by side; a cell shows them as HTML with the pictures inside."""

    pictures: tuple[Picture, ...]
    size: int
    left_out: int = 0

    def __repr__(self) -> str:
        more = f", {self.left_out} left out" if self.left_out else ""
        return f"<contact sheet of {len(self.pictures)} series{more}>"

    def _repr_html_(self) -> str:
        figures = "".join(map(self._figure, self.pictures))
        more = f"<p>{self.left_out:,} more series: raise limit.</p>" if self.left_out else ""
        style = _STYLE.replace("SIZE", str(self.size))
        return f'{style}<div class="pacslab-sheet">{figures}</div>{more}'

    def _figure(self, picture: Picture) -> str:
        images = f"{picture.number:,} image" + ("s" if picture.number != 1 else "")
        return (
            f'<figure title="{escape(picture.series_instance_uid)}">{self._picture(picture)}'
            f"<figcaption><b>{escape(picture.modality)}</b> {escape(picture.description)}"
            f"<br>{images}</figcaption></figure>"
        )

    def _picture(self, picture: Picture) -> str:
        if picture.jpeg is None:
            return f'<div class="picture reason">{escape(picture.reason)}</div>'
        data = base64.b64encode(picture.jpeg).decode("ascii")
        return f'<div class="picture"><img src="data:image/jpeg;base64,{data}" alt=""></div>'


def contact_sheet(
    archive: Archive, series_instance_uids: Iterable[str], *, size: int, limit: int
) -> ContactSheet:
    """Pictures of ``size`` pixels of the middle image of each series, at most ``limit`` series."""
    uids = list(dict.fromkeys(series_instance_uids))
    return ContactSheet(
        tuple(_picture(archive, uid, size) for uid in uids[:limit]), size, len(uids[limit:])
    )


def _picture(archive: Archive, uid: str, size: int) -> Picture:
    (row,) = archive.search(Query.build("SERIES", {"SeriesInstanceUID": uid}))
    stored = list(archive.instances(series_instance_uid=uid))
    jpeg, reason = _jpeg(archive, stored, size)
    return Picture(
        uid,
        row["Modality"] or "?",
        row["SeriesDescription"] or row["StudyDescription"] or "",
        sum(s.number_of_frames or 1 for s in stored),
        jpeg,
        reason,
    )


def _jpeg(archive: Archive, stored: Sequence[Stored], size: int) -> tuple[bytes | None, str]:
    middle = stored[len(stored) // 2]
    try:
        with open_pixels(archive.data(middle)) as pixels:
            picture = render(pixels, pixels.number_of_frames // 2, viewport=(size, size))
            return encode(picture, "image/jpeg", quality=80), ""
    except PacslabError as error:
        return None, error.message
