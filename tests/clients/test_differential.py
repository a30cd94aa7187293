"""The same questions to dicomweb-client's DICOMfileClient over our files, and to us over HTTP.

The one reads the files with pydicom and its own database, the other asks our server, which answers
from its index; they share no code but pydicom. Where the two differ, a test of its own says who is
right and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.file import DICOMfileClient
from dicomweb_client.session_utils import create_session
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from requests import HTTPError

from pacslab.archive import Archive
from tests.conftest import dicom_file
from tests.making import instance
from tests.servers import serving

FILES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "emri_small.dcm", "SC_rgb_jpeg_dcmtk.dcm",
         "color3d_jpeg_baseline.dcm", "rtplan.dcm")  # fmt: skip
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class Both:
    """Two clients with the same methods: of the folder, and of our server over it."""

    files: DICOMfileClient
    ours: DICOMwebClient

    def searched(self, level: str, **said: Any) -> tuple[list[Dataset], list[Dataset]]:
        """What each finds, in the same order."""
        pair = []
        for client in (self.files, self.ours):
            found = getattr(client, f"search_for_{level}")(**said)
            read = [Dataset.from_json(one) for one in found]
            pair.append(sorted(read, key=lambda d: [str(d.get(k)) for k in reversed(UIDS)]))
        return pair[0], pair[1]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("differential")
    with Archive(folder / "a") as archive:
        archive.add_many(dicom_file(name).read_bytes() for name in FILES)
        archive.add_many(
            instance(
                StudyInstanceUID=f"1.{s}", SeriesInstanceUID=f"1.{s}.{e}",
                SOPInstanceUID=f"1.{s}.{e}.{i}", PatientID=f"P_{s}", PatientName=f"Doe^Jane{s}",
                PatientSex="FMO"[s - 1], Modality=("CT", "MR")[e - 1], SeriesNumber=e,
                InstanceNumber=i, StudyDate=f"2020010{s}", StudyID=f"S{s}", AccessionNumber=f"A{s}",
                ReferringPhysicianName="Who^Doctor", PatientBirthDate="19700101",
            )
            for s in (1, 2, 3) for e in (1, 2) for i in (1, 2)
        )  # fmt: skip
    files = DICOMfileClient(f"file://{folder / 'a' / 'files'}", in_memory=True)
    with serving(folder / "a") as ready:
        session = create_session()
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {ready.token}"
        yield Both(files, DICOMwebClient(ready.dicomweb, session=session))


# --- where both are right -------------------------------------------------------------------

SEARCHES = [
    {"search_filters": said}
    for said in (
        {},
        {"PatientID": "P_2"},
        {"PatientName": "Doe^*"},
        {"00100010": "Doe^Jane?"},
        {"PatientSex": "F"},
        {"StudyDate": "20200103"},
        {"StudyID": "S1", "PatientID": "P_1"},
        {"PatientID": "nobody"},
        {"ReferringPhysicianName": "Who*", "PatientBirthDate": "19700101"},
    )
]
BELOW = [
    {"search_filters": {"Modality": "MR"}},
    {"search_filters": {"Modality": "MR", "PatientID": "P_3"}},
    {"search_filters": {"SeriesNumber": "2"}},
    {"study_instance_uid": "1.2"},
    {"study_instance_uid": "1.2", "search_filters": {"Modality": "CT"}},
]
OF_IMAGES = [
    {"search_filters": {"SOPInstanceUID": "1.3.2.1"}},
    {"search_filters": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "InstanceNumber": "1"}},
    {"search_filters": {"Rows": "4", "Columns": "4"}},
    {"study_instance_uid": "1.2", "series_instance_uid": "1.2.1"},
]
QUESTIONS = [
    *(("studies", said) for said in SEARCHES),
    *(("series", said) for said in SEARCHES + BELOW),
    *(("instances", said) for said in SEARCHES + BELOW + OF_IMAGES),
]
# The folder's client gives back more than a search asks for, and has a default of its own
BESIDES = {"BitsStored", "SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation",
           "PlanarConfiguration", "NumberOfFrames"}  # fmt: skip


@pytest.mark.parametrize(("level", "said"), QUESTIONS, ids=str)
def test_searches_find_the_same_with_the_same_values(
    both: Both, level: str, said: dict[str, Any]
) -> None:
    theirs, ours = both.searched(level, **said)
    assert len(theirs) == len(ours)
    for one, other in zip(theirs, ours, strict=True):
        for element in one:
            if element.keyword not in BESIDES:
                assert other[element.tag] == element


def _images(both: Both) -> Iterator[tuple[str, str, str, str]]:
    """The UIDs of each instance, and its transfer syntax."""
    for found in both.ours.search_for_instances():
        yield (*(found[f"{tag_for_keyword(k):08X}"]["Value"][0] for k in UIDS),
               found["00083002"]["Value"][0])  # fmt: skip


def test_metadata_is_the_same(both: Both) -> None:
    for *uids, _ in _images(both):
        theirs = both.files.retrieve_instance_metadata(*uids)
        ours = both.ours.retrieve_instance_metadata(*uids)
        assert list(ours)[: len(theirs)] == list(theirs)
        for tag, element in theirs.items():
            if "" in element.get("Value", []):
                continue  # see test_empty_ones_of_several_values
            assert ours[tag] == element


def test_metadata_of_series_and_studies_is_that_of_their_instances(both: Both) -> None:
    for client in (both.files, both.ours):
        assert len(client.retrieve_study_metadata("1.2")) == 4
        assert len(client.retrieve_series_metadata("1.2", "1.2.1")) == 2


def test_instances_are_the_same(both: Both) -> None:
    compared = 0
    for *uids, syntax in _images(both):
        if syntax == ImplicitVRLittleEndian:
            continue  # see test_implicit_little_endian
        theirs = both.files.retrieve_instance(*uids)
        ours = both.ours.retrieve_instance(*uids, media_types=(("application/dicom", "*"),))
        assert ours == theirs
        assert ours.file_meta == theirs.file_meta
        compared += 1
    assert compared == 18


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("JPEG2000.dcm", "image/jp2"), ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg"),
     ("color3d_jpeg_baseline.dcm", "image/jpeg"), ("emri_small.dcm", "application/octet-stream")],
)  # fmt: skip
def test_frames_as_they_are_stored_are_the_same(both: Both, name: str, media_type: str) -> None:
    held = dcmread(dicom_file(name))
    numbers = list(range(1, int(held.get("NumberOfFrames", 1)) + 1, 7))
    said = {"frame_numbers": numbers, "media_types": ((media_type, _syntax(held)),)}
    uids = [held[k].value for k in UIDS]
    theirs = both.files.retrieve_instance_frames(*uids, **said)
    ours = both.ours.retrieve_instance_frames(*uids, **said)
    assert len(ours) == len(numbers)
    assert [_unpadded(f) for f in ours] == [_unpadded(f) for f in theirs]


def _syntax(held: Dataset) -> str:
    return str(held.file_meta.TransferSyntaxUID)


def _unpadded(frame: bytes) -> bytes:
    return frame.rstrip(b"\0")


# --- where one is right ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "theirs", "ours"),
    [
        # A range isn't a DA for the folder's client, which then leaves the key out: PS3.4 C.2.2.2.5
        ({"StudyDate": "20200102-20200103"}, 10, 2),
        # It can't match this required key at all, and leaves it out: PS3.18 table 10.6.1-5
        ({"ModalitiesInStudy": "XA"}, 10, 0),
        # It takes the first kind of wildcard only: PS3.4 C.2.2.2.4
        ({"PatientName": "D?e*"}, 0, 3),
        # SQL's LIKE takes "_" for any character, and A for a; in DICOM they differ: PS3.4 C.2.2.2.1
        ({"PatientID": "p_*"}, 3, 0),
        # Person names match regardless of case, by its LIKE only with a wildcard: C.2.2.2.1.1
        ({"PatientName": "DOE^jane1"}, 0, 1),
        # A list of UIDs is one value to it: PS3.4 C.2.2.2.2
        ({"StudyInstanceUID": "1.1,1.3"}, 0, 2),
    ],
    ids=str,
)
def test_matching_that_the_folders_client_lacks_so_that_we_are_right(
    both: Both, said: dict[str, str], theirs: int, ours: int
) -> None:
    found = both.searched("studies", search_filters=said)
    assert [len(f) for f in found] == [theirs, ours]


def test_keys_that_no_one_knows_are_an_error_with_us_and_left_out_by_the_other(both: Both) -> None:
    """Neither is against the standard; a misspelt key must not find everything."""
    said = {"PatientNmae": "x"}
    assert len(both.files.search_for_studies(search_filters=said)) == 10
    with pytest.raises(HTTPError, match="400"):
        both.ours.search_for_studies(search_filters=said)


def test_number_of_frames_that_is_not_in_the_object(both: Both) -> None:
    """The folder's client makes it 1; we say what is there (PS3.18 table 10.6.3-5)."""
    theirs, ours = both.searched("instances", search_filters={"SOPInstanceUID": "1.3.2.1"})
    assert theirs[0].NumberOfFrames == 1
    assert ours[0].NumberOfFrames is None


