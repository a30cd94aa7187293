"""Whose server it is: the processes it serves, after the last of which it ends."""

from __future__ import annotations

import threading

import psutil
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel


class Owners:
    """The processes (kernels) that asked for the server; none at all means it stays for good.

    A process is known by its id and its start, so that a reused id isn't taken for it.
    """

    def __init__(self) -> None:
        self._alive: dict[int, float] = {}
        self._lock = threading.Lock()
        self._bound = False
        self._closed = False

    def adopt(self, pid: int) -> bool:
        """Serve this process too; False when it is too late, or there is no such process."""
        with self._lock:
            if self._closed:
                return False
            try:
                self._alive[pid] = psutil.Process(pid).create_time()
            except psutil.Error:
                return False
            self._bound = True
            return True

    def stay(self) -> None:
        """Stay after the last owner has gone."""
        with self._lock:
            self._bound = False
            self._alive.clear()

    def all_gone(self) -> bool:
        """Whether there were owners and the last of them has ended; final once it is True."""
        with self._lock:
            self._alive = {p: t for p, t in self._alive.items() if _lives(p, t)}
            self._closed = self._closed or (self._bound and not self._alive)
            return self._closed

    def close(self) -> None:
        """Take no one in any more: the server is stopping."""
        with self._lock:
            self._closed = True


class _Owner(BaseModel):
    pid: int | None


def router(owners: Owners) -> APIRouter:
    """``POST /server/owners {"pid": N}`` adopts a process; ``null`` lets the server stay."""
    routes = APIRouter()

    @routes.post("/server/owners")
    def adopt(owner: _Owner) -> JSONResponse:
        if owner.pid is None:
            owners.stay()
            return JSONResponse({"adopted": None})
        adopted = owners.adopt(owner.pid)
        return JSONResponse({"adopted": owner.pid if adopted else None}, 200 if adopted else 409)

    return routes


def _lives(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
