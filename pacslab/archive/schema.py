"""The index's tables, declared once; ``docs/schema.md`` is printed from them.

Columns that hold a DICOM attribute are named by its keyword (PS3.6); what several instances share
stands once, with the study or the series.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.datadict import dictionary_description
from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

from pacslab.dicom.keywords import Attribute, Level, at
from pacslab.dicom.worklist import COLUMNS as WORKLIST_COLUMNS

VERSION: Final = 4
"""The schema's version, kept in the index; a newer one than this is refused."""

FOLDED: Final = "Folded"
"""What the column of a person name is called in the form that is compared."""

metadata = MetaData()

KEPT: Final = "kept"
"""In a table's ``info``: only the index knows it, so that reindexing leaves it, or brings it over.

Such a table may be new in an index of the same version: opening makes it. Its columns have defaults
or are nullable when they come later than the table.
"""


def kept() -> list[Table]:
    """The tables that no file can fill again: logs, cohorts and the like."""
    return [table for table in metadata.sorted_tables if table.info.get(KEPT)]


_TYPES: Final[dict[type, type[TypeEngine[object]]]] = {str: Text, int: Integer, float: Float}  # type: ignore[dict-item]


def _attributes(level: Level) -> Iterator[Column[object]]:
    for attribute in at(level):
        if attribute.keyword == level.unique_key and level is not Level.PATIENT:
            continue
        yield Column(
            attribute.keyword,
            _TYPES[attribute.python_type],
            index=attribute.fast,
            comment=_describe(attribute),
        )
        if attribute.vr == "PN":
            yield Column(
                attribute.keyword + FOLDED,
                Text,
                index=True,
                comment=f"{attribute.description} as it is compared: no case, no accents",
            )


def _describe(attribute: Attribute) -> str:
    several = ", values joined by a backslash" if attribute.multiple else ""
    several += f", of the first item of {attribute.sequence}" if attribute.sequence else ""
    return f"{attribute.description} {attribute.shown_tag} {attribute.vr}{several}"


def _changed() -> Column[int]:
    return Column("Changed", Integer, nullable=False, index=True, comment="Revision that wrote it")


def _uid(keyword: str, description: str) -> Column[str]:
    return Column(keyword, Text, nullable=False, comment=description)


studies = Table(
    "studies",
    metadata,
    Column("StudyInstanceUID", Text, primary_key=True, comment="Study Instance UID (0020,000D) UI"),
    *_attributes(Level.PATIENT),
    *_attributes(Level.STUDY),
    Column("NumberOfStudyRelatedSeries", Integer, nullable=False, comment="Series in the study"),
    Column("NumberOfStudyRelatedInstances", Integer, nullable=False, comment="Instances in it"),
    _changed(),
    comment="One row a study, with the patient as the study names them.",
)

series = Table(
    "series",
    metadata,
    Column("SeriesInstanceUID", Text, primary_key=True, comment="Series Instance UID (0020,000E)"),
    _uid("StudyInstanceUID", "The study it belongs to"),
    *_attributes(Level.SERIES),
    Column("NumberOfSeriesRelatedInstances", Integer, nullable=False, comment="Instances in it"),
    _changed(),
    Index("ix_series_study", "StudyInstanceUID"),
    comment="One row a series.",
)

instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True, comment="Key of its header"),
    _uid("SOPInstanceUID", "SOP Instance UID (0008,0018) UI"),
    _uid("SeriesInstanceUID", "The series it belongs to"),
    _uid("StudyInstanceUID", "The study it belongs to"),
    *_attributes(Level.IMAGE),
    Column("TransferSyntaxUID", Text, nullable=False, comment="Transfer Syntax UID (0002,0010) UI"),
    Column("SHA256", Text, nullable=False, comment="Of the data set's bytes, without file meta"),
    Column("DataSetSize", Integer, nullable=False, comment="Bytes of the data set"),
    Column("Source", Text, nullable=False, comment="The door it came by"),
    Column("ReceivedAt", Text, nullable=False, comment="When, UTC, ISO 8601"),
    _changed(),
    Index("ix_instances_uid", "SOPInstanceUID", unique=True),
    Index("ix_instances_series", "SeriesInstanceUID"),
    comment="One row a SOP instance, that is, a file.",
)

headers = Table(
    "headers",
    metadata,
    Column("id", Integer, primary_key=True, comment="instances.id"),
    Column("Header", LargeBinary, nullable=False, comment="DICOM JSON, zstd with the series' base"),
    comment="The whole header of every instance: PS3.18 Annex F JSON, packed against the base.",
)

header_bases = Table(
    "header_bases",
    metadata,
    Column("SeriesInstanceUID", Text, primary_key=True, comment="The series"),
    Column("Base", LargeBinary, nullable=False, comment="First header of the series, zstd"),
    comment="What the headers of a series are packed against: slices differ in a few values only.",
)

