"""UIDs: equal ones stay equal, in every file of an archive, and none can be led back (2.25.)."""

from __future__ import annotations

from typing import Final

from pydicom._uid_dict import UID_dictionary

from pacslab.deid.keys import Keys
from pacslab.dicom.uids import is_uid

STANDARD_ROOT: Final = "1.2.840.10008."
"""The root of the UIDs that the standard itself defines."""

# UI attributes that name a kind of thing, not a thing: classes, syntaxes, schemes, resources.
_KINDS: Final = ("ClassUID", "ClassesUID", "SyntaxUID", "SchemeUID", "ContextUID", "ResourceUID",
                 "ClassUIDList", "SOPClassesInStudy", "SOPClassesSupported",
                 "ContextGroupExtensionCreatorUID", "TransferSyntaxUIDsSupported")  # fmt: skip


def replaced(uid: str, keys: Keys) -> str:
    """The UID that stands for this one: ``2.25.`` and 128 bits (PS3.5 B.2).

    UIDs that the standard defines stay, and empty ones.
    """
    text = uid.split("\0", 1)[0].strip()
    if not text or text in UID_dictionary:
        return text
    return f"2.25.{keys.number('uid|v1|', text)}"


def names_a_kind(keyword: str) -> bool:
    """Whether this UI attribute identifies a class of objects, so that its value says nothing."""
    return keyword.endswith(_KINDS)


def kind(uid: str, keys: Keys) -> str:
    """A UID of a kind of thing: kept where it is one, a private class too."""
    text = uid.split("\0", 1)[0].strip()
    return text if is_uid(text) else replaced(text, keys)
