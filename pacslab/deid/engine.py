"""The engine: an object, a profile and a key give another object, and what was done to it."""

from __future__ import annotations

import io
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from pacslab.deid import claims, harvest, labels, pictures, raw, subjects, uids
from pacslab.deid.actions import Action, Did, Verb
from pacslab.deid.keys import Keys
from pacslab.deid.known import Known, Value
from pacslab.deid.pixelstep import CleanPixels
from pacslab.deid.profiles import Option, Profile, load
from pacslab.deid.rules import Rules
from pacslab.deid.subjects import Patient, Resolve, Subject
from pacslab.deid.text import Cleaner, Habits
from pacslab.deid.tree import Tree
from pacslab.deid.values import Person, Values
from pacslab.dicom.instance import data_set_offset, file_prefix
from pacslab.dicom.uids import is_uid
from pacslab.errors import DeidentificationError, UsageError

_LATIN = ("iso8859",)
_CLEANERS = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """A de-identified object, and what was done.

    ``data`` is a Part 10 file. ``kept`` counts the attributes that stayed as they were. ``doubts``
    say what a person should look at, since the engine can't. ``patient`` is who it was: for the
    crosswalk only.
    """

    data: bytes
    actions: tuple[Action, ...]
    kept: int
    doubts: tuple[str, ...]
    patient: Patient
    subject: Subject
    sop_instance_uid: str
    original_sop_instance_uid: str
    study_instance_uid: str

    @property
    def dataset(self) -> FileDataset:
        """The object as a pydicom data set."""
        return dcmread(io.BytesIO(self.data))


class Engine:
    """De-identifies objects by one profile, with one key.

    ``resolve`` knows who patients become; by the key alone where none is given. ``clean_pixels``
    looks for text in pixels. Raises UsageError for a profile that asks for what isn't there.
    """

    def __init__(
        self,
        profile: Profile | str,
        keys: Keys,
        *,
        resolve: Resolve | None = None,
        clean_pixels: CleanPixels | None = None,
    ) -> None:
        self.profile = load(profile)
        self.keys = keys
        self.resolve = resolve or subjects.by_key(keys)
        self._clean_pixels = clean_pixels
        if self.profile.has(Option.CLEAN_PIXEL_DATA) and clean_pixels is None:
            raise UsageError(
                f"the profile {self.profile.name} cleans pixels, and nothing here does: install "
                "pacslab[pixels], or take the option out"
            )
        self.rules = Rules(self.profile)
        self._basic = self.rules.basic_is_done()
        fake = self.profile.patient_name == "fake"
        self._values = Values(keys, fake=fake, uid=self.uid)
        self._cleaners: dict[tuple[frozenset[Value], Subject], Cleaner] = {}

    def uid(self, original: str) -> str:
        """The UID that stands for this one in everything that this engine writes."""
        if self.profile.has(Option.RETAIN_UIDS):
            return uids.kind(original, self.keys)
        return uids.replaced(original, self.keys)

    def deidentify(self, data: bytes) -> Outcome:
        """De-identify one object: the bytes of a Part 10 file, or of a bare data set.

        The same bytes give the same outcome, in every process. Raises DeidentificationError for
        what can't be de-identified; its message quotes nothing of the object.
        """
        dataset, syntax, data_bytes = _read(data)
        try:
            return self._outcome(dataset, syntax, data_bytes)
        except DeidentificationError:
            raise
        except Exception as error:  # whatever the bytes provoke; its text may quote them
            raise DeidentificationError(
                f"the object can't be de-identified ({type(error).__name__}): look at it with "
                "another program, correct it and try again"
            ) from None

    def _outcome(self, dataset: FileDataset, syntax: UID, data: bytes) -> Outcome:
        patient = harvest.patient(dataset)
        subject = self.resolve(patient)
        person = Person(patient, subject, self._patient_name(subject))
        cleaner = self._cleaner(dataset, person)
        if self.profile.burned_in == "refuse" and self._clean_pixels is None:
            labels.refuse(dataset)
        tree = Tree(self.rules, self._values, cleaner, person, self.keys)
        out = tree.cleaned(dataset)
        _bytes_beside(data, tree)
        pixels = pictures.cleaned(
            dataset, syntax, refuse_uninspected=self.profile.uninspected == "refuse"
        )
        doubts = [*pixels.doubts]
        for element in pixels.elements.values():
            out[element.tag] = element
        if pixels.elements:
            did = Did.PIXELS_HIDDEN if pixels.found else Did.PIXELS_RETAINED
            tree.log("7FE00010", did, Verb.CLEAN, "; ".join(pixels.found) or "to the bit")
        certain = False
        if self._clean_pixels is not None and pixels.elements:
            out, syntax, certain = self._look_at_pixels(out, syntax, tree, doubts)
        codes = claims.claimed(self.profile, basic=self._basic, pixels=certain)
        claims.stamp(out, self.profile, codes, pixels=certain)
        return Outcome(
            data=_written(out, syntax),
            actions=tuple(tree.actions),
            kept=tree.kept,
            doubts=tuple(doubts),
            patient=patient,
            subject=subject,
            sop_instance_uid=raw.text(out, 0x00080018).rstrip("\0"),
            original_sop_instance_uid=raw.text(dataset, 0x00080018).rstrip("\0"),
            study_instance_uid=raw.text(out, 0x0020000D).rstrip("\0"),
        )

    def _patient_name(self, subject: Subject) -> str:
        names = {"fake": subject.fake_name, "pseudonym": subject.patient_id, "empty": ""}
        return names[self.profile.patient_name]

    def _cleaner(self, dataset: Dataset, person: Person) -> Cleaner:
        known = frozenset(harvest.values(dataset, self.rules, _LATIN))
        found = self._cleaners.get((known, person.subject))
        if found is None:
            if len(self._cleaners) >= _CLEANERS:
                self._cleaners.clear()
            shift: int | None = None
            if self.profile.has(Option.RETAIN_FULL_DATES):
                shift = 0
            elif self.profile.has(Option.RETAIN_MODIFIED_DATES):
                shift = person.subject.shift
            habits = Habits(
                patient=person.name.replace("^", " ").strip() or person.subject.patient_id,
                shift=shift,
                uid=None if self.profile.has(Option.RETAIN_UIDS) else self.uid,
                places=self.profile.has(Option.RETAIN_INSTITUTION_IDENTITY),
            )
            found = Cleaner(Known(known), habits)
            self._cleaners[known, person.subject] = found
        return found

    def _look_at_pixels(
        self, out: Dataset, syntax: UID, tree: Tree, doubts: list[str]
    ) -> tuple[Dataset, UID, bool]:
        assert self._clean_pixels is not None
        seen = dcmread(io.BytesIO(_written(out, syntax)))
        outcome = self._clean_pixels(seen)
        doubts += outcome.doubts
        if outcome.replaced is not None:
            new = UID(outcome.transfer_syntax_uid or syntax)
            for element in outcome.replaced:
                seen[element.tag] = element
            seen.file_meta.TransferSyntaxUID = new
            tree.log("7FE00010", Did.PIXELS_HIDDEN, Verb.CLEAN, f"{outcome.hidden} regions")
            buffer = io.BytesIO()
            seen.save_as(buffer, enforce_file_format=True)
            out, syntax, _ = _read(buffer.getvalue())
        return out, syntax, outcome.certain