def test_return_attributes_that_the_folders_client_lacks(both: Both) -> None:
    """PS3.18 table 10.6.3-3 requires them."""
    theirs, ours = both.searched("studies", search_filters={"StudyInstanceUID": "1.2"})
    lacking = {e.keyword for e in ours[0]} - {e.keyword for e in theirs[0]}
    assert lacking >= {"AccessionNumber", "InstanceAvailability", "RetrieveURL"}
    assert ours[0].AccessionNumber == "A2"


def test_empty_ones_of_several_values(both: Both) -> None:
    """They are null in PS3.18 F.2.5, as we have them; the other leaves them as empty text."""
    held = dcmread(dicom_file("color3d_jpeg_baseline.dcm"))
    uids = [held[k].value for k in UIDS]
    name = "50.80.103.002"
    assert both.files.retrieve_instance_metadata(*uids)["00185010"]["Value"] == [name, "", ""]
    assert both.ours.retrieve_instance_metadata(*uids)["00185010"]["Value"] == [name, None, None]


def test_metadata_has_the_pixel_data_by_its_address_and_what_follows_it(both: Both) -> None:
    """The folder's client stops reading before pixel data; PS3.18 10.4.1.1.2 wants all."""
    held = dcmread(dicom_file("CT_small.dcm"))
    uids = [held[k].value for k in UIDS]
    lacking = set(both.ours.retrieve_instance_metadata(*uids)) - set(
        both.files.retrieve_instance_metadata(*uids)
    )
    assert lacking == {"7FE00010", "FFFCFFFC"}


