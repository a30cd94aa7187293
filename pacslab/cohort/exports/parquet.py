"""The metadata of a cohort as Parquet files, and the pixels when asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pacslab.archive import Stored
from pacslab.cohort.exports.folder import Folder
from pacslab.cohort.exports.job import Job, Outcome
from pacslab.dicom.pixels import open_pixels
from pacslab.errors import PacslabError

_TABLES: Final = ("studies", "series", "instances")
_KEYS: Final = {"studies": "StudyInstanceUID", "series": "SeriesInstanceUID",
                "instances": "SOPInstanceUID"}  # fmt: skip
PIXELS: Final = pa.schema(
    [
        ("SOPInstanceUID", pa.string()),
        ("frame", pa.int32()),
        ("shape", pa.list_(pa.int32())),
        ("dtype", pa.string()),
        ("pixels", pa.binary()),
    ]
)


def write(job: Job, folder: Folder) -> Iterator[Outcome]:
    """studies, series, instances and headers; with ``pixels=True`` a file of frames a series.

    ``pixels`` holds the decoded samples of a frame as bytes (C order, little endian, ``dtype`` as
    NumPy calls it, ``shape`` rows, columns and for colour samples); modality and VOI
    transformations aren't applied. ``headers`` has the DICOM JSON of each instance (PS3.18 Annex
    F).
    """
    for table in _TABLES:
        frame = job.table(
            f"SELECT * FROM {table} WHERE {_KEYS[table]} IN (SELECT {_KEYS[table]} FROM instances "
            f"SEMI JOIN chosen USING (SOPInstanceUID)) ORDER BY {_KEYS[table]}"
        )
        with folder.file(f"{table}.parquet") as partial:
            frame.to_parquet(partial, index=False)
    _headers(job, folder)
    for series, found in job.series():
        if not job.options.get("pixels"):
            yield from (Outcome("instances.parquet", "written", "", s) for s in found)
            continue
        name = f"pixels/{series}.parquet"
        if (folder.root / name).exists():
            yield from (Outcome(name, "already there", "", s) for s in found)
            continue
        yield from _pixels(job, folder, name, found)


def _headers(job: Job, folder: Folder) -> None:
    schema = pa.schema([("SOPInstanceUID", pa.string()), ("header", pa.string())])
    chosen = {stored.sop_instance_uid for stored in job.found}
    series = dict.fromkeys(stored.series_instance_uid for stored in job.found)
    with (
        folder.file("headers.parquet") as partial,
        pq.ParquetWriter(partial, schema, compression="zstd") as writer,
    ):
        for uid in series:
            rows = [
                (stored.sop_instance_uid, header.decode("utf-8", "replace"))
                for stored, header in job.archive.metadata(series_instance_uid=uid)
                if stored.sop_instance_uid in chosen
            ]
            columns: list[Any] = [pa.array(column) for column in zip(*rows, strict=True)]
            writer.write_table(pa.table(columns, schema=schema))


def _pixels(job: Job, folder: Folder, name: str, found: list[Stored]) -> list[Outcome]:
    outcomes = []
    with (
        folder.file(name) as partial,
        pq.ParquetWriter(partial, PIXELS, compression="zstd") as writer,
    ):
        for stored in found:
            if not job.is_image(stored):
                outcomes.append(Outcome("instances.parquet", "written", "", stored))
                continue
            reason = ""
            try:
                with open_pixels(stored.path) as pixels:
                    for number in range(pixels.number_of_frames):
                        array = pixels.frame(number)
                        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
                        row = {
                            "SOPInstanceUID": stored.sop_instance_uid,
                            "frame": number,
                            "shape": list(array.shape),
                            "dtype": little.dtype.name,
                            "pixels": little.tobytes(),
                        }
                        writer.write_table(pa.Table.from_pylist([row], schema=PIXELS))
            except PacslabError as error:
                reason = str(error)
            status = "failed" if reason else "written"
            outcomes.append(Outcome(name, status, reason, stored))
    return outcomes
