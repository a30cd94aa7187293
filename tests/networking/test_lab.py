"""What a notebook does with other nodes: a Lab beside a node that is somebody else's."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from pacslab import Lab
from pacslab.archive import Archive
from pacslab.errors import NetworkError, ServerError, UsageError
from pacslab.network.listener import DicomListener
from pacslab.network.node import Node
from tests.conftest import dicom_file
from tests.making import instance
from tests.network.conftest import HOST, data_set
from tests.network.test_find import STUDY_A, STUDY_B, fill


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[DicomListener]:
    """Somebody else's PACS with three studies."""
    with Archive(tmp_path / "pacs") as archive:
        fill(archive)
        archive.add(dicom_file("MR_small_jp2klossless.dcm").read_bytes())
        with DicomListener(archive, ae_title="PACS", port=0) as listener:
            yield listener


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "lab") as made:
        yield made


def address(pacs: DicomListener) -> str:
    return f"PACS@{HOST}:{pacs.port}"


def test_find(lab: Lab, pacs: DicomListener) -> None:
    found = lab.find("STUDY", address(pacs), PatientName="DOE*")
    assert list(found["StudyInstanceUID"]) == [STUDY_A]
    assert list(found["ModalitiesInStudy"]) == ["CT\\SR"]
    assert found.columns[0] == "PatientName"
    images = lab.find("INSTANCE", address(pacs), PatientID="P1", columns=["InstanceNumber"])
    assert list(images.columns) == ["PatientID", "InstanceNumber"]
    assert sorted(images["InstanceNumber"]) == [1, 1, 2]
    assert len(lab.find("PATIENT", address(pacs))) == 4
    assert len(lab.find("SERIES", address(pacs), limit=2)) == 2
    nobody = lab.find("STUDY", address(pacs), PatientID="nobody")
    assert next(iter(nobody.columns)) == "PatientID"
    assert nobody.empty


def test_find_that_fails_says_why(lab: Lab, pacs: DicomListener) -> None:
    with pytest.raises(NetworkError, match=r"0xA900.*YYYYMMDD"):
        lab.find("STUDY", address(pacs), StudyDate="yesterday")
    with pytest.raises(UsageError, match="no DICOM keyword"):
        lab.find("STUDY", address(pacs), PatientNam="x")
    with pytest.raises(UsageError, match="'NOBODY' is no peer with a port"):
        lab.find("STUDY", "NOBODY")
    with pytest.raises(ServerError, match=r"lab\.serve"):
        lab.find("STUDY")


def test_get_what_was_found(lab: Lab, pacs: DicomListener) -> None:
    found = lab.find("SERIES", address(pacs), PatientID="P1")
    got = lab.get(found, address(pacs), progress=False)
    assert list(got["Status"]) == ["stored"] * 3
    assert lab.counts["instances"] == 3
    again = lab.get(None, address(pacs), StudyInstanceUID=STUDY_A, progress=False)
    assert set(again["Status"]) == {"already there"}


def test_get_brings_what_is_stored_as_it_is(lab: Lab, pacs: DicomListener) -> None:
    file = dicom_file("MR_small_jp2klossless.dcm")
    found = lab.find("STUDY", address(pacs), PatientName="CompressedSamples*")
    lab.get(found, address(pacs), progress=False)
    (stored,) = lab.archive.instances()
    assert data_set(stored.path.read_bytes()) == data_set(file.read_bytes())


def test_get_of_what_is_gone(lab: Lab, pacs: DicomListener, tmp_path: Path) -> None:
    for path in (tmp_path / "pacs" / "files" / STUDY_A / "1.2.3.1.2").iterdir():
        path.unlink()
    got = lab.get(None, address(pacs), StudyInstanceUID=STUDY_A, progress=False)
    assert sorted(got["Status"]) == ["not retrieved", "stored", "stored"]
    with pytest.raises(NetworkError, match="nothing was retrieved"):
        lab.get(None, address(pacs), StudyInstanceUID=STUDY_A, SeriesInstanceUID="1.2.3.1.2",
                progress=False)  # fmt: skip
    with pytest.raises(UsageError, match="say what to retrieve"):
        lab.get(None, address(pacs))


