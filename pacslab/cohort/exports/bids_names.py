"""How BIDS calls what a series is: suffix and data type, subjects, sessions, runs.

After the Brain Imaging Data Structure 1.10 (Gorgolewski et al. 2016, Sci Data 3:160044).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VERSION: Final = "1.10.0"

# What sites call their sequences; the first that fits counts.
_WORDS: Final = (
    (re.compile(r"locali[sz]er|scout|survey|3.?plane|\bloc\b"), None),
    (re.compile(r"\badc\b|\btracew?\b|\bfa\b|\bmip\b|\bmpr\b|perfusion map|colfa"), None),
    (re.compile(r"dwi|dti|diff"), ("dwi", "dwi")),
    (re.compile(r"bold|fmri|\brest(ing)?\b|\btask"), ("func", "bold")),
    (re.compile(r"flair"), ("anat", "FLAIR")),
    (re.compile(r"t2.?star|t2\*|swi\b|swan"), ("anat", "T2starw")),
    (re.compile(r"mprage|spgr|bravo|mp2rage|\bt1|t1w|tfl3d|vibe"), ("anat", "T1w")),
    (re.compile(r"\btof\b|angio"), ("anat", "angio")),
    (re.compile(r"\bt2|t2w"), ("anat", "T2w")),
    (re.compile(r"\bpd\b|pdw|proton.?density"), ("anat", "PDw")),
)
_GUESSED: Final = frozenset({"T1w", "T2w", "FLAIR", "PDw", "T2starw", "angio"})
_LONGEST: Final = 40
_LABEL: Final = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a series is in BIDS: data type (``anat``, ``func``, ``dwi``), suffix, and task."""

    data_type: str
    suffix: str
    task: str = ""


def kind_of(texts: Iterable[str], sidecar: Mapping[str, Any]) -> Kind | str:
    """What a series is, by its descriptions, or else by dcm2niix's guess; or why it is nothing."""
    words = " ".join(texts).lower().replace("_", " ")
    for pattern, known in _WORDS:
        if pattern.search(words):
            if known is None:
                return "a localizer or a derived map"
            data_type, suffix = known
            task = label(re.sub(r"bold|fmri|task|\W|_", "", words)) if suffix == "bold" else ""
            return Kind(data_type, suffix, (task or "unknown") if suffix == "bold" else "")
    guess = sidecar.get("BidsGuess")
    if isinstance(guess, list) and len(guess) == 2 and guess[0] == "anat":
        suffix = str(guess[1]).rsplit("_", 1)[-1]
        if suffix in _GUESSED:
            return Kind("anat", suffix)
    return "no BIDS suffix is known for it: name the sequence in SeriesDescription (T1, T2, ...)"


def label(text: str) -> str:
    """Letters and digits only, as BIDS labels are."""
    return _LABEL.sub("", text)


def subjects(patients: Iterable[str]) -> dict[str, str]:
    """A label for each patient, distinct also where only other characters told them apart."""
    made: dict[str, str] = {}
    taken: Counter[str] = Counter()
    for patient in sorted(set(patients)):
        short = label(patient)
        short = short if 0 < len(short) <= _LONGEST else "unknown"
        taken[short.lower()] += 1
        number = taken[short.lower()]
        made[patient] = short if number == 1 else f"{short}x{number}"
    return made


def sessions(studies: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """A label for each study, in the order in which each subject's are given.

    Empty where a subject has one.
    """
    made = {}
    for several in studies.values():
        for number, study in enumerate(several, start=1):
            made[study] = f"{number:02}" if len(several) > 1 else ""
    return made


def stem(subject: str, session: str, kind: Kind, run: int | None) -> Path:
    """The path of a file in the dataset, without its endings."""
    parts = [f"sub-{subject}"]
    parts += [f"ses-{session}"] if session else []
    folder = Path(*parts, kind.data_type)
    parts += [f"task-{kind.task}"] if kind.task else []
    parts += [f"run-{run}"] if run is not None else []
    return folder / "_".join([*parts, kind.suffix])
