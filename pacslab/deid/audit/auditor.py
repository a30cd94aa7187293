"""Audits one instance after the other, with what it has seen: slices differ in few elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pacslab.deid.audit import alone, bulk, pixels
from pacslab.deid.audit.claims import Claims
from pacslab.deid.audit.compare import Comparison, compare
from pacslab.deid.audit.finding import Finding, Kind, Severity
from pacslab.deid.audit.originals import Original, originals
from pacslab.deid.audit.reading import TEXT, Element, Parts, read
from pacslab.deid.audit.wanted import Wanted

_MOST: Final = 1 << 16
_SMALL: Final = 4096
_NUMBERS: Final = frozenset({"AS", "DS", "IS", "TM"})
_FIXED: Final = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "OD", "OF", "OL",
                           "OV"})  # fmt: skip
_WORST: Final = frozenset({Kind.NAME, Kind.ID, Kind.PHONE, Kind.EMAIL})


class Auditor:
    """Reads outputs, alone or against their source.

    ``everybody`` are the originals of the whole source by patient; a patient's own are looked for
    more closely than others', whose names are other people's too.
    """

    def __init__(self, everybody: Mapping[str, Iterable[Original]] | None = None) -> None:
        self._everybody = {person: set(values) for person, values in (everybody or {}).items()}
        joined = set().union(*self._everybody.values()) if self._everybody else set()
        self._all = Wanted(joined, sure=True)
        self._own: dict[str, Wanted] = {}
        self._alone: dict[Any, tuple[Finding, ...]] = {}
        self._against: dict[Any, frozenset[Kind]] = {}
        self.comparison = Comparison()

    def audit(
        self, data: bytes, *, person: str | None = None, source: bytes | None = None
    ) -> tuple[Finding, ...]:
        """The findings in one instance, ``source`` and ``person`` being what it came from."""
        parts = read(data)
        told = Claims.of(parts)
        found = [*alone.beside(parts), *alone.claims(parts, told)]
        for one in parts.elements:
            if one.tag in pixels.DATA and "/" not in one.path:
                found += alone.picture(one, parts)
            else:
                found += self._looked(one, told)
        if self._all or person is not None:
            before = read(source) if source is not None else None
            found += self._searched(parts, told, person, before)
            if before is not None:
                subject = parts.text(0x00100020) or parts.text(0x0020000D)
                compare(before, parts, subject, self.comparison)
        return tuple(dict.fromkeys(found))

    def in_file(self, data: bytes) -> set[Kind]:
        """The kinds of originals of anybody that stand in bytes that are no instance."""
        return _in_bytes(data, [self._all, self._anybody])

    # --- alone --------------------------------------------------------------------------------

    def _looked(self, one: Element, told: Claims) -> Iterable[Finding]:
        if len(one.value) > _SMALL:
            return alone.element(one, told)
        key = (one.path.rpartition("/")[0][-17:], one.tag, one.vr, one.value, one.encodings,
               one.creator, told)  # fmt: skip
        known = self._alone.get(key)
        if known is None:
            if len(self._alone) > _MOST:
                self._alone.clear()
            known = self._alone[key] = tuple(alone.element(one, told))
        return [f if f.path == one.path else replace(f, path=one.path) for f in known]

    # --- against ------------------------------------------------------------------------------

    @property
    def _anybody(self) -> Wanted:
        return self._wanted_of("")

    def _wanted_of(self, person: str) -> Wanted:
        wanted = self._own.get(person)
        if wanted is None:
            if len(self._own) > 256:
                self._own.clear()
            values: Iterable[Original] = self._everybody.get(person, ())
            if not person:  # longer words of everybody, for files that are nobody's
                values = [v for each in self._everybody.values() for v in each
                          if v.kind in _WORST and v.patient]  # fmt: skip
            wanted = self._own[person] = Wanted(values)
        return wanted

    def _searched(
        self, parts: Parts, told: Claims, person: str | None, before: Parts | None
    ) -> Iterator[Finding]:
        own = self._wanted_of(person) if person else None
        days = _days(before) if before is not None else {}
        born = {o.text for o in self._everybody.get(person or "", ()) if o.kind is Kind.DATE
                and o.patient}  # fmt: skip
        for one in parts.elements:
            if not one.value.strip(b"\0 ") or one.vr in _FIXED:
                continue
            for kind in self._kinds(one, own, person, born, days):
                if not _allowed(kind, one, told):
                    yield _finding(one.path, kind)
        for place, data in parts.beside.items():
            if data.strip(b"\0"):
                for kind in _in_bytes(data, [self._all] if own is None else [self._all, own]):
                    yield _finding(place, kind)

    def _kinds(
        self, one: Element, own: Wanted | None, person: str | None, born: set[str],
        days: Mapping[str, set[str]],
    ) -> frozenset[Kind]:  # fmt: skip
        if one.vr in {"DA", "DT"}:
            day = one.text[:10].replace(".", "")[:8]
            same = day in born or day in days.get(one.path, ())
            return frozenset({Kind.DATE}) if same else frozenset()
        if len(one.value) > _SMALL:
            return self._search(one, own)
        key = (person, one.vr, one.value, one.encodings)
        known = self._against.get(key)
        if known is None:
            if len(self._against) > _MOST:
                self._against.clear()
            known = self._against[key] = self._search(one, own)
        return known

    def _search(self, one: Element, own: Wanted | None) -> frozenset[Kind]:
        both = [self._all] if own is None else [self._all, own]
        if one.vr in _NUMBERS:
            texts = [text for text in one.values if len(text) >= 5]
        elif one.vr == "UI":
            found = {Kind.UID} if any(v in self._all.uids for v in one.values) else set()
            texts = [value for value in one.values if not value.startswith("2.25.")]
            return frozenset(found.union(*(w.in_text(t, deep=False) for w in both for t in texts)))
        elif one.vr in TEXT:
            texts = [one.text]
            if not one.value.isascii() or b"\0" in one.value:
                found = _in_bytes(one.value, both)
                return frozenset(found.union(*(w.in_text(one.text) for w in both)))
        else:
            return frozenset(_in_bytes(one.value, both))
        return frozenset(set().union(*(w.in_text(text) for w in both for text in texts)))


def harvested(data: bytes) -> tuple[str, str, set[Original]]:
    """Of a source file: its patient, its SOPInstanceUID, and what it says about people."""
    parts = read(data, pixels=False)
    return patient_of(parts), parts.text(0x00080018), originals(parts)


def patient_of(parts: Parts) -> str:
    """Who an instance of the source is about: ID and issuer, or the study where there is none."""
    told = parts.text(0x00100020)
    return f"{parts.text(0x00100021)}\0{told}" if told else f"\0\0{parts.text(0x0020000D)}"


def load(path: str) -> bytes:
    """A file's bytes."""
    return Path(path).read_bytes()


def _finding(path: str, kind: Kind) -> Finding:
    severity = Severity.HIGH if kind is not Kind.PLACE else Severity.MEDIUM
    return Finding(path, kind, severity, f"{kind} of the source", "against")


def _in_bytes(data: bytes, wanted: list[Wanted]) -> set[Kind]:
    if len(data) >= bulk.FROM:
        return bulk.search(data, wanted)
    return set().union(*(one.in_bytes(data) for one in wanted))


def _days(before: Parts) -> dict[str, set[str]]:
    """The days of the source's own dates, by where they stand."""
    return {
        one.path: {value.replace(".", "")[:8] for value in one.values if len(value) >= 8}
        - {"19000101", "00010101"}
        for one in before.elements
        if one.vr in {"DA", "DT"}
    }


def _allowed(kind: Kind, one: Element, told: Claims) -> bool:
    """Whether the instance claims an option that lets this be."""
    if kind is Kind.UID:
        return told.keeps_uids
    if kind is Kind.DATE:
        return told.keeps_dates and one.keyword != "PatientBirthDate"
    if kind is Kind.PLACE:
        return told.keeps_institutions
    if kind is Kind.ID:
        return told.allows(one.tag) == "K"
    return False
