"""A data set and all that is nested in it, element by element, each by its rule."""

from __future__ import annotations

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from pacslab.deid import documents, private, raw
from pacslab.deid.actions import Action, Category, Did, Rule, Verb
from pacslab.deid.harvest import items
from pacslab.deid.keys import Keys
from pacslab.deid.pictures import PIXELS
from pacslab.deid.profiles import Option, Profile
from pacslab.deid.rules import TEXT, Rules
from pacslab.deid.text import Cleaner
from pacslab.deid.uids import names_a_kind
from pacslab.deid.values import Person, Values

_CHARACTER_SET, _PATIENT_ID, _BIRTH_DATE = 0x00080005, 0x00100020, 0x00100030
_DOCUMENT, _DOCUMENT_LENGTH = 0x00420011, 0x00420015
_PIXEL_GROUP = 0x7FE0
_UNREADABLE = Rule(Verb.REMOVE, "can't be read", Category.TCIA)
_NESTED = Rule(Verb.REMOVE, "picture in a sequence", Category.TCIA)
_SAFE = Rule(Verb.KEEP, "PS3.15 E.3.10", Category.TCIA)
_PRIVATE = Rule(Verb.REMOVE, "private", Category.TCIA)
_OVERLAY = Rule(Verb.REMOVE, "E.1-1 Overlay Data")
_INTO = (Verb.KEEP, Verb.CLEAN, Verb.DUMMY, Verb.INTO, Verb.SHIFT, Verb.UID)


