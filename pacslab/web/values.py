"""Values of bulk data: elements, native pixel data, and videos, sent from where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from pacslab.archive import Archive
from pacslab.archive.archive import Stored
from pacslab.dicom.header import bulk_value
from pacslab.dicom.instance import parse
from pacslab.dicom.part10 import items, read_part10
from pacslab.dicom.pixels import Pixels
from pacslab.dicom.transcode import transcode
from pacslab.errors import NotFoundError, PacslabError, PixelError
from pacslab.web.frames import chosen_form
from pacslab.web.images import Image, Images
from pacslab.web.negotiation import (
    ANY,
    COMPRESSED,
    EXPLICIT_LITTLE,
    OCTETS,
    Offer,
    Wish,
    media_type_of,
    not_acceptable,
)
from pacslab.web.streaming import Chunks, Part, gathered, read

PIXEL_DATA: Final = frozenset({"7FE00008", "7FE00009", "7FE00010"})
PLAIN: Final = (Offer(OCTETS), Offer(OCTETS, multipart=True))
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"


@dataclass(frozen=True, slots=True)
class Value:
    """A value's bytes, as they are to be sent, in pieces from any place on."""

    length: int
    stored: Stored
    source: bytes | Pixels | int
    """The bytes, the image they are decoded from, or where they begin in the file."""

    def chunks(self, start: int, stop: int) -> Chunks:
        """The bytes from ``start`` up to ``stop``."""
        return gathered(self._pieces(start, stop))

    def made(self, most: int) -> Value:
        """The same, decoded now if it has at most so many bytes. Raises PixelError."""
        if not isinstance(self.source, Pixels) or self.length > most:
            return self
        return Value(self.length, self.stored, b"".join(self.chunks(0, self.length)))

    def part(self, kind: str, location: str) -> Part:
        """It as a part of a multipart body."""
        if isinstance(self.source, int):
            return Part(kind, location, self.stored.path, self.length, self.source)
        return Part(kind, location, self, self.length)

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        if isinstance(self.source, int):
            yield from read(self.stored.path, stop - start, self.source + start)
        elif isinstance(self.source, bytes):
            yield self.source[start:stop]
        else:
            size = self.source.native.frame_bits // 8
            for i in range(start // size, self.source.number_of_frames):
                if i * size >= stop:
                    return
                yield self.source.decoded_frame(i)[max(start - i * size, 0) : stop - i * size]
            yield b"\0" * (stop - max(start, size * self.source.number_of_frames))


def opened(archive: Archive, stored: Stored) -> Dataset:
    """An instance's data set, little endian."""
    data = archive.data(stored)
    if stored.transfer_syntax_uid == _BIG_ENDIAN:
        data = transcode(data, EXPLICIT_LITTLE)
    return parse(data)


def element(dataset: Dataset, stored: Stored, path: str) -> Value:
    """The value at ``TAG`` or ``TAG/ITEM/TAG``. Raises NotFoundError, or says what is damaged."""
    try:
        found = bulk_value(dataset, path)
    except LookupError as error:
        raise NotFoundError(f"{error.args[0]} of {stored.sop_instance_uid}") from None
    except PacslabError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged value provokes
        raise PacslabError(
            f"{path} of {stored.sop_instance_uid} can't be read ({error}): ask for the whole "
            "instance as it is stored"
        ) from error
    return Value(len(found), stored, found)


def pixel_data(images: Images, image: Image) -> Value:
    """The value of the pixel data element in a native object. Raises PixelError."""
    if image.start is not None:
        part = read_part10(image.stored.path)
        try:
            length = min(part.length or 0, image.identity[2] - image.start)
        finally:
            part.close()
        return Value(length, image.stored, image.start)
    pixels = images.pixels(image)
    native = pixels.native
    if native.frame_bits % 8:
        # Frames that don't begin on a byte follow each other without padding (PS3.5 8.1.1)
        data = transcode(image.stored.path, EXPLICIT_LITTLE)
        part = read_part10(data)
        try:
            whole = bytes(part.data[part.start : part.end])
        finally:
            part.close()
        return Value(len(whole), image.stored, whole)
    pixels.decoded_frame(0)  # what can't be decoded shall fail before the first byte
    length = native.frame_bits // 8 * pixels.number_of_frames
    return Value(length + length % 2, image.stored, pixels)


def pixel_tag(pixels: Pixels) -> str:
    """The element that holds the pixels (PS3.3 C.7.6.3, C.7.6.24 and C.7.6.25)."""
    if not pixels.layout.floating:
        return "7FE00010"
    return "7FE00008" if pixels.layout.bits_allocated == 32 else "7FE00009"


def wish_for(held: str, wanted: Sequence[Wish]) -> tuple[Wish, bool]:
    """The first wish for pixel data that can be had, and whether that is compressed."""
    kind = media_type_of(held)
    video = kind.startswith("video/")
    for wish in wanted:
        syntax = wish.transfer_syntax
        if wish.offer.media_type == OCTETS:
            if syntax in (None, EXPLICIT_LITTLE) or (syntax == ANY and kind == OCTETS):
                if not video:
                    return wish, False
            elif syntax in (ANY, held) and kind != OCTETS:
                return wish, True
        elif held in COMPRESSED[wish.offer.media_type]:
            if syntax in (None, ANY, held):
                return wish, True
        elif not video and wish.named and chosen_form(held, wish):
            return wish, True
    offers: list[Offer | str] = [] if video else list(PLAIN)
    if kind != OCTETS:
        offers.append(Offer(kind, multipart=True))
    raise not_acceptable(offers, "this pixel data can't be had as asked for")


def video(image: Image) -> Value:
    """The stream of a video, which is one frame of the encapsulation (PS3.5 A.4.8)."""
    part = read_part10(image.stored.path)
    try:
        stream = list(items(part.data, part.start, None))[1:]  # behind the offset table
        if not stream:
            raise PixelError("The video is empty. Send the object to the archive again.")
        if len(stream) == 1:
            start, stop = stream[0]
            return Value(stop - start, image.stored, start)
        whole = b"".join(bytes(part.data[start:stop]) for start, stop in stream)
        return Value(len(whole), image.stored, whole)
    finally:
        part.close()
