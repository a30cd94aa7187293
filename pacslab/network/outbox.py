"""What is to be sent: found, looked at, and divided among associations."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext, build_context

from pacslab.archive.inbox import find
from pacslab.dicom.instance import Buffer, data_set_offset, parse
from pacslab.dicom.uids import is_uid
from pacslab.errors import NotDicomError, PacslabError, UsageError

Sendable = str | os.PathLike[str] | bytes | Dataset
NATIVE: Final = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
_MOST_CONTEXTS: Final = 128  # their ids are the odd numbers of a byte (PS3.8 9.3.2.2)


@dataclass(frozen=True, slots=True)
class Letter:
    """An instance to be sent: what it is, and how its Part 10 bytes are had.

    ``error`` says why it can't be sent; the UIDs are empty then.
    """

    name: str
    load: Callable[[], Buffer]
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    error: str = ""


def collect(things: Iterable[Sendable] | Sendable) -> Iterator[Letter]:
    """A letter for each file under these paths, and for each data set.

    Raises UsageError for a path that doesn't exist.
    """
    several = [things] if isinstance(things, str | os.PathLike | bytes | Dataset) else list(things)
    for number, thing in enumerate(several, 1):
        if isinstance(thing, str | os.PathLike):
            for file in find([thing]):
                yield _looked_at(file.name, file.load)
        elif isinstance(thing, bytes | Dataset):
            yield _looked_at(f"data set {number}", _loader(thing))
        else:
            raise UsageError(f"a {type(thing).__name__} can't be sent: give paths or data sets")


def _looked_at(name: str, load: Callable[[], Buffer]) -> Letter:
    try:
        dataset = parse(load())
        sop_class, instance = (str(dataset.get(k, "")) for k in ("SOPClassUID", "SOPInstanceUID"))
        if not is_uid(sop_class) or not is_uid(instance):
            raise NotDicomError("SOP Class UID or SOP Instance UID is missing or isn't a UID")
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        if not is_uid(syntax) or syntax in NATIVE:
            # File meta information of real files may be missing, or wrong
            implicit, little = dataset.original_encoding
            syntax = NATIVE[bool(implicit)] if little else str(ExplicitVRBigEndian)
        return Letter(name, load, sop_class, instance, syntax)
    except PacslabError as error:
        return Letter(name, load, error=error.message)
    except OSError as error:
        return Letter(name, load, error=f"can't be read: {error.strerror or error}")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        # A Dataset of the caller's that pydicom can't write
        return Letter(name, load, error=f"can't be encoded: {error}")


def _loader(thing: bytes | Dataset) -> Callable[[], Buffer]:
    def encode(dataset: Dataset) -> bytes:
        meta = FileMetaDataset(getattr(dataset, "file_meta", None) or {})
        if "TransferSyntaxUID" not in meta:
            implicit = dataset.original_encoding[0]
            meta.TransferSyntaxUID = UID(NATIVE[bool(implicit)])
        sent = copy.copy(dataset)  # the caller's own stays as it is
        sent.file_meta = meta
        written = io.BytesIO()
        dcmwrite(written, sent, enforce_file_format=True)
        return written.getvalue()

    return (lambda: thing) if isinstance(thing, bytes) else (lambda: encode(thing))


@dataclass(frozen=True, slots=True)
class Bundle:
    """What goes over one association: its contexts, and the letters by number."""

    contexts: list[PresentationContext]
    numbers: list[int]


def bundles(letters: Sequence[Letter]) -> list[Bundle]:
    """Letters in as few associations as their contexts allow.

    Each SOP class is proposed with every transfer syntax at hand, and with the two that everyone
    understands, each in a context of its own so that the peer can't choose for us.
    """
    syntaxes: dict[str, dict[str, None]] = {}
    for letter in letters:
        if not letter.error:
            known = syntaxes.setdefault(letter.sop_class_uid, dict.fromkeys(NATIVE))
            known[letter.transfer_syntax_uid] = None
    made: list[Bundle] = []
    place: dict[str, Bundle] = {}
    for sop_class, its in syntaxes.items():
        if not made or len(made[-1].contexts) + len(its) > _MOST_CONTEXTS:
            made.append(Bundle([], []))
        made[-1].contexts.extend(build_context(UID(sop_class), UID(s)) for s in its)
        place[sop_class] = made[-1]
    for number, letter in enumerate(letters):
        if not letter.error:
            place[letter.sop_class_uid].numbers.append(number)
    return made


def data_set(part10: Buffer) -> memoryview:
    """The data set of a Part 10 file, without a copy."""
    return memoryview(part10)[data_set_offset(part10) :]
