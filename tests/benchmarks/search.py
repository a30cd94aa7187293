"""QIDO-RS by PatientID and by StudyDescription, among few studies and among many."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from pacslab import Lab
from pacslab.archive.index import Writer
from pacslab.dicom.instance import Instance, read
from tests.benchmarks import data
from tests.benchmarks.asking import Ask, median_ms, requests_per_second
from tests.benchmarks.peers import Peer, pacslab
from tests.benchmarks.table import Measure, Row, compared

_TIMES_SLOWER = 1.5  # with many studies, at most


def filled(peers: list[Peer], studies: int) -> None:
    """Bring studies of one instance each into the servers."""
    data.fill(peers, data.copies(data.MR, studies, per_series=1, series_per_study=1))


def measures(studies: int, asked: int) -> list[Measure]:
    """The searches, each for some five or ten of so many studies."""
    by_patient = [Ask(f"/studies?PatientID={data.patient(i * 7 % studies)}") for i in range(asked)]
    beginning = [_described(f"{_words(i * 7 % studies)}*") for i in range(asked)]
    within = [_described(f"*{i * 7 % studies // 10:05d}*") for i in range(asked // 4)]
    return [
        Measure(
            f"QIDO-RS by {what}, {studies:,} studies, four connections",
            "requests/s",
            lambda peer, _, asks=asks: requests_per_second(peer, asks),
            target=2,
        )
        for what, asks in (
            ("PatientID", by_patient),
            ("StudyDescription, beginning of it\\*", beginning),
            ("StudyDescription, \\*part of it\\*", within),
        )
    ] + [
        Measure(
            f"QIDO-RS by PatientID, {studies:,} studies, one request",
            "ms",
            lambda peer, _: median_ms(peer, by_patient[0], 50),
            higher=False,
        )
    ]


def _words(study: int) -> str:
    return data.description(study).removesuffix(" ROUTINE")


def _described(pattern: str) -> Ask:
    return Ask(f"/studies?StudyDescription={quote(pattern, safe='*')}")


def among_many(folder: Path, studies: int, asked: int, before: Sequence[Row]) -> list[Row]:
    """pacslab's own figures with many studies, and how they compare with those ``before``."""
    folder.mkdir()
    index_alone(folder / "archive", studies)
    with pacslab(folder) as peer:
        found = compared(measures(studies, asked), [peer])
    return [
        dataclasses.replace(
            row,
            target=None,
            remark=f"{_slower(row, few):.2f} times slower than with few",
        )
        for row, few in zip(found, before, strict=True)
    ]


def _slower(many: Row, few: Row) -> float:
    return few.pacslab / many.pacslab if many.higher else many.pacslab / few.pacslab


def index_alone(directory: Path, studies: int) -> None:
    """An archive's index of so many studies, through its own writer, without their files.

    Searching opens no file; writing a hundred thousand would take minutes and measure nothing.
    """
    with Lab(directory) as lab:
        made = _instances(studies)
        while batch := list(islice(made, 5000)):
            with lab.archive.database.writing() as (connection, revision):
                Writer(connection, revision).insert([(one, "benchmark", None) for one in batch])


def _instances(studies: int) -> Iterator[Instance]:
    """One real instance under other UIDs, patients and descriptions."""
    (made,) = data.copies(data.MR, 1)
    first = read(made.data)
    for i in range(studies):
        uids = [f"{uid[:40]}.{i}" for uid in (made.study, made.series, made.instance)]
        named = {"PatientID": data.patient(i), "StudyDescription": data.description(i)}
        row = {
            **first.row,
            **named,
            **dict(
                zip(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), uids, strict=True)
            ),
        }
        header = first.header
        for old, new in (
            (made.study, uids[0]),
            (made.series, uids[1]),
            (made.instance, uids[2]),
            (str(first.row["PatientID"]), named["PatientID"]),
            (str(first.row["StudyDescription"]), named["StudyDescription"]),
        ):
            header = header.replace(old, new)
        yield dataclasses.replace(
            first,
            study_instance_uid=uids[0],
            series_instance_uid=uids[1],
            sop_instance_uid=uids[2],
            row=row,
            header=header,
        )
