"""Accept and what follows from it (PS3.18 8.7)."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from pacslab.errors import NotAcceptableError, QueryError
from pacslab.web.negotiation import (
    ANY,
    COMPRESSED,
    DICOM,
    EXPLICIT_LITTLE,
    OCTETS,
    MediaRange,
    Offer,
    accepted,
    media_type_of,
    parse,
    wishes,
)

SINGLE, MULTI = Offer(DICOM), Offer(DICOM, multipart=True)
FRAMES = (Offer(OCTETS, multipart=True), Offer("image/jls", multipart=True), Offer(OCTETS))


def _request(accept: str | None = None, query: str = "") -> Request:
    headers = [] if accept is None else [(b"accept", accept.encode())]
    return Request({"type": "http", "headers": headers, "query_string": query.encode()})


@pytest.mark.parametrize(
    "text",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.80',
        "multipart/related;type=application/dicom;transfer-syntax=1.2.840.10008.1.2.4.80",
        'Multipart/Related ; Type="application/DICOM" ; Transfer-Syntax="1.2.840.10008.1.2.4.80"',
        "multipart/related; boundary=x; transfer-syntax=1.2.840.10008.1.2.4.80; "
        'type="application/dicom"; charset=utf-8',
    ],
)
def test_quoted_and_unquoted_parameters_are_equal(text: str) -> None:
    assert parse(text) == (MediaRange("multipart/related", DICOM, "1.2.840.10008.1.2.4.80", 1.0),)


def test_weights_order_ranges_and_equal_ones_stay_in_order() -> None:
    found = parse("image/gif;q=0.2, image/png, */*;q=0.1, image/jpeg;q=1.0, image/jls;q=0.5")
    assert [r.type for r in found] == ["image/png", "image/jpeg", "image/jls", "image/gif", "*/*"]


def test_commas_inside_of_quotation_marks_separate_nothing() -> None:
    assert [r.type for r in parse('a/b; x="1,2;q=0", c/d')] == ["a/b", "c/d"]


@pytest.mark.parametrize(
    "text", ["application", "a/b;q=2", "a/b;q=x", "a/b;transfer-syntax=x.y", "a b/c", "/"]
)
def test_what_is_malformed_is_a_query_error(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


def test_the_query_parameter_goes_before_the_header() -> None:
    request = _request("image/png", "accept=application/dicom%3Btransfer-syntax%3D*")
    assert accepted(request) == (MediaRange(DICOM, None, ANY, 1.0),)


def test_a_plus_that_nobody_escaped_is_understood() -> None:
    assert accepted(_request(query="accept=application/dicom+json"))[0].type == (
        "application/dicom+json"
    )


def test_the_transfer_syntax_parameter_counts_where_the_range_has_none() -> None:
    query = f"accept=application/dicom&transfer-syntax={EXPLICIT_LITTLE}"
    assert accepted(_request(query=query))[0].transfer_syntax == EXPLICIT_LITTLE
    query = f"accept=application/dicom;transfer-syntax=*&transfer-syntax={EXPLICIT_LITTLE}"
    assert accepted(_request(query=query))[0].transfer_syntax == ANY


def test_nothing_said_is_anything_and_gets_the_first_offer() -> None:
    assert wishes(accepted(_request()), (MULTI, SINGLE))[0].offer == MULTI


@pytest.mark.parametrize(
    ("accept", "first"),
    [
        ("application/dicom", SINGLE),
        ("application/*", SINGLE),
        ("multipart/related", MULTI),
        ("multipart/*", MULTI),
        ('multipart/related; type="*/*"', MULTI),
        ('application/dicom;q=0.5, multipart/related; type="application/dicom";q=0.9', MULTI),
        ("text/html, application/dicom;q=0.1, application/pdf", SINGLE),
        ('*/*, multipart/related; type="application/dicom";q=0', SINGLE),
    ],
)
def test_the_most_wanted_that_is_offered_is_taken(accept: str, first: Offer) -> None:
    assert wishes(parse(accept), (MULTI, SINGLE))[0].offer == first


def test_wildcards_of_parts_are_understood_as_dicomweb_client_writes_them() -> None:
    for pattern in ("image/*", "image/"):
        wanted = wishes(parse(f'multipart/related; type="{pattern}"'), FRAMES)
        assert [w.offer.media_type for w in wanted] == ["image/jls"]
        assert not wanted[0].named


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_implicit_and_big_endian_cannot_be_asked_for(uid: str) -> None:
    with pytest.raises(NotAcceptableError, match="isn't used on the web"):
        wishes(parse(f"application/dicom; transfer-syntax={uid}"), (SINGLE,))
    both = f"application/dicom; transfer-syntax={uid}, application/dicom;q=0.1"
    assert len(wishes(parse(both), (SINGLE,))) == 1


def test_the_refusal_says_what_could_be_had() -> None:
    with pytest.raises(NotAcceptableError, match='multipart/related; type="application/dicom"'):
        wishes(parse("text/html"), (MULTI, SINGLE))


def test_every_transfer_syntax_has_its_media_type() -> None:
    assert media_type_of("1.2.840.10008.1.2.4.90") == "image/jp2"
    assert media_type_of("1.2.840.10008.1.2.5") == "image/dicom-rle"
    assert media_type_of("1.2.840.10008.1.2.4.202") == "image/jphc"
    assert media_type_of(EXPLICIT_LITTLE) == OCTETS
    assert COMPRESSED["image/jpeg"][0] == "1.2.840.10008.1.2.4.70"  # PS3.18 table 8.7.3-5
