"""What is checked of a cohort's quality, each as a question in SQL that returns what is wrong.

A statement sees ``i``, ``s`` and ``t``: the instances of the cohort, their series and studies; and
``slices``: those with a position, where ``place`` is its distance along the normal of the image in
mm (PS3.3 C.7.6.2.1.1), rounded to 0.01. It gives one column of UIDs and the ``Detail`` of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question: its name, how bad a finding is, what it means, and the SQL that finds it.

    ``error``: wrong results are likely; ``warning``: look before use; ``note``: good to know.
    """

    name: str
    severity: Severity
    meaning: str
    statement: str


COMMON: Final = """
i AS (SELECT * FROM instances SEMI JOIN chosen USING (SOPInstanceUID)),
s AS (SELECT * FROM series WHERE SeriesInstanceUID IN (SELECT SeriesInstanceUID FROM i)),
t AS (SELECT * FROM studies WHERE StudyInstanceUID IN (SELECT StudyInstanceUID FROM i)),
slices AS (
  SELECT *, round(
    (o[2] * o[6] - o[3] * o[5]) * p[1] + (o[3] * o[4] - o[1] * o[6]) * p[2]
    + (o[1] * o[5] - o[2] * o[4]) * p[3], 2) AS place,
    [round(x, 3) + 0.0 FOR x IN o] AS orientation,
    coalesce(list_contains(ImageType, 'LOCALIZER'), false) AS localizer
  FROM (SELECT *, ImageOrientationPatient AS o, ImagePositionPatient AS p FROM i)
  WHERE len(o) = 6 AND len(p) = 3 AND coalesce(NumberOfFrames, 1) = 1),
stacks AS (
  SELECT SeriesInstanceUID, place, count(*) AS n FROM slices
  WHERE NOT localizer AND SeriesInstanceUID IN (SELECT SeriesInstanceUID FROM slices
    WHERE NOT localizer GROUP BY 1 HAVING count(DISTINCT orientation) = 1)
  GROUP BY 1, 2),
gaps AS (
  SELECT SeriesInstanceUID, place, place - lag(place) OVER w AS gap FROM stacks
  WINDOW w AS (PARTITION BY SeriesInstanceUID ORDER BY place)),
usual AS (
  SELECT SeriesInstanceUID, median(gap) AS gap, count(*) + 1 AS places FROM gaps
  WHERE gap IS NOT NULL GROUP BY 1 HAVING count(*) >= 2),
phases AS (
  SELECT SeriesInstanceUID, mode(n) AS usual, min(n) AS least, max(n) AS most FROM stacks
  GROUP BY 1)
"""


def _mixed(what: str, column: str, extra: str = "") -> str:
    return f"""SELECT SeriesInstanceUID, count(DISTINCT {column}) || ' {what}: ' ||
        array_to_string(list_sort(list_distinct(list({column}::VARCHAR)))[:4], '; ') AS Detail
        FROM i WHERE {column} IS NOT NULL {extra}
        GROUP BY SeriesInstanceUID HAVING count(DISTINCT {column}) > 1"""


def _unlike(column: str) -> str:
    return f"""SELECT StudyInstanceUID, 'of patient ' || PatientID || ', {column}: ' ||
        {column} || '; in other studies: ' || array_to_string(list_filter(others,
        lambda x: x <> {column}::VARCHAR), ', ') AS Detail
        FROM t JOIN (SELECT PatientID, IssuerOfPatientID AS issuer,
            list_sort(list_distinct(list({column}::VARCHAR))) AS others
            FROM studies WHERE PatientID IS NOT NULL AND {column} IS NOT NULL
            GROUP BY ALL HAVING count(DISTINCT {column}) > 1) u
        USING (PatientID) WHERE {column} IS NOT NULL AND issuer IS NOT DISTINCT FROM
        IssuerOfPatientID"""


_NOT_LOCALIZER: Final = "AND NOT coalesce(list_contains(ImageType, 'LOCALIZER'), false)"
_TOMOGRAPHY: Final = "Modality IN ('CT', 'MR', 'PT')"