differences = Table(
    "differences",
    metadata,
    Column("SOPInstanceUID", Text, primary_key=True, comment="The instance that says otherwise"),
    Column("Keyword", Text, primary_key=True, comment="Attribute of its study or series"),
    Column("Level", Text, nullable=False, comment="PATIENT, STUDY or SERIES"),
    Column("StudyInstanceUID", Text, nullable=False, index=True, comment="Its study"),
    Column("SeriesInstanceUID", Text, nullable=False, comment="Its series"),
    Column("Value", Text, nullable=False, comment="What this instance says"),
    Column("IndexedValue", Text, nullable=False, comment="What the study's or series' row says"),
    comment="Attributes of a study or series in which one of its instances differs from its row.",
)

name_words = Table(
    "name_words",
    metadata,
    Column("Name", Text, primary_key=True, comment="A person name as a ...Folded column has it"),
    Column("Part", Integer, primary_key=True, comment="Which of its component groups, or values"),
    Column("Place", Integer, primary_key=True, comment="Which word of that"),
    Column("Word", Text, nullable=False, index=True, comment="The word, folded"),
    comment="The words of every person name, for fuzzy matching.",
    sqlite_with_rowid=False,
)

word_keys = Table(
    "word_keys",
    metadata,
    Column("Key", Text, primary_key=True, comment="= as spelt, ~ as it sounds, - a letter less"),
    Column("Word", Text, primary_key=True, index=True, comment="The word, in name_words"),
    comment="What the words of names are found by: words that are alike have a key in common.",
    sqlite_with_rowid=False,
)

texts = Table(
    "texts",
    metadata,
    Column("id", Integer, primary_key=True, comment="Its number in text_parts"),
    Column("Text", Text, nullable=False, unique=True, comment="As the column has it"),
    comment="Every person name (folded) and description that there is, once.",
)

removals = Table(
    "removals",
    metadata,
    Column("id", Integer, primary_key=True, comment="Running number"),
    Column("TableName", Text, nullable=False, comment="studies, series or instances"),
    Column("UID", Text, nullable=False, comment="Unique key of the row that went"),
    _changed(),
    comment="What went from the index, for those who keep a copy of it.",
)

cohorts = Table(
    "cohorts",
    metadata,
    Column("id", Integer, primary_key=True, comment="Key of its series"),
    Column("Name", Text, nullable=False, comment="What its author calls it"),
    Column("Version", Integer, nullable=False, comment="1, 2, ... of that name"),
    Column("CreatedAt", Text, nullable=False, comment="When, UTC, ISO 8601"),
    Column("Statement", Text, comment="The SQL that chose it, if any"),
    Column("Parameters", Text, nullable=False, comment="Its parameters, as JSON"),
    Column("Note", Text, nullable=False, comment="Why, in its author's words"),
    Column("Archive", Text, nullable=False, comment="Identity of the index it was frozen from"),
    Column("Revision", Integer, nullable=False, comment="Revision of that index"),
    Index("ix_cohorts_name", "Name", "Version", unique=True),
    comment="Cohorts as they were frozen; none is ever changed.",
    info={KEPT: True},
)

cohort_series = Table(
    "cohort_series",
    metadata,
    Column("Cohort", Integer, primary_key=True, comment="cohorts.id"),
    Column("SeriesInstanceUID", Text, primary_key=True, comment="A series of it"),
    Column("StudyInstanceUID", Text, nullable=False, comment="Its study"),
    Column("PatientID", Text, comment="Its patient, as the study named it then"),
    Column("NumberOfInstances", Integer, nullable=False, comment="Instances of it in the cohort"),
    Column("Whole", Integer, nullable=False, comment="1 when these were all that the series had"),
    Column("Digest", Text, nullable=False, comment="SHA-256 over the lines 'UID SHA-256', sorted"),
    Column("Instances", LargeBinary, nullable=False, comment="These lines, zstd"),
    comment="The frozen instances, series by series.",
    info={KEPT: True},
)

associations = Table(
    "associations",
    metadata,
    Column("id", Integer, primary_key=True, comment="Number of the association"),
    Column("StartedAt", Text, nullable=False, comment="When the connection came, UTC, ISO 8601"),
    Column("EndedAt", Text, comment="When it ended; empty while it lasts"),
    Column("CallingAETitle", Text, comment="Who called"),
    Column("CalledAETitle", Text, comment="Whom he called"),
    Column("PeerHost", Text, nullable=False, comment="From where"),
    Column("PeerPort", Integer, nullable=False, comment="From which port"),
    Column("Ending", Text, nullable=False, comment="running, released, aborted, rejected or lost"),
    Column("Reason", Text, comment="Why it ended so"),
    Column("Messages", Integer, comment="Requests served"),
    Column("Stored", Integer, comment="Instances that were new"),
    Column("AlreadyThere", Integer, comment="Instances that were there already"),
    Column("Refused", Integer, comment="Instances that were refused"),
    Column("BytesReceived", Integer, comment="Bytes that came over the connection"),
    Column("BytesSent", Integer, comment="Bytes that went over it"),
    Column("Contexts", Text, comment="Presentation contexts and what became of each, JSON"),
    info={KEPT: True},
    comment="One row an association with the DICOM listener.",
)