def test_a_frame_ends_where_the_pixel_data_ends(both: Both) -> None:
    """The folder's client reads the rest of the file as part of the frame."""
    held = dcmread(dicom_file("CT_small.dcm"))
    uids = [held[k].value for k in UIDS]
    (theirs,) = both.files.retrieve_instance_frames(*uids, frame_numbers=[1])
    (ours,) = both.ours.retrieve_instance_frames(*uids, frame_numbers=[1])
    assert ours == held.PixelData
    assert theirs.startswith(ours)
    assert len(theirs) > len(ours)


def test_compressed_frames_are_decoded_for_who_says_nothing(both: Both) -> None:
    """PS3.18 8.7.3.4 makes Explicit VR Little Endian the default; the folder's client has none."""
    held = dcmread(dicom_file("JPEG2000.dcm"))
    uids = [held[k].value for k in UIDS]
    (theirs,) = both.files.retrieve_instance_frames(*uids, frame_numbers=[1])
    (ours,) = both.ours.retrieve_instance_frames(*uids, frame_numbers=[1])
    assert len(theirs) == 250
    assert ours == held.pixel_array.tobytes()


def test_implicit_little_endian(both: Both) -> None:
    """The folder's client can't give these back at all; we give the stored bytes, or explicit."""
    held = dcmread(dicom_file("rtplan.dcm"))
    uids = [held[k].value for k in UIDS]
    with pytest.raises(HTTPError, match="500"):
        both.files.retrieve_instance(*uids)
    for wanted in ("*", ExplicitVRLittleEndian):
        ours = both.ours.retrieve_instance(*uids, media_types=(("application/dicom", wanted),))
        assert ours == held
