"""Modality Worklist and Modality Performed Procedure Step as SCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from pacslab.archive import worklist as table
from pacslab.network.client_query import find
from pacslab.network.contexts import PERFORMED_STEP, WORKLIST_FIND
from pacslab.network.node import Node as Peer
from tests.making import item
from tests.network.conftest import HOST, Node, run

MPPS_UID = "1.2.3.4.5"


@pytest.fixture
def scheduled(node: Node) -> Node:
    table.add(
        node.archive.database,
        [
            {"PatientID": "P1", "PatientName": "Doe^Jane", "Modality": "CT",
             "ScheduledStationAETitle": "CT1", "ScheduledProcedureStepStartDate": "20240131",
             "ScheduledProcedureStepStartTime": "0930", "StudyInstanceUID": "1.2.3",
             "ScheduledProcedureStepID": "S1", "RequestedProcedureDescription": "Head"},
            {"PatientID": "P2", "PatientName": "Müller^Jörg", "Modality": "MR",
             "ScheduledStationAETitle": "MR1", "ScheduledProcedureStepStartDate": "20240202",
             "ScheduledProcedureStepID": "S2", "PatientWeight": 80.5},
        ],
    )  # fmt: skip
    return node


def peer(node: Node) -> Peer:
    return Peer("PACSLAB", HOST, node.port)


def found(node: Node, **keys: Any) -> list[Any]:
    return [row["PatientID"] for row in find(peer(node), "WORKLIST", keys)[1]]


@pytest.mark.parametrize(
    ("keys", "who"),
    [
        ({}, ["P1", "P2"]),
        ({"Modality": "CT"}, ["P1"]),
        ({"ScheduledStationAETitle": "MR*"}, ["P2"]),
        ({"ScheduledProcedureStepStartDate": "20240101-20240201"}, ["P1"]),
        ({"ScheduledProcedureStepStartDate": "20240202-"}, ["P2"]),
        ({"ScheduledProcedureStepStartTime": "-093000", "Modality": "CT"}, ["P1"]),
        ({"ScheduledProcedureStepStartTime": "093000"}, ["P1"]),
        ({"PatientName": "muller*"}, ["P2"]),
        ({"PatientName": "DOE^JANE"}, ["P1"]),
        ({"PatientID": "P1", "Modality": "MR"}, []),
        ({"StudyInstanceUID": ["1.2.3", "1.2.4"]}, ["P1"]),
        ({"PatientWeight": "80.50"}, ["P2"]),
        ({"AccessionNumber": "?*"}, []),
    ],
)
def test_keys_in_and_beside_the_step(scheduled: Node, keys: Any, who: list[str]) -> None:
    assert found(scheduled, **keys) == who


def test_what_is_returned(scheduled: Node) -> None:
    _, rows = find(peer(scheduled), "WORKLIST", {"PatientID": "P1"})
    (row,) = rows
    assert row["ScheduledProcedureStepStartTime"] == "0930"
    assert row["RequestedProcedureDescription"] == "Head"
    assert row["RequestedProcedureID"] == "RP1"
    assert row["AccessionNumber"] is None


def test_wrong_values_and_levels(scheduled: Node) -> None:
    asked = Dataset()
    asked.ScheduledProcedureStepSequence = [item(ScheduledProcedureStepStartDate="")]
    asked.ScheduledProcedureStepSequence[0]["ScheduledProcedureStepStartDate"]._value = "soon"
    with associated(scheduled, WORKLIST_FIND) as association:
        statuses = [s.Status for s, _ in association.send_c_find(asked, WORKLIST_FIND)]
        assert statuses == [0xA900]
        # A key that the table doesn't have matches everything, and is told to be unsupported
        other = item(InstitutionName="x", PatientID="")
        statuses = [s.Status for s, _ in association.send_c_find(other, WORKLIST_FIND)]
        assert statuses == [0xFF01, 0xFF01, 0]


@pytest.mark.dcmtk
def test_findscu(scheduled: Node, tmp_path: Path) -> None:
    step = "(0040,0100)[0]."
    done = run("findscu", "-W", "-k", "PatientName", "-k", "SpecificCharacterSet=ISO_IR 100",
               "-k", f"{step}Modality=MR", "-k", f"{step}ScheduledProcedureStepStartDate",
               "-k", f"{step}ScheduledStationAETitle", "-od", tmp_path, "-X",
               HOST, scheduled.port)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (answer,) = tmp_path.glob("rsp*.dcm")
    told = pydicom.dcmread(answer)
    assert told.PatientName == "Müller^Jörg"
    assert told.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "MR1"


@pytest.mark.dcmtk
def test_findscu_with_an_empty_step(scheduled: Node, tmp_path: Path) -> None:
    done = run("findscu", "-W", "-k", "PatientID=P1", "-k", "ScheduledProcedureStepSequence",
               "-od", tmp_path, "-X", HOST, scheduled.port)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (answer,) = tmp_path.glob("rsp*.dcm")
    assert pydicom.dcmread(answer).ScheduledProcedureStepSequence[0].Modality == "CT"


# --- performed procedure steps --------------------------------------------------------------


@contextmanager
def associated(node: Node, sop_class: str) -> Iterator[Association]:
    ae = AE("CT1")
    ae.add_requested_context(sop_class)
    association = ae.associate(HOST, node.port)
    assert association.is_established
    yield association
    association.release()


def begun(**values: Any) -> Dataset:
    step = item(
        ScheduledStepAttributesSequence=[
            item(StudyInstanceUID="1.2.3", ScheduledProcedureStepID="S1")
        ],
        PatientID="P1",
        PerformedProcedureStepID="PPS1",
        PerformedStationAETitle="CT1",
        PerformedProcedureStepStartDate="20240131",
        PerformedProcedureStepStartTime="0935",
        PerformedProcedureStepStatus="IN PROGRESS",
        Modality="CT",
    )
    for keyword, value in values.items():
        if value is None:
            delattr(step, keyword)
        else:
            setattr(step, keyword, value)
    return step


def ended(status: str = "COMPLETED", **values: Any) -> Dataset:
    return item(
        PerformedProcedureStepStatus=status,
        PerformedProcedureStepEndDate="20240131",
        PerformedProcedureStepEndTime="0955",
        **values,
    )


def test_a_step_from_its_beginning_to_its_end(scheduled: Node) -> None:
    database = scheduled.archive.database

    def status() -> str:
        return str(table.entries(database)[0]["ScheduledProcedureStepStatus"])

    assert status() == "SCHEDULED"
    with associated(scheduled, PERFORMED_STEP) as association:
        answer, _ = association.send_n_create(begun(), PERFORMED_STEP, MPPS_UID)
        assert answer.Status == 0
        assert status() == "STARTED"
        assert found(scheduled) == ["P1", "P2"]
        answer, _ = association.send_n_set(item(StudyID=None) and ended(), PERFORMED_STEP, MPPS_UID)
        assert answer.Status == 0
    assert status() == "COMPLETED"
    assert found(scheduled) == ["P2"]
    (row,) = table.performed(database)
    assert row["SOPInstanceUID"] == MPPS_UID
    assert row["PerformedProcedureStepStatus"] == "COMPLETED"
    assert (row["StudyInstanceUID"], row["ScheduledProcedureStepID"]) == ("1.2.3", "S1")
    assert row["PerformedProcedureStepEndTime"] == "0955"
    kept = Dataset.from_json(table.step(database, MPPS_UID)[1])
    assert kept.PerformedProcedureStepStartTime == "0935"


@pytest.mark.parametrize(
    ("step", "status"),
    [
        (begun(PerformedProcedureStepStatus="COMPLETED"), 0x0106),
        (begun(Modality=None), 0x0120),
        (begun(ScheduledStepAttributesSequence=[]), 0x0121),
        (begun(PerformedProcedureStepID=""), 0x0121),
    ],
)
def test_steps_that_are_not_created(node: Node, step: Dataset, status: int) -> None:
    with associated(node, PERFORMED_STEP) as association:
        answer, _ = association.send_n_create(step, PERFORMED_STEP, MPPS_UID)
    assert answer.Status == status
    assert table.performed(node.archive.database) == []


def test_a_step_with_a_uid_that_is_none(node: Node) -> None:
    with associated(node, PERFORMED_STEP) as association:
        answer, _ = association.send_n_create(begun(), PERFORMED_STEP, "1.2.x")
    assert answer.Status == 0x0117


def test_a_step_is_created_once(node: Node) -> None:
    with associated(node, PERFORMED_STEP) as association:
        assert association.send_n_create(begun(), PERFORMED_STEP, MPPS_UID)[0].Status == 0
        assert association.send_n_create(begun(), PERFORMED_STEP, MPPS_UID)[0].Status == 0x0111
        answer, _ = association.send_n_create(begun(), PERFORMED_STEP)
        assert answer.Status == 0
    assert len(table.performed(node.archive.database)) == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (item(PerformedProcedureStepStatus="PAUSED"), 0x0106),
        (item(PatientID="P9"), 0x0105),
        (item(PerformedProcedureStepStatus="COMPLETED"), 0x0120),
        (ended(), 0),
    ],
)
def test_changes(node: Node, change: Dataset, status: int) -> None:
    with associated(node, PERFORMED_STEP) as association:
        association.send_n_create(begun(), PERFORMED_STEP, MPPS_UID)
        answer, _ = association.send_n_set(change, PERFORMED_STEP, MPPS_UID)
    assert answer.Status == status


def test_what_has_ended_or_never_was_is_not_changed(node: Node) -> None:
    with associated(node, PERFORMED_STEP) as association:
        association.send_n_create(begun(), PERFORMED_STEP, MPPS_UID)
        association.send_n_set(ended("DISCONTINUED"), PERFORMED_STEP, MPPS_UID)
        answer, _ = association.send_n_set(ended(), PERFORMED_STEP, MPPS_UID)
        assert (answer.Status, answer.ErrorID) == (0x0110, 0xA710)
        answer, _ = association.send_n_set(ended(), PERFORMED_STEP, "1.2.9")
        assert answer.Status == 0x0112
    assert table.performed(node.archive.database)[0]["PerformedProcedureStepStatus"] == (
        "DISCONTINUED"
    )


def test_another_operation_than_the_class_has(node: Node) -> None:
    with associated(node, PERFORMED_STEP) as association:
        association.accepted_contexts[0]._abstract_syntax = pydicom.uid.UID(PERFORMED_STEP)
        answer, _ = association.send_n_action(None, 1, PERFORMED_STEP, MPPS_UID)
    assert answer.Status == 0x0211


def test_worklist_and_steps_outlive_a_reindex(scheduled: Node, serve: Callable[..., Node]) -> None:
    with associated(scheduled, PERFORMED_STEP) as association:
        association.send_n_create(begun(), PERFORMED_STEP, MPPS_UID)
    assert scheduled.archive.reindex() == []
    assert len(table.entries(scheduled.archive.database)) == 2
    assert len(table.performed(scheduled.archive.database)) == 1
