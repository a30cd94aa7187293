"""What viewers ask, all at once, against what the data say.

The requests of OHIF have its parameters in its order and its escaping; those of 3D Slicer and
Weasis are what is known of them: paging to the end, an empty parameter. The answers are compared
with the list that the archive was filled from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest

from pacslab.archive import Archive
from tests.making import instance
from tests.servers import serving


@dataclass(frozen=True)
class Study:
    """A study as it is put into the archive."""

    uid: str
    name: str
    patient_id: str
    date: str
    accession: str
    description: str
    modalities: tuple[str, ...]


YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"
NAMES = ("Müller^Anna", "Mueller^Otto", "MULLER^ANNE", "Meyer^Jon", "Maier^John", "Doe^Jane",
         "Roe^Jane", YAMADA, "Smith-Jones^Mary", "Moore^Bob")  # fmt: skip
STUDIES = tuple(
    Study(
        uid=f"1.2.{i}",
        name=NAMES[i % len(NAMES)],
        patient_id=f"MRN-{i % 12:03}",
        date=f"202{i % 4}0{1 + i % 9}15",
        accession=f"A{i:04}",
        description=("CT Thorax, nativ", "MR Knie re.", "Röntgen 50%")[i % 3],
        modalities=(("CT",), ("MR", "SR"), ("CT", "PT"), ("DX",))[i % 4],
    )
    for i in range(60)
)
OHIF_FIELDS = "includefield=00081030%2C00080060"

Asked = Callable[[str], httpx.Response]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("viewers")
    with Archive(folder / "a") as archive:
        archive.add_many(
            instance(
                SpecificCharacterSet="ISO_IR 192", StudyInstanceUID=s.uid,
                SeriesInstanceUID=f"{s.uid}.{e}", SOPInstanceUID=f"{s.uid}.{e}.1",
                PatientName=s.name, PatientID=s.patient_id, StudyDate=s.date,
                AccessionNumber=s.accession, StudyDescription=s.description, Modality=modality,
                SeriesNumber=e, SeriesDescription=f"{modality} {e}",
            )
            for s in STUDIES
            for e, modality in enumerate(s.modalities, 1)
        )  # fmt: skip
    with serving(folder / "a") as ready:
        headers = {"Authorization": f"Bearer {ready.token}"}
        with httpx.Client(headers=headers, trust_env=False, timeout=60) as client:
            client.base_url = httpx.URL(ready.dicomweb.rstrip("/") + "/")
            yield client


@pytest.fixture
def asked(server: httpx.Client) -> Asked:
    """An answer to exactly this path and query, which must be a success."""

    def ask(path: str) -> httpx.Response:
        answer = server.get(path)
        assert answer.status_code == 200, answer.text
        return answer

    return ask


def uids(answer: httpx.Response, tag: str = "0020000D") -> list[str]:
    return [found[tag]["Value"][0] for found in answer.json()]


def those(condition: Callable[[Study], bool]) -> list[str]:
    """The studies that the list says, in the order of all answers."""
    return sorted(s.uid for s in STUDIES if condition(s))


def of(*names: str) -> Callable[[Study], bool]:
    return lambda study: study.name in names


MULLERS = of("Müller^Anna", "Mueller^Otto", "MULLER^ANNE")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("mueller", MULLERS),
        ("M%C3%BCller", MULLERS),
        ("muell", MULLERS),
        ("Muellr", MULLERS),
        ("meier", of("Meyer^Jon", "Maier^John")),
        ("jon", of("Meyer^Jon", "Maier^John", "Smith-Jones^Mary")),  # jones begins so
        ("john", of("Meyer^Jon", "Maier^John")),
        ("meyer%5Ejohn", of("Meyer^Jon", "Maier^John")),
        ("JANE%20DOE", of("Doe^Jane")),
        ("jones", of("Smith-Jones^Mary")),
        ("%E5%B1%B1%E7%94%B0", of(YAMADA)),
        ("%E3%82%84%E3%81%BE", of(YAMADA)),
        ("tarou", of(YAMADA)),
        ("nobody", of()),
    ],
)
@pytest.mark.parametrize("form", ["{}*", "*{}*"])
def test_ohif_asks_for_a_name_as_it_is_typed(
    asked: Asked, typed: str, expected: Callable[[Study], bool], form: str
) -> None:
    answer = asked(
        f"studies?limit=101&offset=0&fuzzymatching=true&{OHIF_FIELDS}"
        f"&PatientName={form.format(typed)}"
    )
    assert uids(answer) == those(expected)
    assert "warning" not in answer.headers


def test_ohif_asks_everything_at_once(asked: Asked) -> None:
    answer = asked(
        f"studies?limit=101&offset=0&fuzzymatching=true&{OHIF_FIELDS}&PatientName=*mueller*"
        "&00100020=*MRN*&AccessionNumber=*A00*&StudyDescription=*Thorax*"
        "&StudyDate=20200101-20221231&ModalitiesInStudy=CT%5CMR"
    )
    expected = those(
        lambda s: (
            MULLERS(s)
            and "Thorax" in s.description
            and "2020" <= s.date[:4] <= "2022"
            and bool({"CT", "MR"} & set(s.modalities))
        )
    )
    assert len(expected) > 1
    assert uids(answer) == expected
    by_uid = {s.uid: s for s in STUDIES}
    for found in answer.json():
        study = by_uid[found["0020000D"]["Value"][0]]
        assert found["00081030"]["Value"] == [study.description]
        assert found["00100010"]["Value"][0]["Alphabetic"] == study.name
        assert found["00080061"]["Value"] == sorted(study.modalities)
        assert found["00201206"]["Value"] == [len(study.modalities)]
        assert found["00080020"]["Value"] == [study.date]


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_ohif_turns_pages_of_a_fuzzy_search(asked: Asked, size: int) -> None:
    whole = those(MULLERS)
    paged: list[str] = []
    for offset in range(0, len(whole), size):
        answer = asked(
            f"studies?limit={size}&offset={offset}&fuzzymatching=true&{OHIF_FIELDS}"
            "&PatientName=*mueller*"
        )
        paged += uids(answer)
        left = len(whole) - len(paged)
        said = answer.headers.get("warning", "")
        assert (f"There are {left} additional results" in said) if left else said == ""
    assert paged == whole


def test_ohif_opens_a_study(asked: Asked) -> None:
    study = STUDIES[1]
    found = asked(f"studies/{study.uid}/series?includefield=00080021,00080031,0008103E").json()
    assert [s["00080060"]["Value"][0] for s in found] == list(study.modalities)
    assert [s["0008103E"]["Value"][0] for s in found] == ["MR 1", "SR 2"]
    for series in found:
        url = f"studies/{study.uid}/series/{series['0020000E']['Value'][0]}/metadata"
        assert [m["0020000D"]["Value"] for m in asked(url).json()] == [[study.uid]]


def test_ohif_asks_for_the_other_studies_of_a_patient(asked: Asked) -> None:
    answer = asked(f"studies?limit=101&offset=0&fuzzymatching=false&{OHIF_FIELDS}&00100020=MRN-003")
    assert uids(answer) == those(lambda s: s.patient_id == "MRN-003")


def test_slicer_pages_until_an_answer_is_empty(asked: Asked) -> None:
    """dicomweb-client, which 3D Slicer uses, goes on from where it is to an empty answer."""
    found: list[str] = []
    for _ in range(len(STUDIES)):
        page = uids(asked(f"studies?offset={len(found)}&limit=25"))
        if not page:
            break
        found += page
    assert found == those(lambda _: True)


@pytest.mark.parametrize("query", ["?&", "?", "?&limit=100&offset=0&", "?&&includefield=00081030"])
def test_weasis_writes_an_ampersand_too_many(asked: Asked, query: str) -> None:
    assert uids(asked(f"studies{query}")) == those(lambda _: True)


def test_weasis_goes_from_patient_to_images(asked: Asked) -> None:
    """It asks level by level with keys in the query, and asks on while pages are full."""
    fields = "includefield=00080020,00080030,00081030,0020000E,0008103E,00080060,00200013"
    expected = those(lambda s: s.patient_id == "MRN-001")
    found: list[str] = []
    for offset in count(0, 2):
        page = uids(asked(f"studies?&00100020=MRN-001&{fields}&limit=2&offset={offset}"))
        found += page
        if len(page) < 2:
            break
    assert found == expected
    for uid in found:
        modalities = next(s.modalities for s in STUDIES if s.uid == uid)
        series = uids(asked(f"series?&0020000D={uid}&{fields}&"), "0020000E")
        assert series == [f"{uid}.{e}" for e in range(1, len(modalities) + 1)]
        for one in series:
            images: list[dict[str, Any]] = asked(f"instances?&0020000E={one}&{fields}").json()
            assert [i["00080018"]["Value"] for i in images] == [[f"{one}.1"]]
