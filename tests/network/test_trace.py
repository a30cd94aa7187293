"""The journal: every association is a row, and on demand every PDU and message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.presentation import build_context

from pacslab.archive import Archive, schema
from pacslab.archive.journal import Journal, entries, now
from pacslab.errors import NetworkError
from pacslab.network import client
from pacslab.network.trace import describe
from tests.making import instance
from tests.network.conftest import HOST, Node

CT = str(CTImageStorage)


@pytest.fixture
def journal(archive: Archive) -> Iterator[Journal]:
    with Journal(archive.database) as journal:
        yield journal


def rows(journal: Journal, archive: Archive, table: Any = schema.associations) -> list[Any]:
    assert journal.flush()
    return list(entries(archive.database, table))


def test_an_association_is_a_row(serve: Callable[..., Node], journal: Journal) -> None:
    node = serve(journal=journal)
    node.send(instance(SOPInstanceUID="1.2.3"), instance())
    node.send(instance(SOPInstanceUID="1.2.3", Rows=8))
    node.next_ended()
    node.next_ended()
    first, second = rows(journal, node.archive)
    assert [first["id"], second["id"]] == [1, 2]
    assert (first["CallingAETitle"], first["CalledAETitle"]) == ("PACSLAB", "PACSLAB")
    assert (first["PeerHost"], first["Ending"], first["Reason"]) == (HOST, "released", "")
    assert (first["Messages"], first["Stored"], first["Refused"]) == (2, 2, 0)
    assert (second["Stored"], second["Refused"]) == (0, 1)
    assert first["StartedAt"] < first["EndedAt"]
    assert first["BytesReceived"] > 1000 > first["BytesSent"] > 200
    context, *_ = json.loads(first["Contexts"])
    assert (context["abstract_syntax_uid"], context["result"]) == (CT, "accepted")
    assert rows(journal, node.archive, schema.pdus) == []
    assert rows(journal, node.archive, schema.messages) == []


def test_a_rejected_one_too(serve: Callable[..., Node], journal: Journal) -> None:
    node = serve(journal=journal, calling_ae_titles=["CT1"])
    with pytest.raises(NetworkError):
        client.echo(HOST, node.port, ae_title="X", calling_ae_title="CT3")
    node.next_ended()
    (row,) = rows(journal, node.archive)
    assert (row["CallingAETitle"], row["Ending"]) == ("CT3", "rejected")
    assert row["Reason"] == "Calling AE title not recognised, Service User"


def test_every_pdu_and_message(serve: Callable[..., Node], journal: Journal) -> None:
    node = serve(journal=journal, trace=True)
    contexts = [build_context(CT, "1.2.840.10008.1.2.1"), build_context("1.2.840.10008.1.1")]
    association = AE("TEACHER").associate(HOST, node.port, contexts=contexts)
    assert association.send_c_echo().Status == 0
    association.release()
    node.send(instance(SOPInstanceUID="1.2.3", PatientName="Secret^Name"))
    node.next_ended()
    node.next_ended()
    told = rows(journal, node.archive, schema.pdus)
    mine = [(p["Direction"], p["Type"], p["Summary"]) for p in told if p["AssociationID"] == 1]
    assert mine == [
        ("received", "A-ASSOCIATE-RQ", "TEACHER calls ANY-SCP, 2 contexts"),
        ("sent", "A-ASSOCIATE-AC", "2 of 2 contexts accepted"),
        ("received", "P-DATA-TF", "C-ECHO-RQ"),
        ("sent", "P-DATA-TF", "C-ECHO-RSP 0x0000"),
        ("received", "A-RELEASE-RQ", ""),
        ("sent", "A-RELEASE-RP", ""),
    ]
    asked = json.loads(told[0]["Fields"])
    assert asked["Contexts"][0]["Abstract syntax"] == f"CT Image Storage ({CT})"
    messages = rows(journal, node.archive, schema.messages)
    assert [(m["Type"], m["Status"]) for m in messages] == [
        ("C-ECHO-RQ", None),
        ("C-ECHO-RSP", "0x0000"),
        ("C-STORE-RQ", None),
        ("C-STORE-RSP", "0x0000"),
    ]
    store, response = messages[2:]
    assert (store["SOPClassUID"], store["SOPInstanceUID"]) == (CT, "1.2.3")
    assert store["DataSetSize"] > 100
    assert response["DataSetSize"] is None
    assert "Secret" not in json.dumps([told, messages])


@pytest.mark.parametrize(
    ("pdu", "words"),
    [
        (b"\x03\0\0\0\0\x04\0\1\1\3", "Calling AE title not recognised"),
        (b"\x07\0\0\0\0\x04\0\0\0\0", "by the DUL service-user"),
        (b"\x07\0\0\0\0\x04\0\0\2\6", "Invalid PDU parameter value"),
        (b"\x04\0\0\0\0\x08\0\0\0\4\1\0ab", "data set goes on, 2 bytes"),
    ],
)
def test_what_a_pdu_says(pdu: bytes, words: str) -> None:
    assert words in describe(pdu)[0]


def test_associations_that_a_killed_server_left_are_lost(archive: Archive) -> None:
    with Journal(archive.database) as journal:
        journal.association(StartedAt=now(), PeerHost=HOST, PeerPort=1)
        assert [r["Ending"] for r in rows(journal, archive)] == ["running"]
    with Journal(archive.database) as journal:
        (row,) = rows(journal, archive)
        assert (row["Ending"], row["Reason"]) == ("lost", "the server ended without a word")
        journal.association(StartedAt=now(), PeerHost=HOST, PeerPort=2)
        assert [r["id"] for r in rows(journal, archive)] == [1, 2]


def test_the_journal_survives_reindexing(archive: Archive, journal: Journal) -> None:
    archive.add(instance())
    journal.association(StartedAt=now(), PeerHost=HOST, PeerPort=1)
    before = archive.revision()
    journal.association(StartedAt=now(), PeerHost=HOST, PeerPort=2)
    assert len(rows(journal, archive)) == 2
    assert archive.revision() == before  # nothing of the archive has changed
    archive.reindex()
    assert len(rows(journal, archive)) == 2
