"""The dashboard: filters, what they leave, and what can be done with it, as widgets of a cell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

import ipywidgets as widgets
import pandas as pd

from pacslab.archive import Archive
from pacslab.cohort.filters import Facets, Filters, Statement, statement
from pacslab.cohort.mirror import Mirror
from pacslab.dicom.keywords import Level
from pacslab.errors import PacslabError, ServerError
from pacslab.notebook import panels
from pacslab.notebook.grid import Grid
from pacslab.notebook.plots import bars

_ROWS: Final = 15
_SECONDS: Final = 1.0  # between two looks for what is new
_CHOICES: Final = {
    "modalities": "Modality",
    "sexes": "Sex",
    "manufacturers": "Manufacturer",
    "body_parts": "Body part",
}
_LEVELS: Final = {"Studies": Level.STUDY, "Series": Level.SERIES, "Instances": Level.IMAGE}
_COUNTED: Final = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}
_AGES: Final = (0, 120)
_WIDE: Final = widgets.Layout(width="calc(100% - 4px)")


class Laboratory(Protocol):
    """What a dashboard needs of a Lab."""

    archive: Archive

    @property
    def server(self) -> Any:
        """Where the server answers."""

    def save_cohort(self, name: str, what: Any, *, note: str = "", **parameters: Any) -> Any:
        """Freeze a cohort."""

    def export(self, cohort: Any, out: str, *, format: str = "dicom", progress: bool = True) -> Any:
        """Write it as a dataset."""

    def sql(self, statement: str, *, frames: Any = None, **parameters: Any) -> pd.DataFrame:
        """Ask."""

    def view(self, what: Any) -> Any:
        """The viewer."""

    def thumbnails(self, cohort: Any = None, *, size: int = 128, limit: int = 60) -> Any:
        """Its pictures."""


@dataclass(frozen=True, slots=True)
class _Controls:
    """The widgets that one filters by."""

    choices: dict[str, widgets.SelectMultiple]
    since: widgets.DatePicker
    until: widgets.DatePicker
    ages: widgets.IntRangeSlider
    description: widgets.Text
    text: widgets.Text
    attribute: widgets.Text
    value: widgets.Text

    @classmethod
    def make(cls) -> _Controls:
        """Nothing chosen."""
        return cls(
            {n: widgets.SelectMultiple(rows=4, layout=_WIDE) for n in _CHOICES},
            widgets.DatePicker(layout=_WIDE),
            widgets.DatePicker(layout=_WIDE),
            widgets.IntRangeSlider(value=_AGES, min=_AGES[0], max=_AGES[1], continuous_update=False,
                                   layout=_WIDE),
            _words("words of a description"),
            _words("ID, name, description, UID"),
            _words("ProtocolName"),
            _words("*any* part of its value"),
        )  # fmt: skip

    def all(self) -> Iterator[Any]:
        """Every one of them."""
        yield from self.choices.values()
        yield from (self.since, self.until, self.ages)
        yield from (self.description, self.text, self.attribute, self.value)

    def filters(self) -> Filters:
        """What is chosen."""
        young, old = self.ages.value
        return Filters(
            **{name: tuple(widget.value) for name, widget in self.choices.items()},
            since=self.since.value,
            until=self.until.value,
            youngest=young if young > _AGES[0] else None,
            oldest=old if old < _AGES[1] else None,
            description=self.description.value,
            text=self.text.value,
            attribute=self.attribute.value.strip(),
            value=self.value.value,
        )

    def clear(self) -> None:
        """Choose nothing."""
        for widget in self.choices.values():
            widget.value = ()
        self.since.value = self.until.value = None
        self.ages.value = _AGES
        for text in (self.description, self.text, self.attribute, self.value):
            text.value = ""


class Dashboard(widgets.VBox):  # type: ignore[misc]
    """Filters, numbers, plots, a table by pages, the chosen picture, and the server's state.

    Everything follows the filters, and instances that arrive appear within two seconds.
    ``filters`` and ``statement`` are what is chosen now, and the SQL that it amounts to.
    """

    def __init__(self, lab: Laboratory, mirror: Mirror) -> None:
        self._lab = lab
        self._mirror = mirror
        self._watching: asyncio.Task[None] | None = None
        self._page = 0
        self._seen = -1  # revision of the index
        self._quiet = False
        self.controls = _Controls.make()
        self.message = widgets.HTML()
        self.numbers = widgets.HTML()
        self.plots = widgets.HTML()
        self.level = widgets.ToggleButtons(options=list(_LEVELS), value="Series")
        self.grid = Grid()
        self.where = widgets.Label()
        self.picture = widgets.HTML()
        self.code = widgets.Textarea(rows=10, layout=_WIDE, disabled=True)
        self.server = widgets.HTML()
        self.name = widgets.Text(placeholder="name of the cohort")
        self.folder = widgets.Text(placeholder="folder of the export")
        self.format = widgets.Dropdown(options=["dicom", "nifti", "bids", "parquet"])
        super().__init__(self._arranged(), layout=widgets.Layout(width="100%"))
        self.add_class("pacslab-dashboard")
        for widget in (*self.controls.all(), self.level):
            widget.observe(self._changed, "value")
        self.grid.on_select(self._show)
        self.refresh()
        self._watching = _in_background(self._watch)

    @property
    def filters(self) -> Filters:
        """What is chosen now."""
        return self.controls.filters()

    @property
    def statement(self) -> Statement:
        """What that amounts to in SQL, at the level of the table."""
        return statement(self.filters, _LEVELS[self.level.value])

    def refresh(self) -> None:
        """Ask everything anew."""
        with self._telling():
            self._seen = self._lab.archive.revision()
            facets = Facets(self._mirror, self.filters)
            counts = facets.counts()
            self.numbers.value = panels.numbers(counts)
            self._offer(facets)
            self.plots.value = panels.row(
                bars(facets.by_modality(), "Modality", "series", title="Series by modality"),
                bars(facets.by_year(), "year", "studies", title="Studies by year"),
                bars(facets.by_age(), "age", "studies", title="Studies by age"),
            )
            self.code.value = self.statement.cell()
            self._turn(facets, counts)
            self.server.value = self._server()

    def reset(self) -> None:
        """Choose nothing."""
        with self._silent():
            self.controls.clear()
        self._page = 0
        self.refresh()

    def close(self) -> None:
        """Take it off the page, and look for nothing new any more."""
        if self._watching is not None:
            self._watching.cancel()
        super().close()

    # --- inside -----------------------------------------------------------------------------

    def _arranged(self) -> list[Any]:
        c = self.controls
        reset = _button("Reset", self.reset)
        filters = [
            *(widgets.VBox([panels.label(title), c.choices[n]]) for n, title in _CHOICES.items()),
            panels.label("Study date, from and to"), c.since, c.until,
            panels.label("Age in years"), c.ages,
            panels.label("Description"), c.description,
            panels.label("Free text"), c.text,
            panels.label("Any attribute, and its value"), c.attribute, c.value,
            reset,
        ]  # fmt: skip
        back, forth = _button("◀", lambda: self._step(-1)), _button("▶", lambda: self._step(1))
        table = widgets.VBox([
            widgets.HBox([self.level, back, forth, self.where]), self.grid.widget, self.picture,
        ])  # fmt: skip
        doing = widgets.VBox(
            [
                widgets.HBox([self.name, _button("Save cohort", self._save)]),
                widgets.HBox([self.format, self.folder, _button("Export", self._export)]),
            ]
        )
        more = widgets.Accordion([self.code, doing, self.server])
        for number, title in enumerate(("SQL", "Cohort and export", "Server and archive")):
            more.set_title(number, title)
        side = widgets.VBox(
            filters, layout=widgets.Layout(width="250px", flex="0 0 250px", overflow="hidden")
        )
        main = widgets.VBox(
            [self.numbers, self.message, self.plots, table, more],
            layout=widgets.Layout(flex="1 1 auto", min_width="0", padding="0 0 0 12px"),
        )
        return [panels.style(), widgets.HBox([side, main], layout=_WIDE)]

    def _offer(self, facets: Facets) -> None:
        """The values to choose from, with their numbers; what is chosen stays chosen."""
        with self._silent():
            for name, widget in self.controls.choices.items():
                chosen = tuple(widget.value)
                found = facets.choices(name)
                gone = [(value, 0) for value in chosen if value not in dict(found)]
                widget.options = [(f"{v}  ({n:,})", v) for v, n in [*found, *gone]]
                widget.value = chosen

    def _turn(self, facets: Facets, counts: dict[str, int]) -> None:
        level = _LEVELS[self.level.value]
        number = counts[_COUNTED[level]]
        self._page = max(0, min(self._page, (number - 1) // _ROWS))
        self.grid.show(facets.page(level, self._page, _ROWS))
        first = self._page * _ROWS
        last = min(number, first + _ROWS)
        self.where.value = f"{min(first + 1, number):,} to {last:,} of {number:,}"

    def _step(self, pages: int) -> None:
        self._page += pages
        with self._telling():
            facets = Facets(self._mirror, self.filters)
            self._turn(facets, facets.counts())

    def _changed(self, _: Any) -> None:
        if not self._quiet:
            self._page = 0
            self.refresh()

    def _show(self, row: pd.Series[Any]) -> None:
        uid = next(
            n for n in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID") if n in row
        )
        chosen = pd.DataFrame({uid: [row[uid]]})
        with self._telling():
            try:
                self.picture.value = self._lab.view(chosen).value
            except ServerError:  # none runs: pictures need none
                self.picture.value = self._lab.thumbnails(chosen, size=160, limit=12)._repr_html_()

    def _chosen(self) -> pd.DataFrame:
        asked = statement(self.filters, Level.SERIES)
        return self._lab.sql(asked.text, frames={}, **asked.parameters)[["SeriesInstanceUID"]]

    def _save(self) -> None:
        with self._telling():
            asked = statement(self.filters, Level.SERIES)
            saved = self._lab.save_cohort(
                self.name.value, asked.text, note="from the dashboard", **asked.parameters
            )
            self.message.value = panels.said(f"saved: {saved.name}, version {saved.version}")

    def _export(self) -> None:
        with self._telling():
            if not self.folder.value.strip():
                self.message.value = panels.said("name a folder for the export", wrong=True)
                return
            written = self._lab.export(
                self._chosen(), self.folder.value, format=self.format.value, progress=False
            )
            self.message.value = panels.said(
                f"{len(written):,} rows of {self.format.value} in {Path(self.folder.value)}"
            )

    async def _watch(self) -> None:
        for second in count(1):
            await asyncio.sleep(_SECONDS)
            with suppress(Exception):  # tomorrow is another second
                if self._lab.archive.revision() != self._seen:
                    self.refresh()
                elif second % 5 == 0:
                    self.server.value = self._server()

    def _server(self) -> str:
        try:
            running = self._lab.server
        except ServerError as error:
            return panels.server(self._lab.archive, error.message)
        where = f"{running.ae_title}@{running.dicom}, {running.dicomweb}"
        return panels.server(self._lab.archive, where)

    @contextmanager
    def _silent(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What goes wrong is said in the dashboard."""
        self.message.value = ""
        try:
            yield
        except PacslabError as error:
            self.message.value = panels.said(error.message, wrong=True)


def _words(placeholder: str) -> widgets.Text:
    return widgets.Text(placeholder=placeholder, continuous_update=False, layout=_WIDE)


def _button(text: str, do: Callable[[], None]) -> widgets.Button:
    made = widgets.Button(description=text, layout=widgets.Layout(width="auto"))
    made.on_click(lambda _: do())
    return made


def _in_background(what: Callable[[], Any]) -> asyncio.Task[None] | None:
    """A task of the kernel's own loop; None where there is none, as in a script."""
    try:
        return asyncio.get_running_loop().create_task(what())
    except RuntimeError:
        return None
