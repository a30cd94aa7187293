"""What the tables of cohort SQL look like: the type of every column, and the views on them.

Types serve those who ask: dates are DATE, times TIME, AcquisitionDateTime TIMESTAMP (all as the
clock showed them), numbers numeric, and attributes of several values lists. What can't be read as
its type is NULL; the header keeps the text (``tag('StudyDate')``). Names and meaning of ``index``
follow idc-index, whose dates and numbers are text: comparisons with quoted values run on both.
"""

from __future__ import annotations

from typing import Final

from pydicom._uid_dict import UID_dictionary

from pacslab.archive.changes import TABLES
from pacslab.dicom.keywords import ATTRIBUTES, Attribute, Level, at

_NUMERIC: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})

_DATE: Final = """CASE WHEN regexp_full_match({0}, '[0-9]{{8}}') AND {0} >= '0001'
    THEN try_strptime({0}, '%Y%m%d')::DATE END"""

# HH, HHMM, HHMMSS or HHMMSS.FFFFFF (PS3.5 6.2); what is left out is zero.
_TIME: Final = """CASE WHEN regexp_full_match({0},
    '([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9]([.][0-9]{{1,6}})?)?)?')
    THEN try_cast(substr({0}, 1, 2) || ':' || coalesce(nullif(substr({0}, 3, 2), ''), '00') || ':'
    || coalesce(nullif(substr({0}, 5), ''), '00') AS TIME) END"""

# The offset behind a DT is left out: the day and hour are those of the place, as in DA and TM.
_MOMENT: Final = """CASE WHEN regexp_full_match({0},
    '[0-9]{{8}}([01][0-9]|2[0-3])?([0-5][0-9]([0-5][0-9]([.][0-9]{{1,6}})?)?)?([+-][0-9]{{4}})?')
    AND {0} >= '0001' THEN try_cast(
    substr({0}, 1, 4) || '-' || substr({0}, 5, 2) || '-' || substr({0}, 7, 2) || ' '
    || coalesce(nullif(regexp_extract({0}, '^[0-9]{{8}}([0-9]{{2}})', 1), ''), '00') || ':'
    || coalesce(nullif(regexp_extract({0}, '^[0-9]{{10}}([0-9]{{2}})', 1), ''), '00') || ':'
    || coalesce(nullif(regexp_extract({0}, '^[0-9]{{12}}([0-9]{{2}}([.][0-9]+)?)', 1), ''), '00')
    AS TIMESTAMP) END"""

# DuckDB reads "nan" and "inf" as numbers; PS3.5 doesn't.
_NUMBERS: Final = """try_cast(string_split(regexp_replace({0}, '[A-DF-Za-df-z]+', '?', 'g'), '\\')
    AS {1}[])"""
_TEXTS: Final = "string_split({0}, '\\')"
_RECEIVED: Final = "try_cast({0} AS TIMESTAMPTZ) AT TIME ZONE 'UTC'"

_SPECIAL: Final = {"DA": _DATE, "TM": _TIME, "DT": _MOMENT}

PROVENANCE: Final = ("TransferSyntaxUID", "SHA256", "DataSetSize", "Source", "ReceivedAt")
_FACTS: Final = ("SOPClassUID", "TransferSyntaxUID", "PhotometricInterpretation",
                 "PixelRepresentation")  # fmt: skip

NAMES: Final = (
    "patients", "studies", "series", "instances", "files", "index", "differences", "elements"
)  # fmt: skip
"""The tables that a query sees."""


def expression(column: str, source: str) -> str:
    """SQL that gives a column its type, from ``source``: what the index holds for it."""
    attribute = ATTRIBUTES.get(column)
    if column == "ReceivedAt":
        return _RECEIVED.format(source)
    if attribute is None or attribute.computed or attribute.python_type is not str:
        return source
    return _of_text(attribute).format(source, "DOUBLE" if attribute.vr in _REAL else "BIGINT")


_REAL: Final = frozenset({"DS", "FD", "FL"})


def _of_text(attribute: Attribute) -> str:
    if attribute.multiple:
        return _NUMBERS if attribute.vr in _NUMERIC else _TEXTS
    return _SPECIAL.get(attribute.vr, "{0}")


def create() -> list[str]:
    """The statements that make the tables in the database ``mirror``, from ``empty_TABLE``.

    A row of series and of instances carries its patient's ID; ``facts`` holds what the instances
    of a series say, so that asking for it needs no pass over all instances.
    """
    made = [
        f"CREATE TABLE mirror.{table} AS {insert_from(table, f'empty_{table}', patient=False)}"
        for table in TABLES
    ]
    made += [f"ALTER TABLE mirror.{table} ADD COLUMN PatientID VARCHAR" for table in _WITH_PATIENT]
    made.append(f"CREATE TABLE mirror.facts AS {facts()}")
    made.append("CREATE TABLE mirror.uids (UID VARCHAR, Name VARCHAR)")
    names = ", ".join(
        f"('{uid}', '{name.replace(chr(39), chr(39) * 2)}')"
        for uid, (name, *_) in UID_dictionary.items()
    )
    made.append(f"INSERT INTO mirror.uids VALUES {names}")
    return made


