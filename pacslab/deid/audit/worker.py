"""A process that audits files; ``job`` starts several and tells them over a pipe.

What it is told holds originals, so that nothing of it stands on a command line or in a file.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import warnings
from typing import Any

from pacslab.deid.audit.auditor import Auditor, harvested, load
from pacslab.deid.audit.finding import Finding, Kind, Severity
from pacslab.deid.audit.originals import Original


class Worker:
    """Harvests sources, then audits outputs."""

    def __init__(self) -> None:
        self._auditor = Auditor()

    def do(self, told: dict[str, Any]) -> dict[str, Any]:
        """One task: ``harvest`` paths, ``know`` the originals, ``audit`` pairs, ``end``."""
        if "harvest" in told:
            return {"harvest": [self._harvest(path) for path in told["harvest"]]}
        if "know" in told:
            everybody = {
                person: [Original(Kind(kind), text, own) for kind, text, own in values]
                for person, values in told["know"].items()
            }
            self._auditor = Auditor(everybody)
            return {}
        if "audit" in told:
            return {"audit": [self._audit(*pair) for pair in told["audit"]]}
        if "file" in told:
            return {"file": sorted(self._auditor.in_file(load(told["file"])))}
        held = self._auditor.comparison
        return {
            "did": [[*key, number] for key, number in held.did.items()],
            "shifts": {subject: sorted(days) for subject, days in held.shifts.items()},
            "uids": held.uids,
            "pixels": dict(held.pixels),
        }

    def _harvest(self, path: str) -> list[Any]:
        try:
            person, uid, found = harvested(load(path))
        except Exception:  # told by the audit: an instance without its source
            return ["", "", []]
        return [person, uid, [list(one) for one in found]]

    def _audit(self, path: str, source: str | None, person: str | None) -> list[Any]:
        try:
            data = load(path)
            before = load(source) if source else None
            found = self._auditor.audit(data, person=person, source=before)
        except Exception as error:  # its text may quote a value
            found = (Finding("file", Kind.UNREADABLE, Severity.HIGH, type(error).__name__),)
        return [[f.path, str(f.kind), str(f.severity), f.detail, f.check] for f in found]


def main() -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides when it is over
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.do(json.loads(line))
        except Exception as error:
            answer = {"error": f"a worker failed ({type(error).__name__})"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