def deidentify(
    dataset: Dataset,
    profile: Profile | str,
    keys: Keys,
    *,
    resolve: Resolve | None = None,
    clean_pixels: CleanPixels | None = None,
) -> Outcome:
    """De-identify one pydicom data set, which stays as it is.

    Raises UsageError for a profile that can't be meant, DeidentificationError for an object that
    can't be de-identified.
    """
    engine = Engine(profile, keys, resolve=resolve, clean_pixels=clean_pixels)
    buffer = io.BytesIO()
    meta = getattr(dataset, "file_meta", None)
    syntax: Any = meta.get("TransferSyntaxUID") if meta else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if syntax:
                dataset.save_as(buffer, enforce_file_format=False)
            else:
                dataset.save_as(buffer, implicit_vr=False, little_endian=True)
    except Exception as error:
        raise DeidentificationError(
            f"the data set can't be written ({type(error).__name__}): correct it and try again"
        ) from None
    return engine.deidentify(buffer.getvalue())


def _read(data: bytes) -> tuple[FileDataset, UID, bytes]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(io.BytesIO(data), force=True)
    except Exception as error:
        raise DeidentificationError(
            f"no DICOM object can be read from it ({type(error).__name__})"
        ) from None
    implicit, little = dataset.original_encoding
    if not implicit and any(e.VR is None for e in dataset.values()):
        # Its transfer syntax says explicit, its bytes are implicit: they are written as it says
        dataset.set_original_encoding(True, little, dataset.original_character_set)
    plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax and not is_uid(str(syntax)):
        raise DeidentificationError("its transfer syntax isn't a UID: correct it and try again")
    return dataset, UID(syntax or (ImplicitVRLittleEndian if implicit else plain)), data


def _bytes_beside(data: bytes, tree: Tree) -> None:
    """Log what stood in the preamble and in the file meta information, which are made anew."""
    has_preamble = data[128:132] == b"DICM"
    if has_preamble and data[:128].strip(b"\0"):
        tree.log("preamble", Did.TEXT_REMOVED, Verb.REMOVE, "PS3.10 7.1")
    start = data_set_offset(data)
    if start > 132 or (start and not has_preamble):
        tree.log("file meta information", Did.TEXT_REMOVED, Verb.DUMMY, "PS3.10 7.1")


def _written(out: Dataset, syntax: UID) -> bytes:
    implicit = syntax == ImplicitVRLittleEndian
    body = raw.written(out, implicit, syntax != ExplicitVRBigEndian)
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = deflater.compress(body) + deflater.flush()
        body += bytes(len(body) % 2)
    sop_class = raw.text(out, 0x00080016).rstrip("\0")
    instance = raw.text(out, 0x00080018).rstrip("\0")
    return file_prefix(sop_class, instance, str(syntax)) + body
