"""The sequence diagram: well-formed, an arrow a PDU, fields under the mouse."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pacslab.archive import Archive
from pacslab.errors import NotFoundError
from pacslab.notebook.sequence import SequenceDiagram, sequence, show

SVG = "{http://www.w3.org/2000/svg}"
ROW: dict[str, Any] = {
    "id": 7,
    "StartedAt": "2026-01-01T10:00:00.000000+00:00",
    "EndedAt": "2026-01-01T10:00:01.000000+00:00",
    "CallingAETitle": "<CT&1>",
    "CalledAETitle": "PACSLAB",
    "PeerHost": "10.0.0.1",
    "PeerPort": 4711,
    "Ending": "released",
    "Reason": "",
    "Messages": 3,
    "Stored": 2,
    "AlreadyThere": 1,
    "Refused": 0,
    "Contexts": json.dumps(
        [
            {
                "context_id": 1,
                "abstract_syntax_uid": "1.2.840.10008.1.1",
                "proposed_transfer_syntax_uids": ["1.2.840.10008.1.2"],
                "result": "accepted",
                "transfer_syntax_uid": "1.2.840.10008.1.2",
            }
        ]
    ),
}


def pdu(kind: str, summary: str, *, sent: bool = False, ms: int = 0, **fields: Any) -> Any:
    return {
        "At": f"2026-01-01T10:00:00.{ms:03d}000+00:00",
        "Direction": "sent" if sent else "received",
        "Type": kind,
        "Length": 100,
        "Summary": summary,
        "Fields": json.dumps(fields),
    }


def arrows(diagram: SequenceDiagram) -> list[tuple[str, str]]:
    """What stands on each arrow, and what the mouse shows."""
    root = ET.fromstring(diagram.svg)
    groups = [g for g in root.iter(f"{SVG}g") if g.get("class") == "pdu"]
    return [
        ("".join(g.findall(f"{SVG}text")[1].itertext()), str(g.findtext(f"{SVG}title")))
        for g in groups
    ]


def test_an_arrow_a_pdu_with_its_fields() -> None:
    contexts = [{"ID": 1, "Abstract syntax": "Verification"}]
    diagram = sequence(
        ROW,
        [
            pdu("A-ASSOCIATE-RQ", "<CT&1> calls PACSLAB", Contexts=contexts),
            pdu("A-ABORT", "by the DUL service-user", sent=True, ms=12),
        ],
        "PACSLAB",
    )
    (asked, fields), (abort, _) = arrows(diagram)
    assert asked == "A-ASSOCIATE-RQ <CT&1> calls PACSLAB"
    assert "Contexts:\n  - ID: 1\n    Abstract syntax: Verification" in fields
    assert abort == "A-ABORT by the DUL service-user"
    assert "+12.0 ms" in diagram.svg
    assert diagram.svg in diagram._repr_html_()


def test_the_pieces_of_a_data_set_are_one_arrow() -> None:
    pieces = [pdu("P-DATA-TF", "data set goes on, 100 bytes") for _ in range(4)]
    told = [*pieces, pdu("P-DATA-TF", "data set, 3 bytes"), pdu("P-DATA-TF", "C-STORE-RQ")]
    assert [a for a, _ in arrows(sequence(ROW, told, "US"))] == [
        "P-DATA-TF data set, in 5 PDUs",
        "P-DATA-TF C-STORE-RQ",
    ]


def test_a_long_one_is_cut_in_the_middle() -> None:
    told = [pdu("P-DATA-TF", f"C-ECHO-RQ {i}") for i in range(500)]
    diagram = sequence(ROW, told, "US")
    assert len(arrows(diagram)) == 80
    assert "420 more" in diagram.svg


@pytest.mark.parametrize(
    ("ending", "reason", "last"),
    [
        ("released", "", "A-RELEASE-RP "),
        ("aborted", "by the peer", "A-ABORT by the peer"),
        ("rejected", "Called AE title not recognised", "A-ASSOCIATE-RJ Called AE title not "
                                                       "recognised"),
        ("lost", "the connection ended", "P-DATA-TF 3 Messages, 2 Stored, 1 AlreadyThere"),
    ],
)  # fmt: skip
def test_without_pdus_it_shows_what_the_row_tells(ending: str, reason: str, last: str) -> None:
    told = arrows(sequence({**ROW, "Ending": ending, "Reason": reason}, [], "US"))
    assert told[0] == (
        "A-ASSOCIATE-RQ <CT&1> calls PACSLAB, 1 contexts",
        "1: 1.2.840.10008.1.1 (1.2.840.10008.1.2)",
    )
    assert told[-1][0] == last


def test_there_is_none_yet(archive: Archive) -> None:
    with pytest.raises(NotFoundError, match="no association yet"):
        show(archive)
    with pytest.raises(NotFoundError, match="no association 3"):
        show(archive, 3)
