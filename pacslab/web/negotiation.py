"""What a client accepts and what it gets: media types and transfer syntaxes (PS3.18 8.7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection

from pacslab.dicom.uids import is_uid
from pacslab.errors import NotAcceptableError, QueryError

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
MULTIPART: Final = "multipart/related"

EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
"""The default transfer syntax of DICOM over the web (PS3.18 8.7.3.4)."""

ANY: Final = "*"
"""The transfer syntax of who takes whatever is stored (PS3.18 8.7.3.5.2)."""

FORBIDDEN: Final = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.2"})
"""Implicit VR Little Endian and Explicit VR Big Endian can't be asked for (PS3.18 8.7.3)."""

_JPEG: Final = "1.2.840.10008.1.2.4."
COMPRESSED: Final[Mapping[str, tuple[str, ...]]] = {
    "image/jpeg": tuple(_JPEG + n for n in ("70", "50", "51", "57")),
    "image/jls": tuple(_JPEG + n for n in ("80", "81")),
    "image/jp2": tuple(_JPEG + n for n in ("90", "91")),
    "image/jpx": tuple(_JPEG + n for n in ("92", "93")),
    "image/jphc": tuple(_JPEG + n for n in ("201", "202", "203")),
    "image/jxl": tuple(_JPEG + n for n in ("110", "111", "112")),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
    "image/x-dicom-rle": ("1.2.840.10008.1.2.5",),  # its name before 2016, which OHIF still sends
    "video/mpeg": tuple(_JPEG + n for n in ("100", "101", "100.1", "101.1")),
    "video/mp4": tuple(_JPEG + n for n in ("102", "103", "104", "105", "106", "102.1", "103.1",
                                           "104.1", "105.1", "106.1")),
    "video/h265": tuple(_JPEG + n for n in ("107", "108")),
}  # fmt: skip
"""Media types of compressed pixel data with their transfer syntaxes, the default first.

PS3.18 tables 8.7.3-4 and 8.7.3-5.
"""

UNDECODABLE: Final = frozenset(
    uid
    for media_type in ("video/mpeg", "video/mp4", "video/h265", "image/jxl")
    for uid in COMPRESSED[media_type]
)
"""Transfer syntaxes that no codec here can decode: sent as they are stored, or not at all."""

