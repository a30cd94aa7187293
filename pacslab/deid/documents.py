"""What stands in the place of an encapsulated document: an empty one of its kind."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

_TITLE: Final = "Document removed by de-identification"


def empty(mime_type: str) -> bytes:
    """The smallest document of a MIME type that opens; two zero bytes where it isn't known."""
    kind = mime_type.partition(";")[0].partition("\0")[0].strip().lower()
    made: Callable[[], bytes] | None = {
        "application/pdf": _pdf,
        "text/xml": _cda,
        "application/xml": _cda,
        "model/stl": _stl,
        "application/sla": _stl,
        "model/obj": lambda: b"# removed\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "model/mtl": lambda: b"# removed\nnewmtl removed\n",
    }.get(kind)
    document = made() if made else b"\0\0"
    return document + bytes(len(document) % 2)


def _pdf() -> bytes:
    text = f"BT /F1 14 Tf 40 100 Td ({_TITLE}) Tj ET".encode()
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 200]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    number = len(bodies) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (number, table)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n" % (number, out.rindex(b"xref"))
    return out + trailer + b"%%EOF\n"


def _cda() -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3">'
        '<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
        f"<title>{_TITLE}</title></ClinicalDocument>\n"
    ).encode()


def _stl() -> bytes:
    """Binary STL: a header of 80 bytes, one triangle."""
    corners = (0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0)
    return bytes(80) + struct.pack("<I12fH", 1, *corners, 0)