messages = Table(
    "messages",
    metadata,
    Column("id", Integer, primary_key=True, comment="Running number"),
    Column("AssociationID", Integer, nullable=False, index=True, comment="associations.id"),
    Column("At", Text, nullable=False, comment="When it was complete, UTC, ISO 8601"),
    Column("Direction", Text, nullable=False, comment="received or sent"),
    Column("Type", Text, nullable=False, comment="C-STORE-RQ, C-ECHO-RSP, ... (PS3.7 E.1)"),
    Column("MessageID", Integer, comment="Message ID, or the one being responded to"),
    Column("ContextID", Integer, comment="Presentation context"),
    Column("SOPClassUID", Text, comment="Affected or Requested SOP Class UID"),
    Column("SOPInstanceUID", Text, comment="Affected or Requested SOP Instance UID"),
    Column("Status", Text, comment="Status (0000,0900) of a response, hexadecimal"),
    Column("Comment", Text, comment="Error Comment (0000,0902)"),
    Column("DataSetSize", Integer, comment="Bytes of its data set; empty when it has none"),
    info={KEPT: True},
    comment="One row a DIMSE message, of associations that are traced.",
)

pdus = Table(
    "pdus",
    metadata,
    Column("id", Integer, primary_key=True, comment="Running number"),
    Column("AssociationID", Integer, nullable=False, index=True, comment="associations.id"),
    Column("At", Text, nullable=False, comment="When it came or went, UTC, ISO 8601"),
    Column("Direction", Text, nullable=False, comment="received or sent"),
    Column("Type", Text, nullable=False, comment="A-ASSOCIATE-RQ, P-DATA-TF, ... (PS3.8 9.3)"),
    Column("Length", Integer, nullable=False, comment="Bytes, with its head of six"),
    Column("Summary", Text, nullable=False, comment="What it says, in a few words"),
    Column("Fields", Text, nullable=False, comment="Its fields, JSON; no data sets"),
    info={KEPT: True},
    comment="One row a protocol data unit, of associations that are traced.",
)

worklist = Table(
    "worklist",
    metadata,
    Column("id", Integer, primary_key=True, comment="Its number, in the order of scheduling"),
    *(
        Column(keyword, Text, comment=f"{dictionary_description(keyword)}")
        for keyword in WORKLIST_COLUMNS
    ),
    comment="The Modality Worklist: a row for each scheduled procedure step (PS3.4 K.6).",
    info={KEPT: True},
)

performed_steps = Table(
    "performed_steps",
    metadata,
    Column("SOPInstanceUID", Text, primary_key=True, comment="Of the performed procedure step"),
    Column(
        "PerformedProcedureStepStatus",
        Text,
        nullable=False,
        comment="IN PROGRESS, COMPLETED or DISCONTINUED",
    ),
    Column("StudyInstanceUID", Text, comment="Of its first scheduled step"),
    Column("ScheduledProcedureStepID", Text, comment="Of its first scheduled step"),
    Column("PatientID", Text, comment="Patient ID"),
    Column("Modality", Text, comment="Modality"),
    Column("PerformedStationAETitle", Text, comment="Who performs it"),
    Column("PerformedProcedureStepStartDate", Text, comment="When it began"),
    Column("PerformedProcedureStepStartTime", Text, comment="When it began"),
    Column("PerformedProcedureStepEndDate", Text, comment="When it ended"),
    Column("PerformedProcedureStepEndTime", Text, comment="When it ended"),
    Column("ChangedAt", Text, nullable=False, comment="Time of the last message, UTC (ISO 8601)"),
    Column("Attributes", Text, nullable=False, comment="All of it, as DICOM JSON"),
    comment="Modality Performed Procedure Steps as the modalities tell them (PS3.4 F.7).",
    info={KEPT: True},
)

commitments = Table(
    "commitments",
    metadata,
    Column("TransactionUID", Text, primary_key=True, comment="Of the request"),
    Column("Role", Text, primary_key=True, comment="scp: asked of us; scu: asked by us"),
    Column("Peer", Text, nullable=False, comment="AE title of the other side"),
    Column("RequestedAt", Text, nullable=False, comment="UTC (ISO 8601)"),
    Column("ReportedAt", Text, comment="When the result was told, UTC; empty while it isn't"),
    Column("Committed", Integer, comment="How many instances are committed"),
    Column("Failed", Integer, comment="How many aren't"),
    Column("Result", Text, comment="The result, as DICOM JSON"),
    comment="Storage commitments that were asked for (PS3.4 J.3).",
    info={KEPT: True},
)

