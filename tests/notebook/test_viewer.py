"""The viewer in a cell: where it leads, and what is saved of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pacslab import Lab
from pacslab.errors import NotFoundError, ServerError, UsageError
from pacslab.notebook.viewer import address


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("view")) as made:
        made.synthesize(patients=6, progress=False)
        yield made


def test_without_a_server_it_is_said(lab: Lab) -> None:
    with pytest.raises(ServerError, match=r"lab\.serve"):
        lab.view(lab.search("SERIES", limit=1))


def test_a_cell_saves_pictures_and_no_token(lab: Lab) -> None:
    lab.serve(http_port=0, dicom_port=0)
    try:
        row = lab.sql("SELECT * FROM series WHERE Modality = 'CT' ORDER BY 1 LIMIT 1").iloc[0]
        token = lab.server.token
        for what in (row, row.to_frame().T, row["SeriesInstanceUID"], row["StudyInstanceUID"]):
            shown = lab.view(what)
            assert f"{lab.server.viewer}?study={row['StudyInstanceUID']}" in shown.value
            assert "#token=look." in shown.value
            assert token not in shown.value
            saved = shown._repr_mimebundle_()
            assert "data:image/jpeg" in saved["text/html"]
            assert "token" not in str(saved)
        with pytest.raises(NotFoundError):
            lab.view("1.2.3")
        with pytest.raises(UsageError):
            lab.view(lab.sql("SELECT SeriesInstanceUID FROM series WHERE Modality = 'none'"))
    finally:
        lab.stop()


def test_on_a_hub_it_goes_by_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/jane/")
    found = address("http://127.0.0.1:8042/viewer/", "secret", "1.2", "1.2.3")
    assert found.startswith("/user/jane/proxy/8042/viewer/?study=1.2&series=1.2.3#token=look.")
