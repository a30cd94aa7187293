"""Single frames and rendered frames over four connections, and whole series in MB a second."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.benchmarks import data
from tests.benchmarks.asking import Ask, Connection, requests_per_second
from tests.benchmarks.peers import Peer
from tests.benchmarks.table import Measure

_OCTETS = 'multipart/related; type="application/octet-stream"'
_J2K = 'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90'
_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_ROUNDS = 3
_REPEATED = 9


def measures(peers: list[Peer], slices: int) -> list[Measure]:
    """CT images of 512 x 512, as many in a series, native and in JPEG 2000."""
    native = _series(peers, data.CT, slices)
    compressed = _series(peers, data.CT_J2K, slices)
    plain = [[Ask(f"{one.path}/frames/1", _OCTETS) for one in series] for series in native]
    j2k = [[Ask(f"{one.path}/frames/1", _J2K) for one in series] for series in compressed]
    shown = [[Ask(f"{one.path}/frames/1/rendered", "image/jpeg") for one in s] for s in native]
    whole = [Ask(series[0].series_path, _DICOM) for series in native]
    return [
        _rate("frames of a CT, 512 x 512, first visit", plain),
        _rate("frames of a CT, 512 x 512, visited before", [one * 3 for one in plain]),
        _rate("frames in JPEG 2000 as stored, first visit", j2k),
        _rate("frames in JPEG 2000 as stored, visited before", [one * 3 for one in j2k]),
        _rate("rendered frames of a CT, JPEG", shown),
        Measure(
            f"a whole series of {slices} CT slices",
            "MB/s",
            lambda peer, round_: _megabytes_per_second(peer, whole[round_]),
            target=1.5,
        ),
    ]


def _series(peers: list[Peer], name: str, slices: int) -> list[list[data.Made]]:
    """A series for each round, so that its first visits are first ones."""
    made = data.fill(peers, data.copies(name, slices * _ROUNDS, per_series=slices))
    return [made[i * slices : (i + 1) * slices] for i in range(_ROUNDS)]


def _rate(what: str, asks: Sequence[Sequence[Ask]]) -> Measure:
    return Measure(
        f"{what}, four connections",
        "requests/s",
        lambda peer, round_: requests_per_second(peer, asks[round_]),
        target=1.5,
    )


def _megabytes_per_second(peer: Peer, ask: Ask) -> float:
    with Connection(peer) as connection:
        answers = [connection.get(ask) for _ in range(_REPEATED)]
    return answers[0].length / 1e6 / statistics.median(a.last for a in answers)
