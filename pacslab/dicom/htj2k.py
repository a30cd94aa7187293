"""High-Throughput JPEG 2000, lossless (PS3.5 A.4.4): encoded by OpenJPH, which is an extra.

OpenJPH comes with imagecodecs (BSD-3-Clause), a large package that little else here would need;
decoding is OpenJPEG's as of all JPEG 2000.
"""

from __future__ import annotations

from typing import Final

from pydicom.uid import HTJ2KLossless, HTJ2KLosslessRPCL

from pacslab.dicom.part10 import Array, Layout

HTJ2K: Final = (HTJ2KLossless, HTJ2KLosslessRPCL)
_SMALLEST: Final = 64  # rows or columns of the smallest resolution that is worth having


def obstacle(layout: Layout) -> str:
    """Why frames can't be encoded so; empty if they can."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return "its encoder isn't installed: pip install 'pacslab[htj2k]' where the server runs"
    if layout.bits_allocated not in (8, 16):
        return f"HTJ2K is made of 8 or 16 bits, not of {layout.bits_allocated}"
    return ""


def encode(samples: Array, layout: Layout) -> bytes:
    """A frame as codestream; in RPCL order with a TLM marker, so that it fits both syntaxes.

    RGB goes through the reversible component transform (PS3.5 8.2.4).
    """
    from imagecodecs import htj2k_encode

    colour = layout.samples_per_pixel == 3
    levels = max(0, (max(layout.rows, layout.columns) - 1) // _SMALLEST).bit_length()
    return bytes(
        htj2k_encode(
            samples,
            rgb=layout.photometric_interpretation == "RGB" if colour else None,
            planar=False if colour else None,
            resolutions=levels,
            reversible=True,
            tlm=True,
        )
    )
