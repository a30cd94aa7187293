"""De-identification on receive: before disk, index, log and file name, or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from pacslab.archive import Arrival
from pacslab.deid import log
from pacslab.deid.crosswalk import Crosswalk, folder
from pacslab.deid.engine import Engine
from pacslab.deid.keys import Keys
from pacslab.deid.pixelstep import CleanPixels
from pacslab.deid.profiles import Profile
from pacslab.dicom.instance import Buffer, Instance, read
from pacslab.errors import DeidentificationError, UsageError


class Receiver:
    """De-identifies what an archive receives, with the archive's key and crosswalk.

    Whatever goes wrong refuses the instance, whose bytes are kept encrypted. Raises UsageError for
    a profile that can't be meant or a key that isn't the crosswalk's.
    """

    def __init__(
        self,
        directory: Path,
        profile: Profile | str,
        *,
        clean_pixels: CleanPixels | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        home = folder(directory)
        self._keys = Keys.of(home)
        self._crosswalk = Crosswalk(home, self._keys)
        self._engine = Engine(
            profile, self._keys, resolve=self._crosswalk.resolve, clean_pixels=clean_pixels
        )
        self._fernet = Fernet(self._keys.encryption())
        self._log = home / "actions-received.jsonl.zst"
        self._lock = threading.Lock()

    def arrival(self) -> Arrival:
        """What an archive has to be opened with."""
        return Arrival(change=self.change, seal=self.seal)

    def change(self, instance: Instance) -> Instance:
        """The instance that is stored instead. Raises DeidentificationError, whatever happens."""
        try:
            data = instance.prefix + bytes(memoryview(instance.data)[instance.offset :])
            with self._lock:  # cleaners and pydicom's warnings are shared
                outcome = self._engine.deidentify(data)
            made = read(outcome.data)
            self._crosswalk.note_study(outcome.patient, outcome.study_instance_uid)
            told = log.record(outcome.sop_instance_uid, outcome.kept, outcome.actions)
            log.append(self._log, [told])
        except DeidentificationError:
            raise
        except Exception as error:  # its text may quote the patient
            raise DeidentificationError(
                f"it can't be de-identified ({type(error).__name__}): see that the directory of "
                "the crosswalk can be written to, and look at it where it comes from"
            ) from None
        return made

    def seal(self, data: Buffer) -> tuple[str, bytes]:
        """A name that says nothing, and the bytes encrypted."""
        plain = bytes(memoryview(data))
        return f"{self._keys.mark(plain)}-refused", self._fernet.encrypt(plain)


def unseal(path: Path, keys: Keys) -> bytes:
    """The bytes of a file that was refused and sealed. Raises UsageError with another key."""
    try:
        return Fernet(keys.encryption()).decrypt(path.read_bytes())
    except InvalidToken:
        raise UsageError(f"{path} was sealed with another key, or altered") from None