CHECKS: Final = (
    Check(
        "missing slices",
        "error",
        "a gap in the stack is a multiple of the usual distance",
        """SELECT SeriesInstanceUID, sum(round(g.gap / u.gap)::BIGINT - 1) || ' missing at ' ||
        array_to_string(list(round(g.place - u.gap, 2) ORDER BY g.place)[:5], ', ') || ' mm'
        AS Detail FROM gaps g JOIN usual u USING (SeriesInstanceUID) WHERE g.gap > 1.5 * u.gap
        AND abs(g.gap / u.gap - round(g.gap / u.gap)) < 0.1 GROUP BY 1""",
    ),
    Check(
        "uneven spacing",
        "error",
        "distances between slices differ by more than 5 % and are no multiples",
        """SELECT SeriesInstanceUID, 'from ' || min(g.gap) || ' to ' || max(g.gap) ||
        ' mm, usually ' || round(any_value(u.gap), 2) AS Detail
        FROM gaps g JOIN usual u USING (SeriesInstanceUID)
        WHERE abs(g.gap - u.gap) > greatest(0.05 * u.gap, 0.02)
        AND NOT (g.gap > 1.5 * u.gap AND abs(g.gap / u.gap - round(g.gap / u.gap)) < 0.1)
        GROUP BY 1""",
    ),
    Check(
        "duplicate slices",
        "error",
        "several images at one position, where the others stand alone",
        """SELECT SeriesInstanceUID, count(*) || ' positions twice or more, the first at ' ||
        min(place) || ' mm' AS Detail FROM stacks JOIN phases USING (SeriesInstanceUID)
        WHERE usual = 1 AND n > 1 GROUP BY 1""",
    ),
    Check(
        "incomplete phases",
        "error",
        "a multi-phase series has fewer images at some positions than at most",
        """SELECT SeriesInstanceUID, count(*) || ' positions with fewer or more than ' ||
        any_value(usual) || ' images' AS Detail FROM stacks JOIN phases USING (SeriesInstanceUID)
        WHERE usual > 1 AND n <> usual GROUP BY 1""",
    ),
    Check(
        "mixed orientation",
        "warning",
        "images of a series lie in different planes",
        """SELECT SeriesInstanceUID, count(DISTINCT orientation) || ' orientations' AS Detail
        FROM slices WHERE NOT localizer GROUP BY 1 HAVING count(DISTINCT orientation) > 1""",
    ),
    Check(
        "localizer among slices",
        "warning",
        "scout images in a series of others",
        """SELECT SeriesInstanceUID, sum(localizer::INT) || ' of ' || count(*) AS Detail
        FROM slices GROUP BY 1 HAVING bool_or(localizer) AND NOT bool_and(localizer)""",
    ),
    Check(
        "mixed size",
        "error",
        "images of a series differ in rows and columns",
        _mixed("sizes", "(Rows || 'x' || Columns)", _NOT_LOCALIZER),
    ),
    Check(
        "mixed pixel spacing",
        "error",
        "images of a series differ in the size of a pixel",
        _mixed("spacings", "PixelSpacing", _NOT_LOCALIZER),
    ),
    Check(
        "mixed slice thickness",
        "warning",
        "images of a series differ in thickness",
        _mixed("thicknesses", "SliceThickness", _NOT_LOCALIZER),
    ),
    Check(
        "mixed kernel",
        "warning",
        "images of a series were reconstructed with different kernels",
        _mixed("kernels", "ConvolutionKernel"),
    ),
    Check(
        "missing rescale",
        "error",
        "a CT or PET image without slope and intercept has no units",
        """SELECT SeriesInstanceUID, count(*) || ' images' AS Detail FROM i JOIN s
        USING (SeriesInstanceUID) WHERE Modality IN ('CT', 'PT') AND Rows IS NOT NULL
        AND coalesce(NumberOfFrames, 1) = 1 AND NOT list_contains(ImageType, 'LOCALIZER')
        AND (RescaleSlope IS NULL OR RescaleIntercept IS NULL) GROUP BY 1""",
    ),
    Check(
        "missing geometry",
        "error",
        "a tomographic image without position, orientation or pixel spacing",
        f"""SELECT SeriesInstanceUID, count(*) || ' images' AS Detail FROM i JOIN s
        USING (SeriesInstanceUID) WHERE {_TOMOGRAPHY} AND Rows IS NOT NULL
        AND coalesce(NumberOfFrames, 1) = 1 AND (ImagePositionPatient IS NULL OR
        ImageOrientationPatient IS NULL OR PixelSpacing IS NULL) GROUP BY 1""",
    ),
    Check(
        "missing identification",
        "warning",
        "a study without patient ID or date, a series without modality",
        """SELECT StudyInstanceUID, concat_ws(', ', CASE WHEN PatientID IS NULL THEN 'PatientID'
        END, CASE WHEN StudyDate IS NULL THEN 'StudyDate' END, CASE WHEN StudyInstanceUID IN
        (SELECT StudyInstanceUID FROM s WHERE Modality IS NULL) THEN 'Modality' END) || ' empty'
        AS Detail FROM t WHERE PatientID IS NULL OR StudyDate IS NULL OR StudyInstanceUID IN
        (SELECT StudyInstanceUID FROM s WHERE Modality IS NULL)""",
    ),
    Check(
        "patient's sex differs", "error", "between studies of one patient", _unlike("PatientSex")
    ),
    Check(
        "patient's birth date differs",
        "error",
        "between studies of one patient",
        _unlike("PatientBirthDate"),
    ),
    Check(
        "differs within",
        "warning",
        "an instance says something else than the first of its study or series",
        """SELECT SOPInstanceUID, Keyword || ' is ' || Value || ', not ' || IndexedValue AS Detail
        FROM differences SEMI JOIN i USING (SOPInstanceUID)""",
    ),
    Check(
        "impossible date",
        "error",
        "born after the study, or a date in the future",
        """SELECT StudyInstanceUID, CASE WHEN StudyDate > current_date + 1 THEN 'StudyDate ' ||
        StudyDate || ' is in the future' ELSE 'born ' || PatientBirthDate || ', examined ' ||
        StudyDate END AS Detail FROM t
        WHERE StudyDate > current_date + 1 OR PatientBirthDate > StudyDate""",
    ),
    Check(
        "impossible age",
        "warning",
        "older than 120 years, or an age that isn't that of the birth date",
        """SELECT StudyInstanceUID, 'age ' || PatientAge || ', by the dates ' || by_dates ||
        ' years' AS Detail FROM (SELECT *, CASE right(PatientAge, 1)
            WHEN 'Y' THEN 1.0 WHEN 'M' THEN 1 / 12.0 WHEN 'W' THEN 7 / 365.25
            WHEN 'D' THEN 1 / 365.25 END * try_cast(left(PatientAge, 3) AS INTEGER) AS told,
            date_sub('year', PatientBirthDate, StudyDate) AS by_dates FROM t)
        WHERE abs(told - by_dates) > 2 OR told > 120
        UNION ALL SELECT StudyInstanceUID, 'by the dates ' ||
        date_sub('year', PatientBirthDate, StudyDate) || ' years' FROM t
        WHERE PatientAge IS NULL AND date_sub('year', PatientBirthDate, StudyDate) > 120""",
    ),
    Check(
        "burned-in text",
        "note",
        "the image says that text is part of its pixels",
        """SELECT SeriesInstanceUID, count(*) || ' images' AS Detail FROM i
        WHERE BurnedInAnnotation = 'YES' GROUP BY 1""",
    ),
    Check(
        "lossy compression",
        "note",
        "pixel values were changed by compression",
        """SELECT SeriesInstanceUID, count(*) || ' images' AS Detail FROM i
        WHERE LossyImageCompression = '01' GROUP BY 1""",
    ),
)