def test_move_to_a_third_node(lab: Lab, pacs: DicomListener, tmp_path: Path) -> None:
    with (
        Archive(tmp_path / "third") as third,
        DicomListener(third, ae_title="THIRD", port=0) as listener,
        Lab(tmp_path / "pacs") as theirs,
    ):
        with pytest.raises(NetworkError, match="0xA801"):
            lab.move(None, "THIRD", address(pacs), StudyInstanceUID=STUDY_B, progress=False)
        peers = theirs.add_peer("THIRD", HOST, listener.port, allow="store, query")
        assert list(peers["allow"]) == ["store, query"]
        found = lab.find("STUDY", address(pacs), StudyDate="20230101-")
        moved = lab.move(found, "THIRD", address(pacs), progress=False)
        assert list(moved["Status"]) == ["0x0000", "0x0000"]
        assert moved["Completed"].sum() == 4
        assert third.counts()["instances"] == 4
        assert theirs.remove_peer("THIRD").empty


def test_peers_have_names(lab: Lab, pacs: DicomListener) -> None:
    lab.add_peer("PACS", HOST, pacs.port, user="jane", password="secret")
    assert "password" not in lab.peers
    assert len(lab.find("STUDY", "PACS")) == 4
    node = lab.node("PACS", calling_ae_title="ME", user="jane", password="secret")
    assert isinstance(node, Node)
    assert "secret" not in repr(node)
    assert lab.echo(node).ae_title == "PACS"


def test_commit(lab: Lab, pacs: DicomListener) -> None:
    lab.get(None, address(pacs), StudyInstanceUID=STUDY_A, progress=False)
    rows = lab.commit(None, address(pacs))
    assert list(rows["Status"]) == ["committed"] * 3
    lab.archive.add(instance())
    rows = lab.commit(None, address(pacs))
    assert sorted(rows["Status"]) == ["committed"] * 3 + ["failed"]
    assert list(rows[rows["Status"] == "failed"]["Reason"]) == ["0x0112: no such object instance"]
    kept = lab.commitments
    assert list(kept["Role"]) == ["scu", "scu"]
    assert sorted(kept["Committed"]) == [3, 3]


def test_commitment_that_nobody_tells(lab: Lab, tmp_path: Path) -> None:
    """A peer that takes the request and then says nothing: pending, not for ever."""
    from pynetdicom import AE, evt

    lab.add(dicom_file("MR_small.dcm"), progress=False)
    ae = AE("MUTE")
    ae.add_supported_context("1.2.840.10008.1.20.1")
    asked: queue.Queue[object] = queue.Queue()

    def take(event: evt.Event) -> tuple[int, None]:
        asked.put(event.request)
        return 0, None

    server = ae.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, take)])
    try:
        rows = lab.commit(None, f"MUTE@{HOST}:{server.server_address[1]}", wait=1)
    finally:
        server.shutdown()
    assert list(rows["Status"]) == ["pending"]
    assert asked.qsize() == 1


def test_worklist(lab: Lab) -> None:
    assert lab.worklist.empty
    lab.schedule(PatientID="P1", PatientName="Doe^Jane", Modality="CT")
    shown = lab.schedule(PatientID="P2", Modality="MR", ScheduledStationAETitle="MR1")
    assert list(shown["PatientID"]) == ["P1", "P2"]
    assert set(shown["ScheduledProcedureStepStatus"]) == {"SCHEDULED"}
    assert "MedicalAlerts" not in shown
    assert shown["StudyInstanceUID"].is_unique
    changed = shown[shown["PatientID"] == "P2"].assign(Allergies="Latex")
    lab.worklist = pd.concat([changed, pd.DataFrame([{"PatientID": "P3", "Modality": "US"}])])
    assert list(lab.worklist["PatientID"]) == ["P2", "P3"]
    assert lab.worklist["Allergies"][0] == "Latex"
    with pytest.raises(UsageError, match="needs Modality"):
        lab.schedule(PatientID="P4")
    with pytest.raises(UsageError, match="no 'Colour'"):
        lab.schedule(PatientID="P4", Modality="CT", Colour="red")
    assert len(lab.worklist) == 2
    assert lab.performed_steps.empty


def test_worklist_of_another_node(lab: Lab, pacs: DicomListener, tmp_path: Path) -> None:
    with Lab(tmp_path / "pacs") as theirs:
        theirs.schedule(PatientID="P1", PatientName="Müller^Jörg", Modality="CT")
    found = lab.find("WORKLIST", address(pacs), Modality="CT")
    assert list(found["PatientName"]) == ["Müller^Jörg"]
    assert lab.find("WORKLIST", address(pacs), Modality="MR").empty