audit_findings = Table(
    "audit_findings",
    metadata,
    Column("SOPInstanceUID", Text, primary_key=True, comment="The instance; empty: of the archive"),
    Column("Path", Text, primary_key=True, comment="TAG, TAG/ITEM/TAG, or the name of a place"),
    Column("Kind", Text, primary_key=True, comment="What it looks like"),
    Column("Check", Text, primary_key=True, comment="alone, or against a source"),
    Column("SHA256", Text, nullable=False, comment="Of the data set that it was found in"),
    Column("Severity", Text, nullable=False, comment="high, medium or low"),
    Column("Detail", Text, nullable=False, comment="In words or as a mask, never the value"),
    Column("Status", Text, nullable=False, index=True, comment="open, accepted or fixed"),
    Column("FoundAt", Text, nullable=False, comment="When it was first found, UTC, ISO 8601"),
    Column("ReviewedBy", Text, comment="Who accepted it"),
    Column("ReviewedAt", Text, comment="When, UTC, ISO 8601"),
    Column("Reason", Text, comment="Why, in the reviewer's words"),
    comment="What audits found, with its review: accepted for these bytes only.",
    info={KEPT: True},
    sqlite_with_rowid=False,
)

audited = Table(
    "audited",
    metadata,
    Column("SOPInstanceUID", Text, primary_key=True, comment="An instance that was audited"),
    Column("Check", Text, primary_key=True, comment="alone, or against a source"),
    Column("SHA256", Text, nullable=False, comment="Of its data set then"),
    Column("At", Text, nullable=False, comment="When, UTC, ISO 8601"),
    comment="Which bytes were audited.",
    info={KEPT: True},
    sqlite_with_rowid=False,
)

gates = Table(
    "gates",
    metadata,
    Column("id", Integer, primary_key=True, comment="Running number; the last one holds"),
    Column("At", Text, nullable=False, comment="When, UTC, ISO 8601"),
    Column("By", Text, nullable=False, comment="Who"),
    Column("Event", Text, nullable=False, comment="set, passed, stopped or overridden"),
    Column("Settings", Text, nullable=False, comment="The gate's settings then, JSON"),
    Column("Detail", Text, nullable=False, comment="What was asked, and why it was let through"),
    comment="The gate that exports pass: how it was set, and each export that came to it.",
    info={KEPT: True},
)

state = Table(
    "state",
    metadata,
    Column("Name", Text, primary_key=True, comment="schema, revision or archive"),
    Column("Value", Text, nullable=False, comment="Its value"),
    comment="Version of the schema, number of the last change, identity of the archive.",
)

text_parts: Final = text(
    "CREATE VIRTUAL TABLE text_parts USING "
    "fts5(Text, content='texts', content_rowid='id', tokenize='trigram case_sensitive 1')"
)
"""What three letters stand in which text."""

patients_view: Final = text(
    """CREATE VIEW IF NOT EXISTS patients AS
    SELECT PatientID, IssuerOfPatientID, min(PatientName) AS PatientName,
      min(PatientNameFolded) AS PatientNameFolded,
      min(PatientBirthDate) AS PatientBirthDate, min(PatientSex) AS PatientSex,
      count(*) AS NumberOfPatientRelatedStudies,
      sum(NumberOfStudyRelatedSeries) AS NumberOfPatientRelatedSeries,
      sum(NumberOfStudyRelatedInstances) AS NumberOfPatientRelatedInstances,
      min(StudyInstanceUID) AS FirstStudyInstanceUID
    FROM studies
    GROUP BY PatientID, IssuerOfPatientID,
      CASE WHEN PatientID IS NULL THEN StudyInstanceUID END"""
)
"""Patients are what the studies say: one row a PatientID and issuer, never merged without an ID."""


def markdown() -> str:
    """``docs/schema.md``: every table and column with its type and meaning."""
    lines = [
        "# The index",
        "",
        "`index.sqlite` in the archive's directory. This page is printed by `make docs`. Columns",
        "with the name of a DICOM keyword hold that attribute; dates and times are text as DICOM",
        "writes them. In `lab.sql` the same tables stand in DuckDB. The view `patients` groups the",
        "studies by `PatientID` and `IssuerOfPatientID`.",
    ]
    for table in metadata.sorted_tables:
        lines += ["", f"## {table.name}", "", table.comment or "", ""]
        lines += ["| column | type | what it is |", "| --- | --- | --- |"]
        lines += [f"| `{c.name}` | {c.type} | {c.comment} |" for c in table.columns]
    return "\n".join(lines) + "\n"