_WITH_PATIENT: Final = frozenset({"series", "instances"})


def insert_from(table: str, source: str, *, patient: bool = True) -> str:
    """The query that brings the rows of ``source``, as the index has them, to their types."""
    columns = [f'{expression(c, f"""n."{c}" """.strip())} AS "{c}"' for c in TABLES[table]]
    if not patient or table not in _WITH_PATIENT:
        return f"SELECT {', '.join(columns)} FROM {source} n"
    return (
        f"SELECT {', '.join(columns)}, s.PatientID FROM {source} n "
        "LEFT JOIN mirror.studies s USING (StudyInstanceUID)"
    )


def facts(condition: str = "true") -> str:
    """The query for what the instances of each series say."""
    values = ", ".join(f"min({name}) AS {name}" for name in _FACTS)
    return (
        f"SELECT SeriesInstanceUID, {values}, sum(DataSetSize)::DOUBLE / 1e6 AS series_size_MB "
        f"FROM mirror.instances WHERE {condition} GROUP BY SeriesInstanceUID"
    )


def views(files: str) -> list[str]:
    """The statements that make the views; ``files`` is the directory that the files stand in."""
    patient, study = _keywords(Level.PATIENT), _keywords(Level.STUDY, "StudyInstanceUID")
    series = _keywords(Level.SERIES, "SeriesInstanceUID")
    image = _keywords(Level.IMAGE, "SOPInstanceUID")
    directory = files.replace("'", "''")
    uids = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    rest = [k for k in patient if k != "PatientID"]
    made = {
        "patients": """SELECT PatientID, IssuerOfPatientID, min(PatientName) AS PatientName,
            min(PatientBirthDate) AS PatientBirthDate, min(PatientSex) AS PatientSex,
            count(*) AS NumberOfPatientRelatedStudies,
            sum(NumberOfStudyRelatedSeries)::BIGINT AS NumberOfPatientRelatedSeries,
            sum(NumberOfStudyRelatedInstances)::BIGINT AS NumberOfPatientRelatedInstances
            FROM mirror.studies GROUP BY PatientID, IssuerOfPatientID,
            CASE WHEN PatientID IS NULL THEN StudyInstanceUID END""",
        "studies": f"""SELECT {_list(uids[:2] + rest + study, "s")}, m.ModalitiesInStudy,
            s.NumberOfStudyRelatedSeries, s.NumberOfStudyRelatedInstances FROM mirror.studies s
            LEFT JOIN (SELECT StudyInstanceUID, list(DISTINCT Modality ORDER BY Modality)
            FILTER (Modality IS NOT NULL) AS ModalitiesInStudy FROM mirror.series GROUP BY 1) m
            USING (StudyInstanceUID)""",
        "series": f"""SELECT {_list(uids[:3] + series, "s")}, s.NumberOfSeriesRelatedInstances
            FROM mirror.series s""",
        "instances": f"""SELECT {_list([*uids, *image, *PROVENANCE], "i")}
            FROM mirror.instances i""",
        "files": f"""SELECT {_list(uids, "i")}, '{directory}/' || StudyInstanceUID || '/' ||
            SeriesInstanceUID || '/' || SOPInstanceUID || '.dcm' AS path,
            DataSetSize AS size, SHA256 FROM mirror.instances i""",
        "index": f"""SELECT {_list(uids[:3], "s")}, {_list(rest + study, "t")},
            {_list(series, "s")}, f.SOPClassUID, c.Name AS sop_class_name, f.TransferSyntaxUID,
            x.Name AS transfer_syntax_name, f.PhotometricInterpretation, f.PixelRepresentation,
            s.NumberOfSeriesRelatedInstances AS instanceCount, f.series_size_MB
            FROM mirror.series s JOIN mirror.studies t USING (StudyInstanceUID)
            LEFT JOIN mirror.facts f ON f.SeriesInstanceUID = s.SeriesInstanceUID
            LEFT JOIN mirror.uids c ON c.UID = f.SOPClassUID
            LEFT JOIN mirror.uids x ON x.UID = f.TransferSyntaxUID""",
        "differences": "SELECT * FROM mirror.differences",
    }
    return [f'CREATE VIEW "{name}" AS {statement}' for name, statement in made.items()]


def _keywords(level: Level, but: str = "") -> list[str]:
    return [a.keyword for a in at(level) if a.keyword != but]


def _list(columns: list[str], alias: str) -> str:
    return ", ".join(f'{alias}."{column}"' for column in columns)
