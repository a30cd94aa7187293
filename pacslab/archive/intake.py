"""The only write path: files first, then one transaction, then the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pacslab.archive.commits import Commits, Delivery, is_same
from pacslab.archive.engine import Database
from pacslab.archive.files import Files, Staged, no_room
from pacslab.archive.index import known as known_in
from pacslab.archive.receipts import Arrival, OnConflict, Receipt, Status
from pacslab.dicom.instance import Buffer, Instance, read
from pacslab.errors import DeidentificationError, MismatchError, PacslabError, RefusedError


class Intake:
    """What turns bytes into stored instances; every door of the archive leads here."""

    def __init__(
        self,
        files: Files,
        database: Database,
        on_conflict: OnConflict,
        on_receive: Callable[[Instance], Instance] | Arrival | None,
    ) -> None:
        self._files = files
        self._database = database
        self._arrival = on_receive if isinstance(on_receive, Arrival) else None
        self._on_receive = on_receive.change if isinstance(on_receive, Arrival) else on_receive
        self._commits = Commits(files, database, on_conflict)

    def close(self) -> None:
        """Let its threads go."""
        self._commits.close()

    @property
    def confidential(self) -> bool:
        """Whether what arrives must not be written anywhere as it arrives."""
        return self._arrival is not None

    def read(
        self,
        data: Buffer,
        source: str,
        announced: tuple[str, str] | None = None,
        study: str | None = None,
    ) -> Instance | Receipt:
        """The instance in these bytes, as it may be stored; a receipt when it is refused."""
        try:
            instance = read(data, announced=announced)
            if study is not None and instance.study_instance_uid != study:
                raise MismatchError(
                    f"sent to study {study}, but it says {instance.study_instance_uid}: send it "
                    "to the study that stands in it, or to none"
                )
            return self._on_receive(instance) if self._on_receive else instance
        except RefusedError as error:
            if self._arrival is not None:
                return self._refuse_sealed(data, error, source, self._arrival)
            self._files.refuse(data, reason=error.message, code=error.code, source=source)
            return Receipt(Status.REFUSED, error=error)

    def _refuse_sealed(
        self, data: Buffer, error: RefusedError, source: str, arrival: Arrival
    ) -> Receipt:
        """Refuse what must not be kept in clear; a reason that may quote it is told by its kind."""
        if not isinstance(error, DeidentificationError):
            error = type(error)(
                f"it can't be stored as it arrived ({error.code}): look at it where it comes from"
            )
        name, sealed = arrival.seal(data)
        self._files.refuse(
            sealed, reason=error.message, code=error.code, source=source, name=f"{name}.sealed"
        )
        return Receipt(Status.REFUSED, error=error)

    def store(self, items: Iterable[Instance | Receipt], *, source: str) -> list[Receipt]:
        """Store instances that were read already (receipts among them pass through)."""
        receipts = list(items)
        read = {i: x for i, x in enumerate(receipts) if isinstance(x, Instance)}
        staged: dict[int, Staged] = {}
        delivery = Delivery({}, staged, source)
        answers = delivery.receipts
        try:
            with self._database.glancing() as connection:
                known = known_in(connection, (x.sop_instance_uid for x in read.values()))
            for i, instance in read.items():
                if is_same(instance, known.get(instance.sop_instance_uid)):
                    receipts[i] = Receipt.of(Status.PRESENT, instance)
                else:
                    delivery.arrivals[i] = instance
                    staged[i] = self._files.stage(instance)
            for file in staged.values():
                file.settle()
            if delivery.arrivals:
                self._commits.commit(delivery)
        except (OSError, PacslabError) as error:
            failure = no_room(error, self._files.root) if isinstance(error, OSError) else error
            answers = {i: Receipt.of(Status.REFUSED, x, failure) for i, x in read.items()}
        finally:
            for file in staged.values():
                file.discard()
        return [answers[i] if isinstance(x, Instance) else x for i, x in enumerate(receipts)]
