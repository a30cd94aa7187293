"""Three doors, one instance: C-STORE, STOW-RS and folder give the same bytes, row and answers.

The sender is ours, since it sends the bytes of the file; DCMTK's and pynetdicom's write the data
set anew (tests/network has them).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pacslab.archive import Archive
from pacslab.dicom.instance import data_set_offset
from pacslab.dicom.matching import Query
from tests.conftest import dicom_file
from tests.servers import client, run, serving

FILES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_small_odd.dcm",
    "rtdose.dcm",
    "MR_small_bigendian.dcm",
    "color3d_jpeg_baseline.dcm",
]
OWN = {"Source", "ReceivedAt", "Changed", "id"}


def state(directory: Path) -> dict[str, Any]:
    """The bytes behind the file meta information, and every row but what tells the door."""
    with Archive(directory) as archive:
        (stored,) = archive.instances()
        data = stored.path.read_bytes()
        with archive.database.reading() as connection:
            rows = {
                table: [
                    {k: v for k, v in row.items() if k not in OWN}
                    for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()
                ]
                for table in ("studies", "series", "instances", "differences")
            }
        return {
            "bytes": data[data_set_offset(data) :],
            "rows": rows,
            "header": [h for _, h in archive.metadata()],
            "search": [list(archive.search(Query.build(level))) for level in ("STUDY", "IMAGE")],
            "check": list(archive.check()),
        }


def answers(ready: Any) -> dict[str, Any]:
    """What DICOMweb says of the only instance, with addresses relative to the server."""
    with client(ready) as web:

        def get(path: str, accept: str = "application/dicom+json") -> str:
            answer = web.get(path, headers={"Accept": accept})
            assert answer.status_code == 200, answer.text
            return answer.text.replace(ready.base, "")

        study = web.get("/dicom-web/studies").json()[0]["0020000D"]["Value"][0]
        return {
            path: get(path)
            for path in (
                "/dicom-web/studies",
                "/dicom-web/series?includefield=all",
                "/dicom-web/instances?includefield=all",
                f"/dicom-web/studies/{study}/metadata",
            )
        }


@pytest.mark.curl
@pytest.mark.parametrize("name", FILES)
def test_three_doors(tmp_path: Path, name: str) -> None:
    path = dicom_file(name)
    found: dict[str, Any] = {}
    for door in ("folder", "c-store", "stow"):
        directory = tmp_path / door
        if door == "folder":
            assert run("add", str(directory), str(path)).returncode == 0
        with serving(directory, stderr=tmp_path / f"{door}.log") as ready:
            if door == "c-store":
                sent = run("send", str(path), f"{ready.ae_title}@{ready.dicom}")
                assert sent.returncode == 0, sent.stderr
            if door == "stow":
                posted = subprocess.run(
                    ["curl", "-sS", "--noproxy", "*", "-o", str(tmp_path / "answer"),
                     "-w", "%{http_code}",
                     "-H", f"Authorization: Bearer {ready.token}",
                     "-H", "Content-Type: application/dicom", "--data-binary", f"@{path}",
                     f"{ready.dicomweb}/studies"],
                    capture_output=True, text=True, check=True, timeout=60,
                )  # fmt: skip
                assert posted.stdout == "200", (tmp_path / "answer").read_text()
            found[door] = answers(ready)
        found[door].update(state(directory))
    original = path.read_bytes()
    assert found["folder"]["bytes"] == original[data_set_offset(original) :]
    assert found["c-store"] == found["folder"]
    assert found["stow"] == found["folder"]
    assert found["folder"]["check"] == []
