"""The archive: files that are the truth, an index that is a fast way to them, and one way in."""

from pacslab.archive.archive import Archive, Stored
from pacslab.archive.receipts import Arrival, OnConflict, Receipt, Status

__all__ = ["Archive", "Arrival", "OnConflict", "Receipt", "Status", "Stored"]
