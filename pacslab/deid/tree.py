"""A data set and all that is nested in it, element by element, each by its rule."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacslab.deid import documents, private, raw
from pacslab.deid.actions import Action, Category, Did, Rule, Verb
from pacslab.deid.harvest import items
from pacslab.deid.keys import Keys
from pacslab.deid.pictures import PIXELS
from pacslab.deid.profiles import Option
from pacslab.deid.rules import TEXT, Rules
from pacslab.deid.text import Cleaner
from pacslab.deid.values import Person, Values

_CHARACTER_SET, _PATIENT_ID, _BIRTH_DATE = 0x00080005, 0x00100020, 0x00100030
_DOCUMENT, _DOCUMENT_LENGTH = 0x00420011, 0x00420015
_PIXEL_GROUP = 0x7FE0
_UNREADABLE = Rule(Verb.REMOVE, "can't be read", Category.TCIA)
_NESTED = Rule(Verb.REMOVE, "picture in a sequence", Category.TCIA)
_SAFE = Rule(Verb.KEEP, "PS3.15 E.3.10", Category.TCIA)
_PRIVATE = Rule(Verb.REMOVE, "private", Category.TCIA)
_OVERLAY = Rule(Verb.REMOVE, "E.1-1 Overlay Data")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the object the walk is: the path so far, the text encodings, how text is cleaned."""

    path: str
    encodings: tuple[str, ...]
    thorough: bool


