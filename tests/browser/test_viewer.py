"""The viewer in Chromium: what it shows is what pydicom decodes, and it says what it can't show."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from playwright.sync_api import Page, expect
from pydicom.pixels import apply_modality_lut, pixel_array

from pacslab import Lab
from pacslab.web import fingerprint
from tests.browser.conftest import PATIENCE
from tests.conftest import dicom_file

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(600)]
expect.set_options(timeout=PATIENCE)

GREY = [
    "CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "emri_small.dcm",
    "MR_small_jpeg_ls_lossless.dcm", "JPEG2000.dcm", "liver_1frame.dcm",
    "rtdose_1frame.dcm", 
]  # fmt: skip
COLOUR = [
    "ExplVR_BigEnd.dcm",
    "SC_rgb.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "OBXXXX1A_rle.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    assert fingerprint.state() == "fresh", "build the viewer anew: pip install -e ."
    with Lab(tmp_path_factory.mktemp("viewer")) as made:
        made.synthesize(patients=12, progress=False)
        for name in {*GREY, *COLOUR}:
            made.archive.add(dicom_file(name).read_bytes())
        made.serve(http_port=0, dicom_port=0)
        yield made
        made.stop()


def _open(page: Page, lab: Lab, study: str, more: str = "", token: str | None = None) -> None:
    server = lab.server
    page.goto(f"{server.viewer}?study={study}{more}#token={token or server.token}")


def _state(page: Page, wanted: str) -> None:
    expect(page.locator("body")).to_have_attribute("data-state", wanted)


def _where(data: pydicom.Dataset) -> tuple[str, str]:
    return data.StudyInstanceUID, f"&series={data.SeriesInstanceUID}&slice=1"


@pytest.mark.parametrize("name", GREY)
def test_values_are_those_that_pydicom_decodes(page: Page, lab: Lab, name: str) -> None:
    data = pydicom.dcmread(dicom_file(name))
    study, series = _where(data)
    _open(page, lab, study, series)
    _state(page, "ready")
    frame = pixel_array(data, index=0)
    rescaled = apply_modality_lut(frame, data) if "RescaleSlope" in data else frame
    found = np.array(page.evaluate("window.pacslab.values()"))
    np.testing.assert_allclose(found, np.asarray(rescaled, np.float32).ravel(), rtol=1e-6)


@pytest.mark.parametrize("name", COLOUR)
def test_colours_are_those_that_the_server_renders(page: Page, lab: Lab, name: str) -> None:
    study, series = _where(pydicom.dcmread(dicom_file(name)))
    _open(page, lab, study, series)
    _state(page, "ready")
    found = np.array(page.evaluate("window.pacslab.values()")).reshape(-1, 4)
    rows, columns = lab.sql(
        "SELECT Rows, Columns FROM instances WHERE StudyInstanceUID = $s", s=study
    ).iloc[0]
    assert len(found) == rows * columns
    assert (found[:, 3] == 255).all()
    assert len(np.unique(found[:, :3], axis=0)) > 1


@pytest.fixture(scope="module")
def stack(lab: Lab) -> tuple[str, str, int]:
    found = lab.sql(
        "SELECT StudyInstanceUID, SeriesInstanceUID, NumberOfSeriesRelatedInstances AS slices "
        "FROM series WHERE Modality = 'CT' ORDER BY slices DESC LIMIT 1"
    ).iloc[0]
    return str(found.iloc[0]), str(found.iloc[1]), int(found.iloc[2])


def test_a_stack_is_scrolled_in_the_order_of_space(
    page: Page, lab: Lab, stack: tuple[str, str, int]
) -> None:
    study, series, slices = stack
    assert slices > 3
    _open(page, lab, study, f"&series={series}")
    _state(page, "ready")
    assert "token" not in page.url
    where = page.locator("#where")
    expect(where).to_contain_text(f"{slices // 2 + 1} / {slices}")
    page.locator("#viewport").hover()
    page.mouse.wheel(0, 120)
    expect(where).to_contain_text(f"{slices // 2 + 2} / {slices}")
    page.keyboard.press("Home")
    expect(where).to_contain_text(f"1 / {slices}")
    places = []
    for i in range(slices):
        expect(where).to_contain_text(f"{i + 1} / {slices}")
        places.append(float(where.inner_text().splitlines()[1].removesuffix(" mm").split(",")[2]))
        page.keyboard.press("ArrowDown")
    assert places == sorted(places)
    for edge in ("north", "east", "south", "west"):
        expect(page.locator(f"#{edge}")).not_to_be_empty()


def test_the_address_brings_the_same_picture_back(
    page: Page, lab: Lab, stack: tuple[str, str, int]
) -> None:
    study, series, slices = stack
    _open(page, lab, study, f"&series={series}")
    _state(page, "ready")
    page.get_by_label("Window").select_option(label="Lung (1500/-600)")
    expect(page.locator("#how")).to_contain_text("W 1500  L -600")
    page.keyboard.press("End")
    expect(page.locator("#where")).to_contain_text(f"{slices} / {slices}")
    page.wait_for_url(f"**slice={slices}&**")
    address, shown = page.url, page.locator("#where").inner_text()
    page.goto("about:blank")
    page.goto(f"{address}#token={lab.server.token}")
    _state(page, "ready")
    expect(page.locator("#how")).to_contain_text("W 1500  L -600")
    expect(page.locator("#where")).to_have_text(shown)


def _drag(page: Page, tool: str, x: float, y: float) -> None:
    page.get_by_role("button", name=tool, exact=True).click()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 60, steps=8)
    page.wait_for_timeout(100)
    page.mouse.up()
    page.wait_for_timeout(300)


def test_tools_change_the_picture_and_reset_brings_it_back(
    page: Page, lab: Lab, stack: tuple[str, str, int]
) -> None:
    study, series, _ = stack
    _open(page, lab, study, f"&series={series}")
    _state(page, "ready")
    expect(page.locator("#progress")).to_be_hidden()
    picture = page.locator("#viewport canvas").first

    def becomes(fits: Callable[[bytes], bool]) -> bool:
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            if fits(picture.screenshot()):
                return True
            page.wait_for_timeout(50)
        return False

    assert becomes(lambda shown: len(shown) > 3000), "not an empty picture"
    page.wait_for_timeout(500)  # whatever else is drawn at the beginning
    before = picture.screenshot()
    for key in "irfv":
        page.keyboard.press(key)
        assert becomes(lambda shown: shown != before), key
        page.keyboard.press("Escape")
        assert becomes(lambda shown: shown == before), key
    for tool in ("Window", "Pan", "Zoom"):
        _drag(page, tool, 700, 450)
        assert becomes(lambda shown: shown != before), tool
        page.keyboard.press("Escape")
        assert becomes(lambda shown: shown == before), tool
    page.get_by_role("button", name="Play").click()
    expect(page.locator("#where")).not_to_contain_text(page.locator("#where").inner_text())


def test_measures_are_in_the_right_units(
    page: Page, lab: Lab, stack: tuple[str, str, int], tmp_path: Path
) -> None:
    study, series, _ = stack
    _open(page, lab, study, f"&series={series}")
    _state(page, "ready")
    expect(page.locator("#progress")).to_be_hidden()
    drawn = page.locator("#viewport svg").first
    _drag(page, "Length", 800, 500)
    expect(drawn).to_contain_text("mm")
    _drag(page, "Ellipse", 650, 500)
    expect(drawn).to_contain_text("Mean")
    expect(drawn).to_contain_text("HU")
    page.screenshot(path=tmp_path / "viewer.png")


def test_what_cant_be_shown_is_said(page: Page, lab: Lab) -> None:
    study = lab.sql("SELECT StudyInstanceUID FROM series WHERE Modality = 'SR'").iloc[0, 0]
    series = lab.sql("SELECT SeriesInstanceUID FROM series WHERE Modality = 'SR'").iloc[0, 0]
    _open(page, lab, study, f"&series={series}")
    _state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("no pictures")
    _open(page, lab, "1.2.3")
    _state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("no such study")
    page.goto("about:blank")
    _open(page, lab, study, token="wrong")
    _state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("token")


def test_a_picture_that_cant_be_decoded_is_said_and_not_black(
    page: Page, lab: Lab, tmp_path: Path
) -> None:
    data = pydicom.dcmread(dicom_file("CT_small.dcm"))
    data.SeriesInstanceUID += ".1"
    for number in (1, 2):
        data.SOPInstanceUID += f".{number}"
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.InstanceNumber = number
        data.ImagePositionPatient[2] = 5 * number
        data.save_as(tmp_path / f"{number}.dcm")
        data.PixelData = data.PixelData[:1000]  # of the second one
    assert list(lab.add(tmp_path, progress=False)["Status"]) == ["stored"] * 2
    _open(page, lab, *_where(data))
    _state(page, "ready")  # its neighbour in the series
    page.keyboard.press("End")
    _state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("can’t be shown")
    page.keyboard.press("Home")
    _state(page, "ready")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_the_page_needs_no_token_and_takes_nothing_from_elsewhere(lab: Lab) -> None:
    answer = httpx.get(lab.server.viewer)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "x-frame-options" not in answer.headers
    for name in re.findall(r'(?:src|href)="\./([^"]+)"', answer.text):
        assert httpx.get(lab.server.viewer + name).status_code == 200
    for path in ("nothing.js", "../index.html", "%2e%2e/package.json"):
        assert httpx.get(lab.server.viewer + path).status_code in (401, 404), path
    bare = httpx.get(lab.server.viewer.rstrip("/") + "?study=1.2")
    assert bare.headers["location"] == lab.server.viewer + "?study=1.2"
