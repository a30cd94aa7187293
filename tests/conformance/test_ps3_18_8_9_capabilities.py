"""PS3.18 8.9 and Annex H: Retrieve Capabilities, and the methods of each resource."""

from __future__ import annotations

from xml.etree import ElementTree

import httpx
import pytest

WADL = "application/vnd.sun.wadl+xml"
NAMESPACE = {"w": "http://wadl.dev.java.net/2009/02"}
ROOT = "http://testserver/dicom-web"


def tree(pacs: httpx.Client) -> ElementTree.Element:
    answer = pacs.request("OPTIONS", ROOT, headers={"Accept": WADL})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == WADL
    return ElementTree.fromstring(answer.content)


def methods(element: ElementTree.Element, path: str = "") -> set[tuple[str, str]]:
    found = {(path, m.attrib["name"]) for m in element.findall("w:method", NAMESPACE)}
    for below in element.findall("w:resource", NAMESPACE):
        found |= methods(below, f"{path}/{below.attrib['path']}")
    return found


@pytest.mark.parametrize("path", [ROOT, f"{ROOT}/"])
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_8_9_1_the_base_uri_tells_what_is_served(
    pacs: httpx.Client, path: str, method: str
) -> None:
    answer = pacs.request(method, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == WADL
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_annex_h_one_application_with_one_resources_element_and_the_base(
    pacs: httpx.Client,
) -> None:
    root = tree(pacs)
    assert root.tag == f"{{{NAMESPACE['w']}}}application"
    (resources,) = root.findall("w:resources", NAMESPACE)
    assert resources.attrib["base"] == "http://testserver/dicom-web/"
    forwarded = {"X-Forwarded-Prefix": "/user/x", "X-Forwarded-Host": "lab.example"}
    text = pacs.request("OPTIONS", ROOT, headers=forwarded).text
    # The client of these tests isn't a trusted proxy: it is believed nothing
    assert "lab.example" not in text


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/studies", "GET"),
        ("/studies", "POST"),
        ("/studies/{study}", "GET"),
        ("/studies/{study}", "POST"),
        *(
            (f"/studies/{{study}}{level}{resource}", "GET")
            for level in ("", "/series/{series}", "/series/{series}/instances/{instance}")
            for resource in ("", "/metadata", "/rendered", "/thumbnail", "/bulkdata", "/pixeldata")
        ),
        ("/studies/{study}/series", "GET"),
        ("/studies/{study}/series/{series}/instances", "GET"),
        ("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", "GET"),
        ("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered", "GET"),
        ("/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail", "GET"),
        ("/studies/{study}/instances", "GET"),
        ("/series", "GET"),
        ("/instances", "GET"),
    ],
)
def test_annex_h_table_h_1_every_resource_of_the_studies_service(
    pacs: httpx.Client, path: str, method: str
) -> None:
    (resources,) = tree(pacs).findall("w:resources", NAMESPACE)
    assert (path, method) in methods(resources)


def test_annex_h_methods_have_parameters_and_representations(pacs: httpx.Client) -> None:
    (resources,) = tree(pacs).findall("w:resources", NAMESPACE)
    (studies,) = (r for r in resources if r.attrib["path"] == "studies")
    search, store = studies.findall("w:method", NAMESPACE)
    names = {p.attrib["name"] for p in search.iterfind("w:request/w:param", NAMESPACE)}
    assert {"Accept", "limit", "offset", "includefield", "PatientID", "StudyDate"} <= names
    told = [r.attrib["mediaType"] for r in search.iterfind("w:response/*", NAMESPACE)]
    assert told[0] == "application/dicom+json"
    assert 'multipart/related; type="application/dicom+xml"' in told
    taken = [r.attrib["mediaType"] for r in store.iterfind("w:request/*", NAMESPACE)
             if "mediaType" in r.attrib]  # fmt: skip
    assert 'multipart/related; type="application/dicom"' in taken


def test_8_9_openapi_for_who_accepts_json(pacs: httpx.Client) -> None:
    answer = pacs.request("OPTIONS", ROOT, headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["openapi"].startswith("3.")
    assert told["servers"] == [{"url": "http://testserver"}]
    at_root = pacs.get("http://testserver/openapi.json").json()
    assert told["paths"] == at_root["paths"]
    frames = told["paths"][
        "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}"
    ]["get"]
    assert {p["name"] for p in frames["parameters"] if p["in"] == "path"} == {
        "study", "series", "instance", "frames",
    }  # fmt: skip
    assert 'multipart/related; type="image/jp2"' in frames["responses"]["200"]["content"]
    identifiers = [one["operationId"] for path in told["paths"].values() for one in path.values()]
    assert len(identifiers) == len(set(identifiers))
    assert pacs.request("OPTIONS", ROOT, headers={"Accept": "text/csv"}).status_code == 406


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("studies", "GET, HEAD, POST"),
        ("studies/1.1", "GET, HEAD, POST, DELETE"),
        ("studies/1.1/series", "GET, HEAD"),
        ("studies/1.1/series/1.1.1", "GET, HEAD, DELETE"),
        ("", "GET, HEAD, OPTIONS"),
    ],
)
def test_405_names_every_method_of_the_resource(pacs: httpx.Client, path: str, allow: str) -> None:
    answer = pacs.put(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert allow in answer.json()["detail"]
    if path:
        answer = pacs.request("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"], answer.content) == (204, allow, b"")


def test_options_of_what_there_is_not_is_404(pacs: httpx.Client) -> None:
    assert pacs.request("OPTIONS", "nothing").status_code == 404
