"""Made-up patients: who they are, what was examined, and headers as scanners write them.

Everything is drawn from hashes of the seed and a place in the hierarchy, never from a shared
stream: patient 5 is the same whoever was made before, in this process or another, on any day.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from copy import copy
from datetime import date, timedelta
from functools import cache
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
from faker import Faker
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.valuerep import PersonName

from pacslab.demo import phantoms

MARK: Final = "SYNTHETIC, made by pacslab: no real person"

_LATIN: Final = "ISO_IR 100"
_LOCALES: Final = {  # locale: (how many of a hundred, SpecificCharacterSet, Python's codec)
    "en_US": (38, _LATIN, "latin-1"),
    "de_DE": (17, _LATIN, "latin-1"),
    "fr_FR": (13, _LATIN, "latin-1"),
    "el_GR": (8, "ISO_IR 126", "iso8859-7"),
    "ja_JP": (9, ["", "ISO 2022 IR 87"], "iso2022_jp"),
    "zh_CN": (6, "GB18030", "gb18030"),
    "ar_SA": (5, "ISO_IR 192", "utf-8"),
    "ko_KR": (4, ["", "ISO 2022 IR 149"], "euc_kr"),
}
_MAKERS: Final = {
    "CT": "Siemens Healthineers|SOMATOM Force;GE Healthcare|Revolution CT;Philips|IQon Spectral CT;"
    "Canon Medical Systems|Aquilion ONE",
    "MR": "Siemens Healthineers|MAGNETOM Vida;GE Healthcare|SIGNA Premier;Philips|Ingenia 3.0T",
    "CR": "FUJIFILM|FCR Profect CS;Agfa HealthCare|DX-M;Carestream|DirectView CR 975",
    "DX": "Philips|DigitalDiagnost C90;Siemens Healthineers|Ysio Max;GE Healthcare|Optima XR656",
    "US": "GE Healthcare|LOGIQ E10;Philips|EPIQ 7;Canon Medical Systems|Aplio i800",
    "MG": "HOLOGIC|Selenia Dimensions;Siemens Healthineers|MAMMOMAT Revelation",
    "PT": "Siemens Healthineers|Biograph Vision;GE Healthcare|Discovery MI",
    "SR": "pacslab|Synthetic Reporting",
}
_CLASSES: Final = {
    "CT": uid.CTImageStorage,
    "MR": uid.MRImageStorage,
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "US": uid.UltrasoundImageStorage,
    "MG": uid.DigitalMammographyXRayImageStorageForPresentation,
    "PT": uid.PositronEmissionTomographyImageStorage,
    "SR": uid.BasicTextSRStorage,
}


class _Series(NamedTuple):
    """A series of a protocol: modality, description, phantom, window, field of view in mm."""

    modality: str
    description: str
    look: str
    window: tuple[int, int] = (0, 0)
    field: int = 0
    most: int = 24


class _Protocol(NamedTuple):
    """An examination: weight, StudyDescription, BodyPartExamined, phantom and series."""

    weight: int
    description: str
    body_part: str
    phantom: str
    series: tuple[_Series, ...]


_S = _Series
_PROTOCOLS: Final = (
    _Protocol(13, "CT Chest", "CHEST", "CHEST", (
        _S("CT", "Chest native, lung", "CT", (-500, 1500), 380),
        _S("CT", "Chest with contrast, soft tissue", "CT+C", (60, 450), 380))),
    _Protocol(10, "CT Head", "HEAD", "HEAD", (_S("CT", "Head native", "CT", (38, 90), 240),)),
    _Protocol(10, "CT Abdomen with contrast", "ABDOMEN", "ABDOMEN", (
        _S("CT", "Abdomen portal venous", "CT+C", (60, 400), 400),)),
    _Protocol(11, "MR Brain", "BRAIN", "HEAD", (
        _S("MR", "T1 tra", "T1", (430, 900), 230),
        _S("MR", "T2 tra", "T2", (500, 1050), 230),
        _S("MR", "FLAIR tra", "FLAIR", (400, 850), 230))),
    _Protocol(5, "MR Lumbar spine", "LSPINE", "LSPINE", (
        _S("MR", "T1 sag", "T1", (430, 900), 300, 12),
        _S("MR", "T2 sag", "T2", (480, 1000), 300, 12))),
    _Protocol(12, "XR Chest", "CHEST", "CHEST", (_S("DX", "Chest PA", "XR", field=400, most=1),)),
    _Protocol(7, "XR Chest bedside", "CHEST", "CHEST", (
        _S("CR", "Chest AP", "XR", field=400, most=1),)),
    _Protocol(6, "XR Hand", "HAND", "HAND", (_S("DX", "Hand PA", "XR", field=240, most=1),)),
    _Protocol(12, "US Abdomen", "ABDOMEN", "", (_S("US", "Abdomen", "US", most=8),)),
    _Protocol(7, "Mammography", "BREAST", "", (_S("MG", "Screening", "MG", field=240, most=4),)),
    _Protocol(7, "PET/CT Chest FDG", "CHEST", "CHEST", (
        _S("CT", "CT attenuation correction", "CT", (40, 400), 500),
        _S("PT", "PET FDG, corrected", "PT", (12000, 24000), 500))),
)  # fmt: skip


class _Patient(NamedTuple):
    """What all studies of a patient have in common; ``body`` seeds the anatomy."""

    number: int
    locale: str
    sex: str
    born: date
    body: int
    header: dict[str, Any]


def _hash(*place: object) -> int:
    """128 bits of a hash of a place in the hierarchy: for UIDs and for seeds."""
    text = "/".join(map(str, ("pacslab synthetic", *place)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def _uid(*place: object) -> str:
    return f"2.25.{_hash(*place)}"


@cache
def _faker(locale: str) -> Faker:
    return Faker(locale)  # tens of milliseconds: once a locale, seeded again for every name


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def _hangul_in_latin(text: str) -> str:
    """Korean in the Revised Romanisation, syllable by syllable (Unicode 3.12 takes them apart)."""
    first = "g kk n d tt r m b pp s ss  j jj ch k t p h".split(" ")
    middle = "a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i".split(" ")
    last = " k k k n n n t l l l l l l l l m p p t t ng t t k t p t".split(" ")
    spelt = ""
    for syllable in text:
        n = ord(syllable) - 0xAC00
        spelt += first[n // 588] + middle[n % 588 // 28] + last[n % 28]
    return spelt.capitalize()


def _name(locale: str, sex: str, *place: object) -> PersonName:
    """A name as PS3.5 6.2 writes it: alphabetic=ideographic=phonetic, as far as there are such."""
    fake = _faker(locale)
    fake.seed_instance(_hash(*place))
    kind = "female" if sex == "F" else "male"
    if locale == "ja_JP":
        pairs = fake.last_name_pair(), getattr(fake, f"first_name_{kind}_pair")()
        kanji, kana, latin = ("^".join(parts) for parts in zip(*pairs, strict=True))
        # hiragana stand 0x60 before katakana
        spoken = "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in kana)
        return PersonName(f"{latin}={kanji}={spoken}")
    while True:
        last = getattr(fake, f"last_name_{kind}")()
        first = getattr(fake, f"first_name_{kind}")()
        name = f"{last}^{first}"
        try:
            name.encode(_LOCALES[locale][2])
        except UnicodeEncodeError:
            continue
        if locale == "ko_KR":
            return PersonName(f"{_hangul_in_latin(last)}^{_hangul_in_latin(first)}=={name}")
        return PersonName(name)


def _patient(seed: int, number: int) -> _Patient:
    dice = Random(_hash(seed, number, "patient"))
    (locale,) = dice.choices(list(_LOCALES), [weight for weight, *_ in _LOCALES.values()])
    sex = dice.choice("FM")
    low, high = dice.choices(
        [(0, 17), (18, 39), (40, 59), (60, 79), (80, 93)], [7, 15, 31, 37, 10]
    )[0]
    born = date(2021, 6, 30) - timedelta(
        days=int(365.25 * (low + (high - low + 1) * dice.random()))
    )
    born = min(born, date(2017, 12, 1))
    header = {
        "SpecificCharacterSet": _LOCALES[locale][1],
        "PatientName": _name(locale, sex, seed, number, "name"),
        "PatientID": f"SYN-{number:04d}",
        "PatientBirthDate": f"{born:%Y%m%d}" if dice.random() >= 0.03 else "",
        "PatientSex": sex if dice.random() >= 0.015 else "",
        "PatientComments": MARK,
    }
    return _Patient(number, locale, sex, born, _hash(seed, number, "body") >> 64, header)


def _visits(seed: int, patient: _Patient) -> list[date]:
    """The dates of a patient's studies: 30 % come again, work grows from 2018 to 2024."""
    dice = Random(_hash(seed, patient.number, "visits"))
    again = dice.random() < 0.3
    days = (date(2023, 9, 30) if again else date(2024, 12, 30)) - date(2018, 1, 2)
    day = date(2018, 1, 2) + timedelta(days=int(days.days * max(dice.random(), dice.random())))
    visits = []
    for _ in range(1 + (dice.choice((1, 1, 1, 2, 2, 3)) if again else 0)):
        if day.weekday() > 4 and dice.random() < 0.8:
            day += timedelta(days=7 - day.weekday())
        if day <= date(2024, 12, 31):
            visits.append(day)
        day += timedelta(days=dice.choice((30, 90, 90, 180, 180, 365)) + dice.randrange(-9, 15))
    return visits


