"""C-FIND as SCP: levels, roots, keys, character sets, statuses; and the answers of QIDO-RS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from pacslab.archive import Archive
from pacslab.dicom.keywords import Level
from pacslab.errors import OutOfResourcesError
from pacslab.network.contexts import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.making import instance, item
from tests.network.conftest import HOST, Node, run

STUDY_A, STUDY_B, STUDY_C = "1.2.3.1", "1.2.3.2", "1.2.3.3"


def fill(archive: Archive) -> None:
    """Three patients, three studies, a CT and an MR series among them."""
    made = [
        ("P1", "Doe^Jane", STUDY_A, "1.2.3.1.1", "1.2.3.1.1.1", "CT", "20240131", "101500"),
        ("P1", "Doe^Jane", STUDY_A, "1.2.3.1.1", "1.2.3.1.1.2", "CT", "20240131", "101500"),
        ("P1", "Doe^Jane", STUDY_A, "1.2.3.1.2", "1.2.3.1.2.1", "SR", "20240131", "101500"),
        ("P2", "Müller^Jörg", STUDY_B, "1.2.3.2.1", "1.2.3.2.1.1", "MR", "20230505", "0930"),
        ("P3", "Yamada^Tarou=山田^太郎", STUDY_C, "1.2.3.3.1", "1.2.3.3.1.1", "CT", None, None),
    ]
    for patient, name, study, series, uid, modality, date, time in made:
        data = instance(
            SpecificCharacterSet="ISO_IR 192",
            PatientID=patient,
            PatientName=name,
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID=uid,
            Modality=modality,
            StudyDate=date,
            StudyTime=time,
            AccessionNumber="" if patient == "P3" else f"A-{patient}",
            StudyDescription=f"Study of {patient}",
            InstanceNumber=int(uid[-1]),
            PixelSpacing=[0.123456789012, 2],
            StationName="SCANNER",
            ReasonForStudy="why not",
            RequestAttributesSequence=[item(ScheduledProcedureStepID=f"S-{patient}")],
        )
        assert archive.add(data).error is None


@pytest.fixture
def filled(node: Node) -> Node:
    fill(node.archive)
    return node


def identifier(level: str | None, **keys: Any) -> Dataset:
    asked = item(**keys)
    if level is not None:
        asked.QueryRetrieveLevel = level
    return asked


def c_find(
    node: Node,
    asked: Dataset,
    root: str = STUDY_ROOT_FIND,
    *,
    relational: bool = False,
    asking: bytes = b"\x01\x00\x00",
    answers: Callable[[int], bool] = lambda _: False,
) -> tuple[list[Dataset], Dataset]:
    """The matches and the final status; ``answers`` says after how many to cancel."""
    ae = AE("ASKER")
    ae.add_requested_context(root)
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = root
    extended.service_class_application_information = asking
    association = ae.associate(
        HOST, node.port, ae_title="PACSLAB", ext_neg=[extended] if relational else []
    )
    assert association.is_established
    found: list[Dataset] = []
    final = Dataset()
    for status, answer in association.send_c_find(asked, root, msg_id=7):
        final = status
        if status.Status in (0xFF00, 0xFF01):
            found.append(answer)
            if answers(len(found)):
                association.send_c_cancel(7, query_model=root)
    association.release()
    return found, final


# --- levels and roots -----------------------------------------------------------------------


def test_every_level_of_patient_root(filled: Node) -> None:
    def ask(level: str, **keys: Any) -> list[Dataset]:
        found, final = c_find(filled, identifier(level, **keys), PATIENT_ROOT_FIND)
        assert final.Status == 0
        assert all(f.QueryRetrieveLevel == level for f in found)
        return found

    patients = ask("PATIENT", PatientID="", PatientName="", NumberOfPatientRelatedStudies=None)
    assert [(p.PatientID, p.NumberOfPatientRelatedStudies) for p in patients] == [
        ("P1", 1),
        ("P2", 1),
        ("P3", 1),
    ]
    (study,) = ask("STUDY", PatientID="P1", StudyInstanceUID="", ModalitiesInStudy="")
    assert study.StudyInstanceUID == STUDY_A
    assert list(study.ModalitiesInStudy) == ["CT", "SR"]
    above = {"PatientID": "P1", "StudyInstanceUID": STUDY_A}
    series = ask("SERIES", **above, SeriesInstanceUID="", Modality="CT")
    assert [s.SeriesInstanceUID for s in series] == ["1.2.3.1.1"]
    images = ask("IMAGE", **above, SeriesInstanceUID="1.2.3.1.1", SOPInstanceUID="")
    assert [i.SOPInstanceUID for i in images] == ["1.2.3.1.1.1", "1.2.3.1.1.2"]


def test_only_what_was_asked_comes_back(filled: Node) -> None:
    (found,), _ = c_find(filled, identifier("STUDY", PatientID="P1", StudyTime="", StudyID=""))
    assert {e.keyword for e in found} == {
        "QueryRetrieveLevel", "RetrieveAETitle", "PatientID", "StudyTime", "StudyID",
    }  # fmt: skip
    assert (found.StudyTime, found.StudyID, found.RetrieveAETitle) == ("101500", "", "PACSLAB")
    (found,), _ = c_find(filled, identifier("STUDY", PatientID="P1", InstanceAvailability=""))
    assert found.InstanceAvailability == "ONLINE"


def test_what_only_headers_have_is_returned_too(filled: Node) -> None:
    asked = identifier("STUDY", PatientID="P1", ReasonForStudy="", RequestingService="")
    (found,), final = c_find(filled, asked)
    assert final.Status == 0
    assert (found.ReasonForStudy, found.RequestingService) == ("why not", "")


def test_values_of_every_kind(filled: Node) -> None:
    asked = identifier("IMAGE", SOPInstanceUID="1.2.3.1.1.2", PixelSpacing=None, Rows=None,
                       InstanceNumber=None, SOPClassUID="")  # fmt: skip
    asked.RequestAttributesSequence = [item(ScheduledProcedureStepID="S-P1")]
    (found,), final = c_find(filled, asked, relational=True)
    assert final.Status == 0
    assert [float(x) for x in found.PixelSpacing] == [0.123456789012, 2]
    assert (found.Rows, found.InstanceNumber) == (4, 2)
    assert found.RequestAttributesSequence[0].ScheduledProcedureStepID == "S-P1"


def test_keys_in_a_sequence_without_a_match(filled: Node) -> None:
    asked = identifier("SERIES", SeriesInstanceUID="")
    asked.RequestAttributesSequence = [item(ScheduledProcedureStepID="other")]
    assert c_find(filled, asked, relational=True)[0] == []


# --- hierarchical and relational ------------------------------------------------------------


def test_a_hierarchical_query_needs_the_keys_above(filled: Node) -> None:
    asked = identifier("SERIES", Modality="CT", SeriesInstanceUID="")
    found, final = c_find(filled, asked)
    assert found == []
    assert final.Status == 0xA900
    assert final.OffendingElement == 0x0020000D
    assert "StudyInstanceUID must have one value" in final.ErrorComment
    found, final = c_find(filled, asked, relational=True)
    assert final.Status == 0
    assert [f.SeriesInstanceUID for f in found] == ["1.2.3.1.1", "1.2.3.3.1"]


def test_kinds_of_matching_that_are_agreed_on(filled: Node) -> None:
    def ask(asking: bytes, **keys: Any) -> list[str]:
        asked = identifier("STUDY", **{"PatientID": "", **keys})
        return [f.PatientID for f in c_find(filled, asked, relational=True, asking=asking)[0]]

    fuzzy, empty = b"\x00\x00\x01", b"\x00\x00\x00\x00\x00\x01"
    assert ask(b"\x01\x00\x00", PatientName="Jane Doe") == []
    assert ask(fuzzy, PatientName="Jane Doe") == ["P1"]
    assert ask(empty, AccessionNumber='""') == ["P3"]
    assert ask(fuzzy, AccessionNumber='""') == []


@pytest.mark.parametrize(
    ("level", "root", "why"),
    [
        (None, STUDY_ROOT_FIND, "Level is missing"),
        ("PATIENT", STUDY_ROOT_FIND, "no level PATIENT"),
        ("FRAME", PATIENT_ROOT_FIND, "no level"),
    ],
)
def test_levels_that_are_not_there(node: Node, level: str | None, root: str, why: str) -> None:
    found, final = c_find(node, identifier(level, PatientID=""), root)
    assert (found, final.Status) == ([], 0xA900)
    assert why in final.ErrorComment
    assert final.OffendingElement == 0x00080052


# --- statuses -------------------------------------------------------------------------------


def test_unsupported_keys_are_told(filled: Node) -> None:
    asked = identifier("STUDY", PatientID="P1", ReasonForStudy="because")
    ae = AE()
    ae.add_requested_context(STUDY_ROOT_FIND)
    association = ae.associate(HOST, filled.port)
    statuses = [s.Status for s, _ in association.send_c_find(asked, STUDY_ROOT_FIND)]
    association.release()
    assert statuses == [0xFF01, 0]


def test_values_that_cannot_be_meant(filled: Node) -> None:
    asked = identifier("STUDY", StudyInstanceUID="1.2.3")
    asked.add_new("StudyDate", "DA", "")
    asked["StudyDate"]._value = "yesterday"
    found, final = c_find(filled, asked)
    assert (found, final.Status) == ([], 0xA900)
    assert "YYYYMMDD" in final.ErrorComment


def test_cancel(filled: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = []

    def endless(*_: Any) -> Iterator[dict[str, Any]]:
        while True:
            yield {"PatientID": "P", "StudyInstanceUID": "1.2"}

    monkeypatch.setattr(Archive, "search", endless)
    found, final = c_find(
        filled, identifier("STUDY", PatientID=""), answers=lambda n: n == 3 and not cancelled
    )
    assert final.Status == 0xFE00
    assert len(found) >= 3


@pytest.mark.parametrize(
    ("error", "status"),
    [(OutOfResourcesError("no room"), 0xA700), (RuntimeError("Doe^Jane"), 0xC000)],
)
def test_failures_of_ours(
    filled: Node,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(*_: Any) -> Iterator[dict[str, Any]]:
        raise error
        yield {}

    monkeypatch.setattr(Archive, "search", failing)
    found, final = c_find(filled, identifier("STUDY", PatientID=""))
    assert (found, final.Status) == ([], status)
    assert "Doe" not in caplog.text
    assert "Doe" not in final.get("ErrorComment", "")


def test_another_sop_class_than_its_context(filled: Node) -> None:
    ae = AE()
    ae.add_requested_context(STUDY_ROOT_FIND)
    association = ae.associate(HOST, filled.port)
    association.accepted_contexts[0]._abstract_syntax = PATIENT_ROOT_FIND
    statuses = [
        s.Status
        for s, _ in association.send_c_find(identifier("STUDY", PatientID=""), PATIENT_ROOT_FIND)
    ]
    association.release()
    assert statuses == [0x0122]


# --- character sets -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "patient", "answered"),
    [
        ("ISO_IR 100", "P1", None),
        ("ISO_IR 100", "P2", "ISO_IR 100"),
        ("", "P2", "ISO_IR 192"),
        ("ISO_IR 100", "P3", "ISO_IR 192"),
        ("ISO_IR 192", "P3", "ISO_IR 192"),
    ],
)
def test_the_character_set_of_an_answer(
    filled: Node, asked: str, patient: str, answered: str | None
) -> None:
    keys = identifier("STUDY", PatientID=patient, PatientName="", SpecificCharacterSet=asked)
    (found,), _ = c_find(filled, keys)
    assert found.get("SpecificCharacterSet") == answered
    names = {"P1": "Doe^Jane", "P2": "Müller^Jörg", "P3": "Yamada^Tarou=山田^太郎"}
    assert str(found.PatientName) == names[patient]


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", "MÜLLER*"), ("ISO_IR 192", "müller*")]
)
def test_the_character_set_of_a_question(filled: Node, charset: str, name: str) -> None:
    asked = identifier("STUDY", SpecificCharacterSet=charset, PatientName=name, PatientID="")
    found, _ = c_find(filled, asked)
    assert [f.PatientID for f in found] == ["P2"]


# --- other people's programs ----------------------------------------------------------------


@pytest.mark.dcmtk
def test_findscu(filled: Node, tmp_path: Path) -> None:
    done = run("findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=DOE*",
               "-k", "StudyInstanceUID", "-od", tmp_path, "-X", HOST, filled.port)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (answer,) = tmp_path.glob("rsp*.dcm")
    assert STUDY_A.encode() in answer.read_bytes()


@pytest.mark.dcmtk
def test_findscu_cancels(filled: Node) -> None:
    done = run("findscu", "-v", "-P", "--cancel", 1, "-k", "QueryRetrieveLevel=PATIENT",
               "-k", "PatientID", HOST, filled.port)  # fmt: skip
    assert done.returncode == 0, done.stderr


# --- the same answers as QIDO-RS ------------------------------------------------------------

_VALUES = {
    "PatientID": ["P1", "P?", "P*", "X", "P1*", '""'],
    "PatientName": ["Doe^Jane", "DOE*", "doe*", "*e*", "MULLER*", "Müller^Jörg", "山田^太郎", "x"],
    "StudyDate": ["20240131", "20230101-20231231", "-20240101", "20240131-", "19990101"],
    "StudyTime": ["101500", "1015", "0900-1000", "-12"],
    "AccessionNumber": ["A-P1", "A-*", "A-P?", "B"],
    "StudyDescription": ["Study*", "*P2", "Study of P3", "none"],
    "ModalitiesInStudy": ["CT", "SR", "MR", "PT"],
    "Modality": ["CT", "MR", "S?"],
    "StudyInstanceUID": [STUDY_A, STUDY_B, f"{STUDY_A}\\{STUDY_C}", "1.2.3.9"],
    "SeriesInstanceUID": ["1.2.3.1.1", "1.2.3.2.1", "1.2.3.9"],
    "SOPInstanceUID": ["1.2.3.1.1.2", "1.2.3.9"],
    "InstanceNumber": ["1", "2", "7"],
    "Rows": ["4", "5"],
    "StationName": ["SCANNER", "scan*", "SCAN*"],
    "NumberOfStudyRelatedInstances": ["1", "3"],
}
QUESTIONS = st.tuples(
    st.sampled_from(["STUDY", "SERIES", "IMAGE"]),
    st.dictionaries(st.sampled_from(sorted(_VALUES)), st.integers(0, 7), max_size=4),
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """C-FIND over one association, and QIDO-RS, over the same archive."""
    from fastapi.testclient import TestClient

    from pacslab.network.listener import DicomListener

    with Archive(tmp_path_factory.mktemp("both") / "archive") as archive:
        fill(archive)
        with DicomListener(archive, port=0) as listener:
            ae = AE()
            ae.add_requested_context(STUDY_ROOT_FIND)
            extended = SOPClassExtendedNegotiation()
            extended.sop_class_uid = STUDY_ROOT_FIND
            extended.service_class_application_information = b"\x01\x00\x00"
            association = ae.associate(HOST, listener.port, ext_neg=[extended])
            web = TestClient(create_app(Context(archive)))
            yield association, web
            association.release()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(question=QUESTIONS)
def test_c_find_and_qido_give_the_same_answers(both: Any, question: Any) -> None:
    association, web = both
    level, chosen = question
    keys = {k: _VALUES[k][n % len(_VALUES[k])] for k, n in chosen.items()}
    unique = [k.unique_key for k in list(Level)[1 : Level(level).depth + 1]]
    wanted = [*unique, "PatientID", "PatientName", "StudyDate", "StudyDescription"]
    asked = Dataset()
    asked.SpecificCharacterSet = "ISO_IR 192"
    asked.QueryRetrieveLevel = level
    for keyword in wanted:
        setattr(asked, keyword, "")
    for keyword, value in keys.items():
        several = value.split("\\") if "\\" in value else value
        setattr(asked, keyword, int(value) if keyword == "Rows" else several)
    answers = list(association.send_c_find(asked, STUDY_ROOT_FIND))
    path = {"STUDY": "studies", "SERIES": "series", "IMAGE": "instances"}[level]
    told = web.get(
        f"/dicom-web/{path}", params=[*keys.items(), *(("includefield", w) for w in wanted)]
    )
    if told.status_code == 400:
        assert [s.Status for s, _ in answers] == [0xA900]
        return
    assert answers[-1][0].Status == 0
    found = [a for s, a in answers if s.Status in (0xFF00, 0xFF01)]
    qido = [Dataset.from_json(one) for one in json.loads(told.content or "[]")]
    assert [[_shown(a, k) for k in wanted] for a in found] == [
        [_shown(a, k) for k in wanted] for a in qido
    ]


def _shown(data_set: Dataset, keyword: str) -> str:
    value = data_set.get(keyword)
    return "" if value is None else str(value)