class Tree:
    """Walks one object; ``actions`` and ``kept`` say what it did. Linear in elements and bytes."""

    def __init__(
        self,
        rules: Rules,
        values: Values,
        cleaner: Cleaner,
        person: Person,
        keys: Keys,
        profile: Profile,
    ) -> None:
        self._rules = rules
        self._values = values
        self._cleaner = cleaner
        self._person = person
        self._keys = keys
        self._profile = profile
        self._safe_private = profile.has(Option.RETAIN_SAFE_PRIVATE)
        self._mime_type = ""
        self.actions: list[Action] = []
        self.kept = 0

    def cleaned(self, dataset: Dataset) -> Dataset:
        """The object's data set, de-identified, without its pixel data."""
        self._mime_type = raw.text(dataset, 0x00420012)
        out = self._level(dataset, "", ("iso8859",), thorough=False, top=True)
        subject = self._person.subject
        if not raw.text(out, _PATIENT_ID):
            value = subject.patient_id.encode("ascii")
            out[_PATIENT_ID] = raw.made(_PATIENT_ID, "LO", value, out)
            self.log("00100020", Did.PATID_CONSISTENT, Verb.DUMMY, "no ID", 0, len(value))
        return out

    def log(
        self,
        path: str,
        did: Did,
        verb: Verb,
        source: str,
        before: int = 0,
        after: int = 0,
    ) -> None:
        """Note something that was done to no attribute in particular."""
        self.actions.append(Action(path, did, verb, source, Category.DICOM, "", before, after))

    def _level(
        self,
        dataset: Dataset,
        path: str,
        encodings: tuple[str, ...],
        *,
        thorough: bool,
        top: bool = False,
    ) -> Dataset:
        encodings = raw.encodings_of(dataset, encodings)
        kept: dict[int, raw.Element] = {}
        creators = self._creators(dataset) if self._safe_private else {}
        for tag, element in list(dataset.items()):
            number = int(tag)
            group = number >> 16
            if group & 1:
                self._private(dataset, number, element, creators, kept, path, encodings)
                continue
            if group == _PIXEL_GROUP:
                if not top and number in PIXELS:
                    self._removed(path, number, raw.value_of(element, dataset), _NESTED)
                continue
            vr = element.VR if element.VR and element.VR != "UN" else raw.vr_of(number, element)
            if 0x6000 <= group <= 0x60FF:
                self._removed(path, number, raw.value_of(element, dataset), _OVERLAY)
                continue
            rule = self._rules.of(number, vr)
            if vr == "SQ":
                new = self._sequence(dataset, number, rule, path, encodings, thorough)
            else:
                new = self._element(dataset, number, element, vr, rule, path, encodings, thorough)
            if new is not None:
                kept[number] = new
        return _dataset(kept, dataset)

    # --- one element --------------------------------------------------------------------------

    def _element(
        self,
        dataset: Dataset,
        tag: int,
        element: raw.Element,
        vr: str,
        rule: Rule,
        path: str,
        encodings: tuple[str, ...],
        thorough: bool,
    ) -> raw.Element | None:
        value = raw.value_of(element, dataset)
        if rule.verb is Verb.REMOVE:
            self._removed(path, tag, value, rule)
            return None
        if tag == _CHARACTER_SET:
            self.kept += 1
            return raw.changed(
                element, tag, vr, raw.decoded(value, vr, encodings).encode(), dataset
            )
        if tag == _DOCUMENT_LENGTH:
            value = len(documents.empty(self._mime_type)).to_bytes(4, "little")
            if dataset.original_encoding[1] is False:
                value = value[::-1]
            return raw.changed(element, tag, vr, value, dataset)
        new, did = self._new_value(tag, vr, value, rule, encodings, thorough)
        if new == value:
            self.kept += 1
            # Raw ones stay as they are, padding and all
            return element if isinstance(element, RawDataElement) else raw.changed(
                element, tag, vr, value, dataset
            )  # fmt: skip
        self._log(path, tag, did, rule, value, len(new))
        return raw.changed(element, tag, vr, new, dataset)

    def _new_value(
        self,
        tag: int,
        vr: str,
        value: bytes,
        rule: Rule,
        encodings: tuple[str, ...],
        thorough: bool,
    ) -> tuple[bytes, Did]:
        """What becomes of a value, and what that is called."""
        verb = rule.verb
        if not value.strip(b"\0 "):
            return value if not value.strip(b"\0") else value, Did.TAG_RETAINED
        if verb is Verb.EMPTY:
            return b"", Did.TEXT_REMOVED
        if verb is Verb.DUMMY:
            return self._dummy(tag, vr, value, encodings)
        if vr == "UI":
            if verb is Verb.KEEP and (
                names_a_kind(keyword_for_tag(tag)) or self._profile.has(Option.RETAIN_UIDS)
            ):
                return _same_or(value, self._values.kinds(value)), Did.UID_CHANGED
            if verb is Verb.KEEP:
                return value, Did.UID_CHANGED
            return _same_or(value, self._values.mapped(value)), Did.UID_CONSISTENT
        if verb is Verb.SHIFT and vr in {"DA", "DT", "TM"}:
            days = self._person.subject.shift
            return _same_or(value, self._values.shifted(value, vr, days)), Did.DATE_SHIFTED
        if verb is Verb.SHIFT and vr not in TEXT:
            return bytes(len(value)), Did.TEXT_NOTNULL
        if vr == "AS":
            return _same_or(value, self._values.aged(value)), Did.TEXT_NOTNULL
        if verb is Verb.CLEAN and vr not in raw.STRINGS:
            return b"", Did.TEXT_REMOVED
        deep = thorough or verb in (Verb.CLEAN, Verb.SHIFT)
        new = self._values.kept(value, vr, encodings, self._cleaner, thorough=deep)
        return new, Did.TEXT_REMOVED

    def _dummy(
        self, tag: int, vr: str, value: bytes, encodings: tuple[str, ...]
    ) -> tuple[bytes, Did]:
        if tag == _DOCUMENT:
            return documents.empty(self._mime_type), Did.TEXT_NOTNULL
        if vr not in raw.STRINGS:
            return bytes(min(len(value), 2)), Did.TEXT_NOTNULL
        if tag == _BIRTH_DATE:
            return self._person.subject.birth_date.encode("ascii"), Did.TEXT_NOTNULL
        text = raw.decoded(value, vr, encodings).strip()
        new = self._values.dummy(keyword_for_tag(tag), vr, text, self._person)
        return new, Did.PATID_CONSISTENT if tag == _PATIENT_ID else Did.TEXT_NOTNULL

    # --- sequences ----------------------------------------------------------------------------

    def _sequence(
        self,
        dataset: Dataset,
        tag: int,
        rule: Rule,
        path: str,
        encodings: tuple[str, ...],
        thorough: bool,
    ) -> DataElement | None:
        element = dataset.get_item(tag)
        inside = items(dataset, tag)
        size = element.length if isinstance(element, RawDataElement) else len(inside)
        if not inside and size not in (0, 0xFFFFFFFF):
            self._removed(path, tag, b"", _UNREADABLE)
            return None
        if rule.verb is Verb.REMOVE:
            self._log(path, tag, Did.TEXT_REMOVED, rule, b"", 0, before=len(inside))
            return None
        if rule.verb is Verb.EMPTY:
            if inside:
                self._log(path, tag, Did.TEXT_REMOVED, rule, b"", 0, before=len(inside))
            inside = []
        if rule.verb is Verb.DUMMY and keyword_for_tag(tag).endswith("CodeSequence"):
            self._log(path, tag, Did.TEXT_NOTNULL, rule, b"", 1, before=len(inside))
            made = [self._code(item) for item in inside[:1]]
        else:
            deep = thorough or rule.verb is Verb.CLEAN
            made = [
                self._level(item, f"{path}{tag:08X}/{i}/", encodings, thorough=deep)
                for i, item in enumerate(inside)
            ]
        self.kept += 1
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
        self,
        dataset: Dataset,
        tag: int,
        element: raw.Element,
        creators: dict[int, str],
        kept: dict[int, raw.Element],
        path: str,
        encodings: tuple[str, ...],
    ) -> None:
        if private.is_creator(tag):
            if tag not in creators:
                self._removed(path, tag, b"", _PRIVATE)
            return
        vr = private.safe_vr(tag, creators)
        if vr is None or vr == "SQ" or element.VR == "SQ":
            self._removed(path, tag, b"", _PRIVATE)
            return
        value = raw.value_of(element, dataset)
        declared = element.VR or vr
        if declared not in (vr, "UN"):  # a safe attribute that isn't what the list says
            self._removed(path, tag, value, _PRIVATE)
            return
        new = self._values.kept(value, vr, encodings, self._cleaner, thorough=True)
        if new != value:
            self._log(path, tag, Did.TEXT_REMOVED, _SAFE, value, len(new))
            element = raw.changed(element, tag, vr, new, dataset)
        self.kept += 1
        kept[tag] = element
        creator = tag & 0xFFFF0000 | (tag >> 8 & 0xFF)
        if creator not in kept:
            kept[creator] = raw.made(creator, "LO", creators[creator].encode("ascii"), dataset)

    # --- the log ------------------------------------------------------------------------------

    def _removed(self, path: str, tag: int, value: bytes, rule: Rule) -> None:
        self._log(path, tag, Did.TEXT_REMOVED, rule, value, 0)

    def _log(
        self,
        path: str,
        tag: int,
        did: Did,
        rule: Rule,
        value: bytes,
        after: int,
        before: int | None = None,
    ) -> None:
        told = value.strip(b"\0 ") if len(value) <= 4096 else value
        self.actions.append(
            Action(
                f"{path}{tag:08X}",
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
    made.set_original_encoding(*like.original_encoding, like.original_character_set)
    made.is_undefined_length_sequence_item = getattr(
        like, "is_undefined_length_sequence_item", False
    )
    return made
