"""Profiles: what is done to whom, as short YAML files that a schema checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydicom.datadict import tag_for_keyword

from pacslab.errors import UsageError


class Option(StrEnum):
    """The options of PS3.15 E.3 that an instance can be de-identified with."""

    CLEAN_PIXEL_DATA = "clean-pixel-data"
    CLEAN_GRAPHICS = "clean-graphics"
    CLEAN_STRUCTURED_CONTENT = "clean-structured-content"
    CLEAN_DESCRIPTORS = "clean-descriptors"
    RETAIN_FULL_DATES = "retain-longitudinal-full-dates"
    RETAIN_MODIFIED_DATES = "retain-longitudinal-modified-dates"
    RETAIN_PATIENT_CHARACTERISTICS = "retain-patient-characteristics"
    RETAIN_DEVICE_IDENTITY = "retain-device-identity"
    RETAIN_INSTITUTION_IDENTITY = "retain-institution-identity"
    RETAIN_UIDS = "retain-uids"
    RETAIN_SAFE_PRIVATE = "retain-safe-private"


NOT_DONE: Final = {
    "clean-recognizable-visual-features": "nothing here takes a face out of a head scan: use a "
    "defacing program on an export, and don't claim the option"
}
"""Options that the standard has and this package doesn't do, each with the remedy."""

BASIC: Final = ("113100", "Basic Application Confidentiality Profile")
CODES: Final[Mapping[Option, tuple[str, str]]] = MappingProxyType(
    {
        Option.CLEAN_PIXEL_DATA: ("113101", "Clean Pixel Data Option"),
        Option.CLEAN_GRAPHICS: ("113103", "Clean Graphics Option"),
        Option.CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
        Option.CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
        Option.RETAIN_FULL_DATES: (
            "113106",
            "Retain Longitudinal Temporal Information Full Dates Option",
        ),
        Option.RETAIN_MODIFIED_DATES: (
            "113107",
            "Retain Longitudinal Temporal Information Modified Dates Option",
        ),
        Option.RETAIN_PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
        Option.RETAIN_DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
        Option.RETAIN_UIDS: ("113110", "Retain UIDs Option"),
        Option.RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
        Option.RETAIN_INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
    }
)
"""Code value and meaning of each option in CID 7050, coding scheme DCM."""

COLUMNS: Final[Mapping[Option, str]] = MappingProxyType(
    {
        Option.CLEAN_GRAPHICS: "CleanGraph",
        Option.CLEAN_STRUCTURED_CONTENT: "CleanStructCont",
        Option.CLEAN_DESCRIPTORS: "CleanDesc",
        Option.RETAIN_FULL_DATES: "RtnLongFullDates",
        Option.RETAIN_MODIFIED_DATES: "RtnLongModifDates",
        Option.RETAIN_PATIENT_CHARACTERISTICS: "RtnPatChars",
        Option.RETAIN_DEVICE_IDENTITY: "RtnDevId",
        Option.RETAIN_UIDS: "RtnUIDs",
        Option.RETAIN_INSTITUTION_IDENTITY: "RtnInstId",
    }
)
"""The column of Table E.1-1 of each option that has one."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Override(_Strict):
    """What a profile does to one attribute instead of what the table says.

    ``attribute`` is a keyword of PS3.6 or eight digits of a tag; ``why`` is kept in the log.
    """

    attribute: str
    action: Literal["keep", "remove", "empty", "dummy", "clean"]
    why: str = Field(min_length=1)

    @property
    def tag(self) -> int:
        """The attribute's tag as a number."""
        known = tag_for_keyword(self.attribute)
        return int(self.attribute, 16) if known is None else int(known)

    @field_validator("attribute")
    @classmethod
    def _known(cls, value: str) -> str:
        digits = len(value) == 8 and all(c in "0123456789abcdefABCDEF" for c in value)
        if tag_for_keyword(value) is None and not digits:
            raise ValueError(f"{value!r} is neither a keyword of PS3.6 nor eight digits of a tag")
        return value


class Profile(_Strict):
    """A de-identification profile: the Basic Profile of PS3.15 E.2 with options and exceptions.

    ``patient_name`` is what (0010,0010) becomes; ``birth_date`` whether one is made up from the
    age; ``unlisted_text`` what happens to free text that Table E.1-1 doesn't list; ``burned_in``
    and ``uninspected`` whether an image that says it has text in its pixels, or a codestream that
    can't be looked into, is refused.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    title: str = Field(min_length=1, max_length=64)
    options: tuple[Option, ...] = ()
    patient_name: Literal["pseudonym", "fake", "empty"] = "pseudonym"
    birth_date: Literal["empty", "from-age"] = "empty"
    unlisted_text: Literal["clean", "remove"] = "clean"
    burned_in: Literal["refuse", "keep"] = "refuse"
    uninspected: Literal["refuse", "keep"] = "refuse"
    overrides: tuple[Override, ...] = ()

    @field_validator("options", mode="before")
    @classmethod
    def _done(cls, value: Any) -> Any:
        for name in value if isinstance(value, list | tuple) else ():
            if str(name) in NOT_DONE:
                raise ValueError(f"{name} isn't done: {NOT_DONE[str(name)]}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        both = {Option.RETAIN_FULL_DATES, Option.RETAIN_MODIFIED_DATES}
        if both <= set(self.options):
            raise ValueError("dates are kept either in full or modified: take one of the two")
        return self

    def has(self, option: Option) -> bool:
        """Whether this option is asked for."""
        return option in self.options

    @property
    def digest(self) -> str:
        """SHA-256 of everything that the profile says: equal for profiles that do the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


@cache
def names() -> tuple[str, ...]:
    """The profiles that come with the package."""
    folder = files("pacslab.deid.data") / "profiles"
    return tuple(sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".yaml")))


def load(profile: str | Path | Profile) -> Profile:
    """A profile by its name, from a YAML file of the user's own, or as it is.

    Raises UsageError that names what is wrong with it.
    """
    if isinstance(profile, Profile):
        return profile
    if str(profile) in names():
        text = (files("pacslab.deid.data") / "profiles" / f"{profile}.yaml").read_text("utf-8")
        return _parsed(text, str(profile))
    path = Path(profile).expanduser()
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        raise UsageError(
            f"there is no profile {str(profile)!r}: take one of {', '.join(names())}, or the path "
            "of a YAML file"
        )
    return _parsed(path.read_text("utf-8"), str(path))


def _parsed(text: str, where: str) -> Profile:
    try:
        return Profile.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise UsageError(f"the profile {where} isn't YAML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "profile"
        raise UsageError(f"the profile {where} is wrong at {place}: {first['msg']}") from None
