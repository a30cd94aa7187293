"""A small archive that is only read, for whole modules, and an empty one for what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from pacslab.archive import Archive
from pacslab.web.app import create_app
from pacslab.web.context import Context
from tests.conftest import dicom_file
from tests.making import instance, item
from tests.web.conftest import web, webs

__all__ = ["web", "webs"]

NAMES = ("Doe^Jane", "Doe^John", "Müller^Änne", "Yamada^Tarou=山田^太郎=やまだ^たろう")

Get = Callable[..., Any]


@pytest.fixture(scope="package")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Four studies 1.1 to 1.4 of a CT and an MR series of two images each; a compressed image."""
    with Archive(tmp_path_factory.mktemp("conformance") / "a") as archive:
        archive.add_many(
            instance(
                StudyInstanceUID=f"1.{s}", SeriesInstanceUID=f"1.{s}.{e}",
                SOPInstanceUID=f"1.{s}.{e}.{i}", SpecificCharacterSet="ISO_IR 192",
                PatientID=f"P{s}", PatientName=NAMES[s - 1], AccessionNumber=f"A[{s}]",
                StudyDate=f"2020010{s}", StudyTime=f"0{s}3000.00", StudyID=None,
                StudyDescription="Head, with contrast" if s < 3 else None,
                Modality=("CT", "MR")[e - 1], SeriesNumber=e, InstanceNumber=i,
                ImageType=["ORIGINAL", "", "AXIAL"], PixelSpacing=["0.5", "0.25"],
                FrameIncrementPointer=0x00181063, ReferencedImageSequence=[],
                RequestAttributesSequence=[item(RequestedProcedureID="RP7", StudyID="x")],
            )
            for s in range(1, 5) for e in (1, 2) for i in (1, 2)
        )  # fmt: skip
        archive.add(dicom_file("JPEG2000.dcm").read_bytes())
        with TestClient(create_app(Context(archive)), raise_server_exceptions=False) as client:
            client.base_url = client.base_url.join("/dicom-web/")
            yield client


@pytest.fixture
def get(pacs: httpx.Client) -> Get:
    """The DICOM JSON at a path below the DICOMweb root."""

    def ask(path: str) -> Any:
        answer = pacs.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/dicom+json"
        return answer.json()

    return ask
