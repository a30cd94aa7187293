"""Images held ready: where the frames of an instance lie, so that each costs one read.

Finding an instance in the index and reading its header take longer than a frame does. Both are
kept for as long as the file at the instance's path is the same: the files are the truth, and a
file that was replaced, or removed, has another identity.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.part10 import read_part10
from pacslab.dicom.pixels import Pixels, open_pixels
from pacslab.dicom.transcode import transcode
from pacslab.errors import NotFoundError, PixelError
from pacslab.web.negotiation import EXPLICIT_LITTLE

Identity = tuple[int, int, int]

_PLAIN: Final = frozenset({"1.2.840.10008.1.2", EXPLICIT_LITTLE})
# Parsed, a header takes about ten times its bytes
_HEADER_BYTES: Final = 8 << 20
_AT_ONCE: Final = 16 << 20  # bytes of a file that the event loop looks into
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)


@dataclass(frozen=True, slots=True)
class Image:
    """An instance with frames: what the index knows of it, and where they lie in its file.

    ``start`` is where native little endian frames begin, in bytes; None when a frame has to be
    decoded, or doesn't begin on a byte. ``size`` is that of one such frame in bytes. ``code`` is
    where the codestream of an only frame starts and stops, None where there is none in one piece.
    """

    stored: Stored
    path: str
    identity: Identity
    frames: int
    start: int | None
    size: int
    code: tuple[int, int] | None

    def place(self, i: int, *, stored: bool = False) -> tuple[int, int] | None:
        """Where frame i (from 0) begins and how long it is; None where that isn't known.

        Of the codestream if ``stored``, else of the native frame.
        """
        if stored:
            begin, end = self.code or (0, 0)
        else:
            begin = (self.start or 0) + i * self.size
            end = begin + self.size if self.start is not None else 0
        # What is cut off, or empty, gets its error from the slower way
        return (begin, end - begin) if begin < end <= self.identity[2] else None


@dataclass(frozen=True, slots=True)
class _Opened:
    """An opened image; ``header_bytes`` is how long its header is, which stays in memory."""

    identity: Identity
    pixels: Pixels
    header_bytes: int


class Images:
    """The images that were asked for last; safe to use from several threads."""

    def __init__(self, archive: Archive, places: int = 20_000, opened: int = 256) -> None:
        self._archive = archive
        self._root = str(archive.files.files)
        self._lock = threading.Lock()
        self._places: OrderedDict[tuple[str, str, str], Image] = OrderedDict()
        self._opened: OrderedDict[str, _Opened] = OrderedDict()
        self._header_bytes = 0
        self._limits = places, opened

    def known(self, study: str, series: str, instance: str) -> Image | None:
        """The image if it is held ready and its file is the same; takes microseconds."""
        image = self._places.get((study, series, instance))
        if image is not None:
            try:
                if identity(os.stat(image.path)) == image.identity:  # noqa: PTH116
                    return image
            except OSError:
                pass
            with self._lock:
                self._places.pop((study, series, instance), None)
        return None

    def find_at_once(self, study: str, series: str, instance: str) -> Image | None:
        """The image, if no disk has to be waited for; so that the event loop may call it.

        Raises NotFoundError as :meth:`find` does.
        """
        if image := self.known(study, series, instance):
            return image
        if not self._archive.database.idle:
            return None
        stored = self._archive.instance(instance, study, series)
        if stored.size > _AT_ONCE or not in_memory(str(stored.path)):
            return None
        return self._read(stored)

    def find(self, study: str, series: str, instance: str) -> Image:
        """The image, read from its file. Raises NotFoundError for what has no frames."""
        if image := self.known(study, series, instance):
            return image
        return self._read(self._archive.instance(instance, study, series))

    def _read(self, stored: Stored) -> Image:
        instance = stored.sop_instance_uid
        try:
            same = identity(stored.path.stat())
            part = read_part10(stored.path)
        except OSError:
            raise NotFoundError(
                f"the file of {instance} is gone or can't be read: run 'pacslab check "
                f"{self._archive.directory}'"
            ) from None
        if part.keyword is None:
            part.close()
            raise NotFoundError(
                f"{instance} has no pixel data, so it has no frames: ask for its metadata or the "
                "whole instance"
            )
        pixels = Pixels(part)
        bits = pixels.layout.frame_bits
        plain = part.transfer_syntax in _PLAIN and part.length is not None and bits % 8 == 0
        image = Image(
            stored,
            str(stored.path),
            same,
            pixels.number_of_frames,
            part.start if plain else None,
            bits // 8,
            _code_place(pixels),
        )
        uids = (stored.study_instance_uid, stored.series_instance_uid, instance)
        with self._lock:
            self._places[uids] = image
            self._keep(image.path, _Opened(same, pixels, part.start))
            while len(self._places) > self._limits[0]:
                self._places.popitem(last=False)
        return image

    def pixels(self, image: Image) -> Pixels:
        """The image opened; it is shared, so that it mustn't be closed. Raises PixelError."""
        with self._lock:
            held = self._opened.get(image.path)
            if held is not None and held.identity == image.identity:
                self._opened.move_to_end(image.path)
                return held.pixels
        part = read_part10(Path(image.path))
        pixels = Pixels(part)
        with self._lock:
            self._keep(image.path, _Opened(image.identity, pixels, part.start))
        return pixels

    def _keep(self, path: str, opened: _Opened) -> None:
        if (before := self._opened.pop(path, None)) is not None:
            self._header_bytes -= before.header_bytes
        self._opened[path] = opened
        self._header_bytes += opened.header_bytes
        # Not closed: another thread may be in it. Its map goes with the last reference
        while len(self._opened) > self._limits[1] or (
            self._header_bytes > _HEADER_BYTES and len(self._opened) > 1
        ):
            self._header_bytes -= self._opened.popitem(last=False)[1].header_bytes