def _protocol(dice: Random, patient: _Patient, age: int) -> _Protocol:
    def weight(protocol: _Protocol) -> float:
        if protocol.body_part == "BREAST":
            return 2 * protocol.weight if patient.sex == "F" and 38 <= age < 76 else 0
        return protocol.weight if age >= 18 or protocol.series[0].look in ("XR", "US", "T1") else 1

    return dice.choices(_PROTOCOLS, [weight(p) for p in _PROTOCOLS])[0]


def _age(born: date, day: date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def synthesize(patients: int = 200, seed: int = 7) -> Iterator[bytes]:
    """Made-up patients and their images, as Part 10 files (PS3.10), one after the other.

    Marked as synthetic in PatientID (``SYN-0001``), PatientComments, ImageComments,
    InstitutionName and in the picture itself. Same ``seed``, same bytes; fewer ``patients`` are
    the first ones of more. About twenty images a patient, 64 to 128 pixels wide.
    """
    for number in range(1, patients + 1):
        patient = _patient(seed, number)
        protocol: _Protocol | None = None
        for study, day in enumerate(_visits(seed, patient)):
            dice = Random(_hash(seed, number, study))
            if protocol is None or dice.random() < 0.25:  # a follow-up mostly repeats the exam
                protocol = _protocol(dice, patient, _age(patient.born, day))
            yield from _study(seed, patient, study, day, protocol, dice)


def _study(
    seed: int, patient: _Patient, study: int, day: date, protocol: _Protocol, dice: Random
) -> Iterator[bytes]:
    place = (seed, patient.number, study)
    age, start = _age(patient.born, day), dice.randrange(7 * 60, 19 * 60)
    thorough = dice.random()
    header = patient.header | {
        "StudyInstanceUID": _uid(*place),
        "StudyDate": f"{day:%Y%m%d}",
        "StudyTime": _time(start * 60),
        "AccessionNumber": f"SYN{_hash(*place) % 10**9:09d}" if dice.random() >= 0.02 else "",
        "StudyID": f"S{study + 1}",
        "StudyDescription": protocol.description if dice.random() >= 0.04 else "",
        "ReferringPhysicianName": _name(
            patient.locale, dice.choice("FM"), seed, patient.locale, "doctor", dice.randrange(9)
        ),
        "PatientAge": f"{age:03d}Y" if age else f"{max((day - patient.born).days // 30, 0):03d}M",
        "InstitutionName": "Synthetic Hospital",
    }
    if thorough < 0.6 and age >= 18:
        header["PatientWeight"] = str(int(dice.triangular(45, 120, 76)))
    shown = protocol.series[: 1 + int(len(protocol.series) * dice.random() * 1.6)]
    if protocol.body_part == "CHEST" and protocol.series[-1].look == "PT":
        shown = protocol.series
    count = dice.randrange(8, 25)  # one number for the study: its series can be compared
    for number, series in enumerate(shown, 1):
        common = header | {"SeriesTime": _time(start * 60 + 240 * number)}
        images = count if series.most > 8 else dice.randrange(1, series.most + 1)
        images = {"MG": 4, "US": max(images, 3)}.get(series.modality, min(images, series.most))
        yield from _series(place, patient, number, common, protocol, series, images, dice)
    if dice.random() < 0.2:
        report = _Series("SR", "Report", "")
        common = header | {"SeriesTime": _time(start * 60 + 3600)}
        yield from _series(place, patient, 99, common, protocol, report, 1, dice)


def _time(seconds: int) -> str:
    return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"


def _series(
    place: tuple[int, int, int],
    patient: _Patient,
    number: int,
    common: dict[str, Any],
    protocol: _Protocol,
    series: _Series,
    count: int,
    dice: Random,
) -> Iterator[bytes]:
    modality = series.modality
    noise = phantoms.Dice(_hash(*place, number, "noise"))
    fixed = Random(_hash(*place, modality, "scanner"))  # one scanner for a study's series
    maker, model = fixed.choice(_MAKERS[modality].split(";")).split("|")
    size = 64 if modality == "PT" else fixed.choice((96, 112, 128, 128))
    rows, columns = {"US": (96, 128), "MG": (128, 96)}.get(modality, (size, size))
    spacing = round(series.field / max(rows, columns), 4)
    step = 3.5 if protocol.phantom == "LSPINE" else round(0.55 * series.field / 24, 1)
    values = common | {
        "SOPClassUID": _CLASSES[modality],
        "Modality": modality,
        "SeriesInstanceUID": _uid(*place, number),
        "SeriesNumber": str(number),
        "SeriesDate": common["StudyDate"],
        "SeriesDescription": series.description if dice.random() >= 0.03 else "",
        "Manufacturer": maker,
        "ManufacturerModelName": model,
        "DeviceSerialNumber": f"SYN{_hash(maker, model) % 10**6:06d}",
        "SoftwareVersions": "1.0",
        "ContentDate": common["StudyDate"],
        "ContentTime": common["SeriesTime"],
    }
    if modality == "SR":
        values |= _report(protocol)
    else:
        values |= {
            "BodyPartExamined": protocol.body_part,
            "ProtocolName": f"{protocol.description} routine",
            "PatientOrientation": ["L", "F"],
            "AcquisitionDate": common["StudyDate"],
            "AcquisitionTime": common["SeriesTime"],
            "StationName": f"{modality}{1 + _hash(model) % 4}",
            "ImageComments": MARK,
            # there is text in the pixels, though none that identifies
            "BurnedInAnnotation": "YES",
            "Rows": rows,
            "Columns": columns,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "LossyImageCompression": "00",
        }
        values |= _pixel_header(modality) | _module(series, protocol, spacing, step, count)
        if series.most > 8:
            values["FrameOfReferenceUID"] = _uid(*place, "frame")
    template = _template(values)
    volume = None
    if protocol.phantom and series.look in phantoms.TISSUES:
        lesion = patient.body % 3 and 0.7 + 0.3 * (patient.body % 5) / 4 + 0.15 * place[2]
        volume = phantoms.Volume(
            series.look, protocol.phantom, rows, columns, body=patient.body, lesion=lesion
        )
    for index in range(count):
        made = copy(template)
        made.SOPInstanceUID = _uid(*place, number, index)
        made.InstanceNumber = str(index + 1)
        if volume is not None:
            height = round((index - (count - 1) / 2) * step, 1)
            _place(made, protocol, height, spacing, rows)
            image = volume.slice(2 * height / series.field, noise)
            window = series.window[0] + series.window[1] / 2
        elif modality != "SR":
            image, window = _flat(made, protocol, patient, index, noise), 1.0
        if modality != "SR":
            phantoms.burn(image, window)
            made.PixelData = _stored(made, image, modality)
            if modality == "PT":
                made.ImageIndex = index + 1
        yield _written(made)


def _pixel_header(modality: str) -> dict[str, Any]:
    stored = {"US": 8, "CT": 16, "PT": 16}.get(modality, 12)
    return {
        "BitsAllocated": 8 if stored == 8 else 16,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": int(modality in ("CT", "PT")),
    }


def _stored(made: FileDataset, image: phantoms.Image, modality: str) -> bytes:
    """The picture as stored values: Hounsfield units plus 1024 or a share of what the bits hold."""
    if modality == "CT":
        return np.clip(np.rint(image) + 1024, 0, 4095).astype("<i2").tobytes()
    if modality == "MR":
        return np.clip(np.rint(image), 0, 4095).astype("<u2").tobytes()
    if modality == "PT":
        return np.clip(np.rint(image / 2), 0, 32767).astype("<i2").tobytes()
    full = (1 << int(made.BitsStored)) - 1
    kind = "<u1" if full == 255 else "<u2"
    return np.rint(np.clip(image, 0, 1) * np.float32(full)).astype(kind).tobytes()


def _place(
    made: FileDataset, protocol: _Protocol, height: float, spacing: float, size: int
) -> None:
    """Where the slice lies in the patient (PS3.3 C.7.6.2), its middle at the origin."""
    corner = round(-spacing * (size - 1) / 2, 4)
    if protocol.phantom == "LSPINE":
        made.ImagePositionPatient = [height, corner, -corner]
    else:
        made.ImagePositionPatient = [corner, corner, height]
    made.SliceLocation = height


def _flat(
    made: FileDataset, protocol: _Protocol, patient: _Patient, index: int, noise: phantoms.Dice
) -> phantoms.Image:
    rows, columns = made.Rows, made.Columns
    if made.Modality == "US":
        return phantoms.ultrasound(rows, columns, patient.body, noise)
    if made.Modality != "MG":
        return phantoms.radiograph(protocol.body_part, rows, columns, patient.body, noise)
    left, oblique = index % 2 == 1, index > 1
    side = "L" if left else "R"
    made.ImageLaterality = side
    made.ViewPosition = "MLO" if oblique else "CC"
    made.PatientOrientation = ["A" if left else "P", "FL" if oblique else side]
    view = ("399368009", "medio-lateral oblique") if oblique else ("399162004", "cranio-caudal")
    made.ViewCodeSequence = [_code(view[0], "SCT", view[1])]
    made.ViewCodeSequence[0].ViewModifierCodeSequence = []
    return phantoms.mammogram(rows, columns, patient.body, noise, left=left, oblique=oblique)


def _module(
    series: _Series, protocol: _Protocol, spacing: float, step: float, count: int
) -> dict[str, Any]:
    """What the IOD of the modality asks for beyond the modules that all images share."""
    modality, look = series.modality, series.look
    cross = {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientPosition": "HFS",
        "PositionReferenceIndicator": "",
        "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]
        if protocol.phantom == "LSPINE"
        else [1, 0, 0, 0, 1, 0],
        "PatientOrientation": ["P", "F"] if protocol.phantom == "LSPINE" else ["L", "P"],
        "PixelSpacing": [spacing, spacing],
        "SliceThickness": step,
        "AcquisitionNumber": "1",
        "WindowCenter": series.window[0],
        "WindowWidth": series.window[1],
    }
    if modality == "CT":
        return cross | {
            "RescaleIntercept": "-1024", "RescaleSlope": "1", "RescaleType": "HU",
            "KVP": "120", "XRayTubeCurrent": "210", "ConvolutionKernel": "B70f" if "lung" in
            series.description else "B31f",
            "ReconstructionDiameter": series.field,
            "ContrastBolusAgent": "Iodine" if look == "CT+C" else "",
        }  # fmt: skip
    if modality == "MR":
        echo, repetition = {"T1": ("12", "550"), "T2": ("98", "4200")}.get(look, ("120", "9000"))
        return cross | {
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
            "ScanningSequence": ["SE", "IR"] if look == "FLAIR" else "SE",
            "SequenceVariant": "SK", "ScanOptions": "", "MRAcquisitionType": "2D",
            "EchoTime": echo, "RepetitionTime": repetition, "EchoTrainLength": "1",
            "InversionTime": "2500" if look == "FLAIR" else "", "FlipAngle": "90",
            "MagneticFieldStrength": "3", "SpacingBetweenSlices": step,
        }  # fmt: skip
    if modality == "PT":
        return cross | {
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "RescaleIntercept": "0", "RescaleSlope": "2", "Units": "BQML",
            "CountsSource": "EMISSION", "SeriesType": ["STATIC", "IMAGE"],
            "NumberOfSlices": count, "CorrectedImage": ["DECY", "ATTN", "SCAT"],
            "DecayCorrection": "START", "CollimatorType": "NONE", "FrameReferenceTime": "0",
            "ActualFrameDuration": "120000", "DecayFactor": "1", "AttenuationCorrectionMethod": "CT",
            "RadiopharmaceuticalInformationSequence": [_dataset(
                Radiopharmaceutical="FDG", RadionuclideTotalDose="300000000",
                RadionuclideHalfLife="6586.2", RadionuclideCodeSequence=[
                    _code("77004003", "SCT", "^18^Fluorine")])],
            "PatientOrientationCodeSequence": [_dataset(
                **_items("102538003", "recumbent"), PatientOrientationModifierCodeSequence=[
                    _code("40199007", "SCT", "supine")])],
            "PatientGantryRelationshipCodeSequence": [_code("102540008", "SCT", "headfirst")],
        }  # fmt: skip
    flat = {"ImageType": ["ORIGINAL", "PRIMARY", ""], "AcquisitionNumber": "1"}
    if modality == "US":
        return flat | {"ImageType": ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"], "Laterality": ""}
    view = series.description.split()[-1]
    flat |= {"KVP": "28" if modality == "MG" else "110", "WindowCenter": "2048",
             "WindowWidth": "4096", "ImagerPixelSpacing": [spacing, spacing]}  # fmt: skip
    if modality == "CR":
        return flat | {"ViewPosition": view, "Laterality": ""}
    region = {"CHEST": ("43799004", "Chest"), "HAND": ("85562004", "Hand")}
    code, meaning = region.get(protocol.body_part, ("76752008", "Breast"))
    flat |= {
        "PresentationIntentType": "FOR PRESENTATION", "PresentationLUTShape": "IDENTITY",
        "PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US",
        "DetectorType": "DIRECT", "AcquisitionContextSequence": [],
        "AnatomicRegionSequence": [_code(code, "SCT", meaning)],
        "ImageLaterality": "R" if protocol.body_part == "HAND" else "U", "ViewPosition": view,
    }  # fmt: skip
    if modality == "MG":
        flat |= {"PositionerType": "MAMMOGRAPHIC", "OrganExposed": "BREAST", "Laterality": "",
                 "BreastImplantPresent": "NO", "PartialView": "NO", "DetectorID": "SYN",
                 "DetectorTemperature": "25"}  # fmt: skip
    return flat


def _items(value: str, meaning: str) -> dict[str, Any]:
    return {"CodeValue": value, "CodingSchemeDesignator": "SCT", "CodeMeaning": meaning}


def _report(protocol: _Protocol) -> dict[str, Any]:
    """A basic text report: a container with a heading and two sentences (PS3.3 A.35.1)."""

    def text(code: str, meaning: str, value: str) -> Dataset:
        return _dataset(RelationshipType="CONTAINS", ValueType="TEXT", TextValue=value,
                        ConceptNameCodeSequence=[_code(code, "DCM", meaning)])  # fmt: skip

    return {
        "ReferencedPerformedProcedureStepSequence": [], "PerformedProcedureCodeSequence": [],
        "CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED", "ValueType": "CONTAINER",
        "ContinuityOfContent": "SEPARATE",
        "ConceptNameCodeSequence": [_code("18748-4", "LN", "Diagnostic imaging report")],
        "ContentSequence": [
            text("121071", "Finding", f"{protocol.description}: shapes made of ellipsoids."),
            text("121077", "Conclusion", MARK),
        ],
    }  # fmt: skip


def _template(values: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = values["SOPClassUID"]
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    # pydicom would name its own version, and bytes would change with it
    meta.ImplementationClassUID = uid.UID(_uid("implementation"))
    meta.ImplementationVersionName = "PACSLAB_SYN"
    template = FileDataset("", {}, preamble=bytes(128), file_meta=meta)
    for keyword, value in values.items():
        setattr(template, keyword, value)
    return template


def _written(made: FileDataset) -> bytes:
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
