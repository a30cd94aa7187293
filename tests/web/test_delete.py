"""DELETE: off by default, and recoverable."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from pacslab.archive import Archive
from tests.making import instance


def test_it_is_off_by_default(web: httpx.Client, archive: Archive) -> None:
    archive.add(instance(StudyInstanceUID="1.2"))
    answer = web.delete("/dicom-web/studies/1.2")
    assert answer.status_code == 403
    assert "--allow-delete" in answer.json()["detail"]
    assert archive.counts()["instances"] == 1


def test_what_is_deleted_can_be_added_again(
    webs: Callable[..., httpx.Client], archive: Archive
) -> None:
    web = webs(allow_delete=True)
    for e in (1, 2):
        for i in (1, 2):
            archive.add(instance(StudyInstanceUID="1.2", SeriesInstanceUID=f"1.2.{e}",
                                 SOPInstanceUID=f"1.2.{e}.{i}"))  # fmt: skip
    root = "/dicom-web/studies/1.2"
    assert web.delete(f"{root}/series/1.2.1/instances/1.2.1.1").status_code == 204
    assert archive.counts()["instances"] == 3
    assert web.delete(f"{root}/series/1.2.1").status_code == 204
    assert web.delete(f"{root}/series/1.2.1").status_code == 404
    assert web.delete(root).status_code == 204
    assert archive.counts() == {"patients": 0, "studies": 0, "series": 0, "instances": 0}
    kept = list(archive.quarantined())
    assert {(q.code, q.source) for q in kept} == {("deleted", "DELETE from testclient")}
    archive.add_many(q.path.read_bytes() for q in kept)
    assert archive.counts()["instances"] == 4
    assert list(archive.check()) == []