class Tree:
    """Walks one object; ``actions`` and ``kept`` say what it did. Linear in elements and bytes."""

    def __init__(
        self,
        rules: Rules,
        values: Values,
        cleaner: Cleaner,
        person: Person,
        keys: Keys,
    ) -> None:
        self._rules = rules
        self._values = values
        self._cleaner = cleaner
        self._person = person
        self._keys = keys
        self._safe_private = rules.profile.has(Option.RETAIN_SAFE_PRIVATE)
        self._mime_type = ""
        self.actions: list[Action] = []
        self.kept = 0

    def cleaned(self, dataset: Dataset) -> Dataset:
        """The object's data set, de-identified, without its pixel data."""
        self._mime_type = raw.text(dataset, 0x00420012)
        out = self._level(dataset, _Place("", ("iso8859",), thorough=False), top=True)
        subject = self._person.subject
        if not raw.text(out, _PATIENT_ID):
            value = subject.patient_id.encode("ascii")
            out[_PATIENT_ID] = raw.made(_PATIENT_ID, "LO", value, out)
            self.log("00100020", Did.PATID_CONSISTENT, Verb.DUMMY, "no ID")
        return out

    def log(self, path: str, did: Did, verb: Verb, source: str) -> None:
        """Note something that was done to no attribute in particular."""
        self.actions.append(Action(path, did, verb, source, Category.DICOM, "", 0, 0))

    def _level(self, dataset: Dataset, place: _Place, *, top: bool = False) -> Dataset:
        place = replace(place, encodings=raw.encodings_of(dataset, place.encodings))
        kept: dict[int, raw.Element] = {}
        creators = self._creators(dataset) if self._safe_private else {}
        for tag, element in list(dataset.items()):
            number = int(tag)
            group = number >> 16
            if group & 1:
                kept |= self._private(dataset, element, creators, place)
                continue
            if group == _PIXEL_GROUP:
                if not top and number in PIXELS:
                    self._removed(place, number, raw.value_of(element, dataset), _NESTED)
                continue
            if 0x6000 <= group <= 0x60FF:
                self._removed(place, number, raw.value_of(element, dataset), _OVERLAY)
                continue
            vr = element.VR if element.VR and element.VR != "UN" else raw.vr_of(number, element)
            rule = self._rules.of(number, vr)
            new: raw.Element | None
            if vr == "SQ":
                new = self._sequence(dataset, number, rule, place)
            else:
                new = self._element(dataset, element, vr, rule, place)
            if new is not None:
                kept[number] = new
        return _dataset(kept, dataset)

    # --- one element --------------------------------------------------------------------------

    def _element(
        self, dataset: Dataset, element: raw.Element, vr: str, rule: Rule, place: _Place
    ) -> raw.Element | None:
        tag = int(element.tag)
        value = raw.value_of(element, dataset)
        if rule.verb is Verb.REMOVE:
            self._removed(place, tag, value, rule)
            return None
        if tag == _CHARACTER_SET:
            new, did = raw.defined_terms(value), Did.TEXT_REMOVED
        elif tag == _DOCUMENT_LENGTH:
            order = "big" if dataset.original_encoding[1] is False else "little"
            length = len(documents.empty(self._mime_type))
            new, did = length.to_bytes(4, order), Did.TEXT_NOTNULL  # type: ignore[arg-type]
        else:
            new, did = self._new_value(tag, vr, value, rule, place)
        if new == value:
            self.kept += 1
            if isinstance(element, RawDataElement):  # stays as it is, padding and all
                return element
        else:
            self._log(place, tag, did, rule, value=value, after=len(new))
        return raw.changed(element, vr, new, dataset)

    def _new_value(
        self, tag: int, vr: str, value: bytes, rule: Rule, place: _Place
    ) -> tuple[bytes, Did]:
        """What becomes of a value, and what that is called."""
        verb = rule.verb
        if not value.strip(b"\0 "):
            return value, Did.TAG_RETAINED
        if verb is Verb.EMPTY:
            return b"", Did.TEXT_REMOVED
        if verb is Verb.DUMMY:
            return self._dummy(tag, vr, value, place)
        if vr == "UI":
            return self._uid(tag, value, verb)
        if verb is Verb.SHIFT and vr in {"DA", "DT", "TM"}:
            days = self._person.subject.shift
            return _same_or(value, self._values.shifted(value, vr, days)), Did.DATE_SHIFTED
        if verb is Verb.SHIFT and vr not in TEXT:
            return bytes(len(value)), Did.TEXT_NOTNULL
        if vr == "AS":
            return _same_or(value, self._values.aged(value)), Did.TEXT_NOTNULL
        if verb is Verb.CLEAN and vr not in raw.STRINGS:
            return b"", Did.TEXT_REMOVED
        deep = place.thorough or verb in (Verb.CLEAN, Verb.SHIFT)
        new = self._values.kept(value, vr, place.encodings, self._cleaner, thorough=deep)
        return new, Did.TEXT_REMOVED

    def _uid(self, tag: int, value: bytes, verb: Verb) -> tuple[bytes, Did]:
        if verb is not Verb.KEEP:
            return _same_or(value, self._values.mapped(value)), Did.UID_CONSISTENT
        kept = self._values.kinds(value)  # what isn't a UID, in whatever it stands, is replaced
        return _same_or(value, kept), Did.UID_CHANGED

    def _dummy(self, tag: int, vr: str, value: bytes, place: _Place) -> tuple[bytes, Did]:
        if tag == _DOCUMENT:
            return documents.empty(self._mime_type), Did.TEXT_NOTNULL
        if vr not in raw.STRINGS:
            return bytes(min(len(value), 2)), Did.TEXT_NOTNULL
        if tag == _BIRTH_DATE:
            return self._person.subject.birth_date.encode("ascii"), Did.TEXT_NOTNULL
        text = raw.decoded(value, vr, place.encodings).strip()
        new = self._values.dummy(keyword_for_tag(tag), vr, text, self._person)
        return new, Did.PATID_CONSISTENT if tag == _PATIENT_ID else Did.TEXT_NOTNULL

    # --- sequences ----------------------------------------------------------------------------

    def _sequence(
        self, dataset: Dataset, tag: int, rule: Rule, place: _Place
    ) -> DataElement | None:
        element = dataset.get_item(tag)
        inside = items(dataset, tag)
        size = element.length if isinstance(element, RawDataElement) else len(inside)
        if not inside and size not in (0, 0xFFFFFFFF):
            self._removed(place, tag, b"", _UNREADABLE)
            return None
        gone = rule.verb in (Verb.REMOVE, Verb.EMPTY)
        if gone and (inside or rule.verb is Verb.REMOVE):
            self._log(place, tag, Did.TEXT_REMOVED, rule, before=len(inside))
        if rule.verb is Verb.REMOVE:
            return None
        self.kept += 1
        if gone:
            made = []
        elif rule.verb is Verb.DUMMY and keyword_for_tag(tag).endswith("CodeSequence"):
            self._log(place, tag, Did.TEXT_NOTNULL, rule, before=len(inside), after=1)
            made = [self._code(item) for item in inside[:1]]
        else:
            deep = place.thorough or rule.verb is Verb.CLEAN
            made = [
                self._level(
                    item, _Place(f"{place.path}{tag:08X}/{i}/", place.encodings, thorough=deep)
                )
                for i, item in enumerate(inside)
            ]
        new = DataElement(tag, "SQ", Sequence(made))
        new.is_undefined_length = bool(getattr(dataset[tag], "is_undefined_length", False))
        return new

    def _code(self, like: Dataset) -> Dataset:
        """A code that says nothing (PS3.3 8.8)."""
        code: dict[int, raw.Element] = {}
        for tag, vr, value in (
            (0x00080100, "SH", b"REMOVED"),
            (0x00080102, "SH", b"99PACSLAB"),
            (0x00080104, "LO", b"Removed"),
        ):
            code[tag] = raw.made(tag, vr, value, like)
        return _dataset(code, like)

    # --- private attributes -------------------------------------------------------------------

    def _creators(self, dataset: Dataset) -> dict[int, str]:
        found = {}
        for tag, element in dataset.items():
            if private.is_creator(int(tag)):
                creator = private.creator_of(raw.value_of(element, dataset))
                if creator is not None:
                    found[int(tag)] = creator
        return found

    def _private(
        self, dataset: Dataset, element: raw.Element, creators: dict[int, str], place: _Place
    ) -> dict[int, raw.Element]:
        """A private element that is known to be safe, and its creator; else nothing."""
        tag = int(element.tag)
        if private.is_creator(tag):
            if tag not in creators:
                self._removed(place, tag, b"", _PRIVATE)
            return {}
        vr = private.safe_vr(tag, creators)
        # A safe attribute that isn't what the list says is another one
        if vr is None or "SQ" in (vr, element.VR) or (element.VR or vr) not in (vr, "UN"):
            self._removed(place, tag, b"", _PRIVATE)
            return {}
        value = raw.value_of(element, dataset)
        new = self._values.kept(value, vr, place.encodings, self._cleaner, thorough=True)
        if new != value:
            self._log(place, tag, Did.TEXT_REMOVED, _SAFE, value=value, after=len(new))
            element = raw.changed(element, vr, new, dataset)
        self.kept += 1
        creator = private.creator_tag(tag)
        name = creators[creator].encode("ascii")
        return {creator: raw.made(creator, "LO", name, dataset), tag: element}

    # --- the log ------------------------------------------------------------------------------

    def _removed(self, place: _Place, tag: int, value: bytes, rule: Rule) -> None:
        self._log(place, tag, Did.TEXT_REMOVED, rule, value=value)

    def _log(
        self,
        place: _Place,
        tag: int,
        did: Did,
        rule: Rule,
        *,
        value: bytes = b"",
        before: int | None = None,
        after: int = 0,
    ) -> None:
        told = value.strip(b"\0 ") if len(value) <= 4096 else value
        self.actions.append(
            Action(
                f"{place.path}{tag:08X}",
                did,
                rule.verb,
                rule.source,
                rule.category,
                self._keys.mark(told) if told else "",
                len(value) if before is None else before,
                after,
            )
        )


def _same_or(value: bytes, new: bytes) -> bytes:
    """The old value where only its padding differs."""
    return value if value.rstrip(b"\0 ") == new else new


def _dataset(elements: dict[int, raw.Element], like: Dataset) -> Dataset:
    """A data set that is encoded as another one."""
    made = Dataset({element.tag: element for element in elements.values()})
    raw.encode_as(made, like)
    made.is_undefined_length_sequence_item = getattr(
        like, "is_undefined_length_sequence_item", False
    )
    return made
