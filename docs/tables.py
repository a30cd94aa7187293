"""The tables of conformance.md, made from what the code knows (``make docs``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pydicom.uid import UID

from pacslab import errors
from pacslab.archive.search import fields_of
from pacslab.deid import profiles
from pacslab.dicom import matching, names
from pacslab.dicom.instance import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacslab.dicom.keywords import Attribute, Level, at, returned_at, returned_if_there
from pacslab.dicom.rendering import MEDIA_TYPES
from pacslab.dicom.transcode import LOSSY, NATIVE, TARGETS
from pacslab.network import contexts, listener, store
from pacslab.web import capabilities, delete, qido, stow, wado, wado_uri
from pacslab.web.negotiation import COMPRESSED, FORBIDDEN, UNDECODABLE, media_type_of

LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)


def _table(head: str, rows: Iterable[Iterable[object]]) -> str:
    columns = head.split(" | ")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _name(uid: str) -> str:
    return UID(uid).name.replace("|", "/")


def _in_order(uids: Iterable[str]) -> list[str]:
    return sorted(uids, key=lambda uid: [int(part) for part in uid.split(".")])


def identity() -> str:
    """What we say of ourselves in association negotiation (PS3.7 D.3.3.2)."""
    rows = [
        ("Application context", "`1.2.840.10008.3.1.1.1`"),
        ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
        ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION_NAME}`"),
        ("Maximum PDU length received", f"{listener._MAXIMUM_PDU} bytes"),
        ("Idle time until an association is ended", f"{listener._IDLE:g} s"),
    ]
    return _table("what | value", rows)


def sop_classes() -> str:
    """The storage SOP classes that are accepted."""
    head = f"{len(contexts.STORAGE)} SOP classes"
    rows = ((_name(uid), f"`{uid}`") for uid in _in_order(contexts.STORAGE))
    table = _table("SOP class | UID", rows)
    return f"<details><summary>{head}</summary>\n\n{table}\n\n</details>"


def transfer_syntaxes() -> str:
    """Every transfer syntax: over DIMSE, and what DICOMweb can do with it."""

    def rows() -> Iterator[tuple[str, ...]]:
        for uid in _in_order(contexts.TRANSFER_SYNTAXES):
            kind = media_type_of(uid)
            native = not UID(uid).is_compressed or uid in NATIVE
            known = kind.startswith("image/") and uid not in UNDECODABLE
            made = "" if uid not in TARGETS or uid in FORBIDDEN else "yes"
            made = "yes, with loss" if uid in LOSSY else made
            frames = "" if native or kind == "application/octet-stream" else f"`{kind}`"
            yield _name(uid), f"`{uid}`", "yes" if native or known else "", made, frames

    count = f"{len(contexts.TRANSFER_SYNTAXES)} transfer syntaxes"
    head = "transfer syntax | UID | decoded | encoded | media type of frames"
    return f"<details><summary>{count}</summary>\n\n{_table(head, rows())}\n\n</details>"


def statuses() -> str:
    """C-STORE's statuses and STOW-RS' failure reasons, from the errors themselves."""

    def below(kind: type[errors.PacslabError]) -> Iterator[type[errors.PacslabError]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    kinds = [*below(errors.RefusedError), errors.OutOfResourcesError]
    rows: list[tuple[str, ...]] = [
        ("0x0000", "stored now, or there already with the same content", "")
    ]
    for kind in kinds:
        said = (kind.__doc__ or "").splitlines()[0]
        rows.append((f"0x{kind.dimse_status:04X}", said.rstrip("."), f"`{kind.code}`"))
    rows.append((f"0x{store.SOP_CLASS_NOT_SUPPORTED:04X}",
                 "C-STORE only: not the SOP class of its presentation context", ""))  # fmt: skip
    rows.append((f"0x{store.PROCESSING_FAILURE:04X}",
                 "anything else, among it a part that is no application/dicom", ""))  # fmt: skip
    return _table("status | meaning | code in quarantine", rows)


def http_statuses() -> str:
    """HTTP statuses of every error that has one of its own."""
    skipped = {errors.SQLError, errors.NetworkError}  # neither is met over DICOMweb
    by_status: dict[int, list[str]] = {}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.PacslabError):
            said = (kind.__doc__ or "").splitlines()[0].rstrip(".")
            if "http_status" in vars(kind) and kind not in {errors.PacslabError, *skipped}:
                by_status.setdefault(kind.http_status, []).append(said)
    rows = ((n, "; ".join(said)) for n, said in sorted(by_status.items()))
    return _table("status | when", rows)


def resources() -> str:
    """Every DICOMweb resource, as it is routed."""

    def rows() -> Iterator[tuple[str, str, str]]:
        for module in (capabilities, qido, wado, stow, delete, wado_uri):
            for route in module.router.routes:
                methods = ", ".join(sorted(getattr(route, "methods", ())))
                path = getattr(route, "path", "").replace(":path", "")
                yield f"`{path}`", methods, getattr(route, "name", "")

    return _table("resource | methods | transaction", rows())


def kinds(attribute: Attribute) -> str:
    """How a key is matched besides universal and empty value matching, which all keys have."""
    vr = attribute.vr
    found = ["single value"]
    if vr in {"UI", "CS"}:
        found.append("list")
    if vr in matching._WILD:
        found.append("wildcard")
    if vr in matching._RANGE:
        found.append("range")
    if vr == "PN":
        found.append("fuzzy")
    if attribute.multiple and vr in matching._SEVERAL:
        found.append("multiple values")
    return ", ".join(found)


def fuzzy() -> str:
    """What makes two words of person names alike, with examples that are tried as this is made."""
    rows = (
        ("the same after unifying spellings: ae, oe and ue as the vowel alone, y as i, ph as f, th "
         "as t, hard c, ck and ch as k, and letters such as ø and ł",
         "müller mueller", "smith smyth"),
        ("one letter wrong, missing, too many or swapped with its neighbour, in words of "
         f"{names._LONG} letters or more", "müller mülelr", "meyer maier"),
        (f"the same sound (Metaphone) and, from {names._LONG} letters on, a Jaro-Winkler "
         f"similarity of {names.CLOSE} or more, below that one letter more or less",
         "jon john", "stephen steven"),
        ("none of these", "jane john", "jones james"),
    )  # fmt: skip

    def tried() -> Iterator[tuple[str, str]]:
        for what, *pairs in rows:
            for pair in pairs:
                one, other = map(matching.fold, pair.split())
                if names.alike(one, other) is (what == rows[-1][0]):
                    raise AssertionError(f"{pair} isn't as the table says")
            yield what, ", ".join(pair.replace(" ", "/") for pair in pairs)

    return _table("two words are alike when they are | e.g.", tried())


def match_keys() -> str:
    """The match keys of QIDO-RS, by level, and which of them are returned unasked."""

    def rows() -> Iterator[tuple[str, ...]]:
        for level in LEVELS:
            own = {level, Level.PATIENT} if level is Level.STUDY else {level}
            returned = returned_at(level)
            for a in fields_of(level):
                if a.level in own:
                    always = "always" if a in returned else "when asked"
                    always = "where there is one" if a in returned_if_there(level) else always
                    name = "instance" if level is Level.IMAGE else level.lower()
                    yield name, a.path, a.shown_tag, a.vr, kinds(a), always

    counts = ", ".join(f"{len(at(level))} of the {level.lower()}" for level in Level)
    head = "level | attribute | tag | VR | matching | returned"
    return f"Attributes with a column: {counts}.\n\n{_table(head, rows())}"


def media_types() -> str:
    """Media types of compressed pixel data, the default transfer syntax first."""
    rows = ((f"`{kind}`", ", ".join(map(_name, uids))) for kind, uids in COMPRESSED.items())
    rendered = ", ".join(f"`{kind}`" for kind in MEDIA_TYPES)
    return f"{_table('media type | transfer syntaxes', rows)}\n\nRendered: {rendered}."


def uri_parameters() -> str:
    """The query parameters of WADO-URI."""
    return _table("parameter | ", ((f"`{k}`", said) for k, said in wado_uri.PARAMETERS.items()))


def confidentiality() -> str:
    """The options of PS3.15 E.3, and which profile has them."""

    def rows() -> Iterator[tuple[str, ...]]:
        loaded = [profiles.load(name) for name in profiles.names()]
        code, meaning = profiles.BASIC
        yield meaning, f"DCM {code}", ", ".join(f"`{profile.name}`" for profile in loaded)
        for option, (code, meaning) in profiles.CODES.items():
            having = ", ".join(f"`{p.name}`" for p in loaded if p.has(option))
            yield meaning, f"DCM {code}", having or "profiles of the user's own"

    return _table("option | code | in the profiles", rows())


TABLES: dict[str, Callable[[], str]] = {
    "identity": identity,
    "sop-classes": sop_classes,
    "transfer-syntaxes": transfer_syntaxes,
    "statuses": statuses,
    "http-statuses": http_statuses,
    "resources": resources,
    "fuzzy": fuzzy,
    "match-keys": match_keys,
    "media-types": media_types,
    "wado-uri": uri_parameters,
    "options": confidentiality,
}