_TYPE_OF: Final = {
    syntax: media_type
    for media_type, syntaxes in reversed(list(COMPRESSED.items()))
    for syntax in syntaxes
}
_RANGE: Final = re.compile(r'((?:[^",]|"(?:[^"\\]|\\.)*")+)')
_PARAMETER: Final = re.compile(r';\s*([^\s=;]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_TOKEN: Final = re.compile(r"[^\s/;,\"]+/[^\s/;,\"]+")
_WEIGHT: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of an Accept header: types in lower case, ``part`` that of a multipart's parts.

    ``transfer_syntax`` is a UID, :data:`ANY`, or None where the client doesn't say.
    """

    type: str
    part: str | None
    transfer_syntax: str | None
    q: float


@dataclass(frozen=True, slots=True)
class Offer:
    """What a resource can be had as: alone, or as the parts of a multipart/related."""

    media_type: str
    multipart: bool = False

    def __str__(self) -> str:
        return f'{MULTIPART}; type="{self.media_type}"' if self.multipart else self.media_type


@dataclass(frozen=True, slots=True)
class Wish:
    """An offer that the client accepts, with the transfer syntax that it said, if any.

    ``named``: it named the media type, and didn't only let it pass by a wildcard.
    """

    offer: Offer
    transfer_syntax: str | None
    named: bool


@lru_cache(maxsize=512)
def parse(accept: str) -> tuple[MediaRange, ...]:
    """The media ranges of an Accept header, the most wanted first (RFC 9110 12.5.1).

    Quoted and unquoted parameter values are equal (PS3.18 8.7.1). Raises QueryError.
    """
    found = [_media_range(text.strip()) for text in _RANGE.findall(accept) if text.strip()]
    return tuple(sorted(found, key=lambda one: -one.q))


def accepted(request: HTTPConnection) -> tuple[MediaRange, ...]:
    """What the client accepts: the ``accept`` query parameter before the Accept header.

    The query parameter ``transfer-syntax`` counts where a media range has none (PS3.18 8.7.8.2).
    Nothing said is anything. Raises QueryError for what can't be parsed.
    """
    # Straight from the scope: this runs for every frame
    said = ",".join(v.decode("latin-1") for k, v in request.scope["headers"] if k == b"accept")
    syntax = None
    query: bytes = request.scope.get("query_string", b"")
    if b"accept" in query or b"transfer" in query:
        parameters = parse_qs(query.decode("latin-1"))
        # A plus that nobody escaped has become a space
        asked = ",".join(parameters.get("accept", ())).replace("+", " ")
        said = re.sub(r"dicom (json|xml)", r"dicom+\1", asked) or said
        for name in ("transfer-syntax", "transferSyntax"):
            syntax = _syntax(parameters[name][0]) if name in parameters else syntax
    ranges = parse(said or "*/*")
    if syntax is None:
        return ranges
    return tuple(MediaRange(r.type, r.part, r.transfer_syntax or syntax, r.q) for r in ranges)


def wishes(ranges: Sequence[MediaRange], offers: Iterable[Offer]) -> tuple[Wish, ...]:
    """The offers that are accepted, the most wanted first; equally wanted ones in their order.

    Raises NotAcceptableError, which says what could be had (PS3.18 8.7.5).
    """
    return _wishes(tuple(ranges), tuple(offers))


@lru_cache(maxsize=512)
def _wishes(ranges: tuple[MediaRange, ...], offers: tuple[Offer, ...]) -> tuple[Wish, ...]:
    found: list[Wish] = []
    for one in ranges:
        if one.q == 0 or one.transfer_syntax in FORBIDDEN:
            continue
        for offer in offers:
            if (named := _fits(one, offer)) is None or _refused(ranges, offer):
                continue
            wish = Wish(offer, one.transfer_syntax, named)
            if wish not in found:
                found.append(wish)
    if not found:
        forbidden = [r.transfer_syntax for r in ranges if r.transfer_syntax in FORBIDDEN]
        why = f"transfer syntax {forbidden[0]} isn't used on the web" if forbidden else ""
        raise not_acceptable(offers, why)
    return tuple(found)


def not_acceptable(offers: Iterable[Offer | str], why: str = "") -> NotAcceptableError:
    """The error for a client that accepts nothing of what there is."""
    shown = ", ".join(dict.fromkeys(map(str, offers)))
    return NotAcceptableError(f"{why or 'not to be had as asked for'}; accept one of: {shown}")


def media_type_of(transfer_syntax_uid: str) -> str:
    """The media type of pixel data in a transfer syntax (PS3.18 table 8.7.3-4)."""
    return _TYPE_OF.get(transfer_syntax_uid, OCTETS)


def content_type(media_type: str, transfer_syntax_uid: str) -> str:
    """The Content-Type of DICOM or pixel data (PS3.18 8.7.3.5.2)."""
    return f"{media_type}; transfer-syntax={transfer_syntax_uid}"


def _media_range(text: str) -> MediaRange:
    kind = text.split(";", 1)[0].strip().lower()
    kind = "*/*" if kind == "*" else kind  # as Java's URLConnection writes it
    if not _TOKEN.fullmatch(kind):
        raise QueryError(f"{text!r} isn't a media type: write it as type/subtype;name=value")
    parameters = {
        name.lower(): re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] == '"' else value.strip()
        for name, value in _PARAMETER.findall(text)
    }
    weight = parameters.get("q", "1")
    if not _WEIGHT.fullmatch(weight):
        raise QueryError(f"q={weight} in {text!r}: a weight is a number from 0 to 1")
    syntax = parameters.get("transfer-syntax")
    part = parameters.get("type", "").lower() or None
    return MediaRange(
        kind,
        part if kind == MULTIPART else None,
        None if syntax is None else _syntax(syntax),
        float(weight),
    )


def _syntax(text: str) -> str:
    if text != ANY and not is_uid(text):
        raise QueryError(f"transfer-syntax={text!r}: give one UID, or * for what is stored")
    return text


def _fits(one: MediaRange, offer: Offer) -> bool | None:
    """Whether a range lets an offer pass, and then whether it names it; None if it doesn't."""
    if one.type == "*/*":
        return False
    if not offer.multipart:
        return _covers(one.type, offer.media_type)
    if one.type == "multipart/*":
        return False
    if one.type != MULTIPART:
        return None
    return False if one.part is None else _covers(one.part, offer.media_type)


def _covers(pattern: str, media_type: str) -> bool | None:
    if pattern in (media_type, "*/*"):
        return pattern == media_type
    # dicomweb-client writes "image/" too
    major = pattern.removesuffix("*")
    return False if major.endswith("/") and media_type.startswith(major) else None


def _refused(ranges: Iterable[MediaRange], offer: Offer) -> bool:
    return any(one.q == 0 and _fits(one, offer) for one in ranges)