def identity(status: os.stat_result) -> Identity:
    """What tells one state of a file from another."""
    return status.st_ino, status.st_mtime_ns, status.st_size


def _code_place(pixels: Pixels) -> tuple[int, int] | None:
    try:
        return pixels.code_place(0) if pixels.number_of_frames == 1 else None
    except PixelError:
        return None  # whoever asks for the frame is told


def in_memory(path: str) -> bool:
    """Whether the system has the beginning and the end of a file in memory, by the looks of it.

    Where the system can't tell, it is False always.
    """
    if not _NOWAIT:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            one = bytearray(1)
            last = max(os.fstat(descriptor).st_size - 1, 0)
            return all(os.preadv(descriptor, [one], at, _NOWAIT) for at in (0, last))
        finally:
            os.close(descriptor)
    except OSError:
        return False


def read_at_once(image: Image, begin: int, into: memoryview) -> bool:
    """Read bytes from ``begin`` on if the system has them in memory; False when it hasn't.

    So the event loop may call it. Where the system can't tell, it is False always.
    """
    if not _NOWAIT:
        return False
    try:
        descriptor = os.open(image.path, os.O_RDONLY)
        try:
            if identity(os.fstat(descriptor)) != image.identity:
                return False
            return os.preadv(descriptor, [into], begin, _NOWAIT) == len(into)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP, errno.ENOENT):
            return False
        raise


_IMAGE_PIXEL: Final = (
    "SOPClassUID", "SOPInstanceUID", "SamplesPerPixel", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip


def encoded_frame(pixels: Pixels, i: int, transfer_syntax_uid: str) -> bytes:
    """Frame i (from 0) as a codestream of another transfer syntax.

    The frame is made an object of its own, so that the others needn't be encoded with it.
    Raises PixelError when it can't be decoded, or not be encoded so.
    """
    native = pixels.native
    alone = Dataset()
    for keyword in _IMAGE_PIXEL:
        if keyword in pixels.header:
            alone.add(pixels.header[keyword])
    alone.PhotometricInterpretation = native.photometric_interpretation
    if native.samples_per_pixel > 1:
        alone.PlanarConfiguration = native.planar_configuration
    if native.floating:
        raise PixelError("Pixels in floating point can't be compressed: ask for octet-stream.")
    data = pixels.decoded_frame(i)
    alone.add_new(0x7FE00010, "OW" if native.bits_allocated > 8 else "OB",
                  data + b"\0" * (len(data) % 2))  # fmt: skip
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    file = io.BytesIO()
    made = FileDataset(file, alone, file_meta=meta, preamble=bytes(128))
    made.save_as(file, enforce_file_format=True)
    with open_pixels(transcode(file.getvalue(), transfer_syntax_uid)) as encoded:
        return encoded.stored_frame(0)
