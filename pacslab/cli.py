"""The same verbs for a shell: ``pacslab serve``, ``pacslab add``, ``pacslab sql`` and so on.

Exit 0: done. 1: done in part, or faults were found, each named on stderr. 2: wrong usage, one line.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Final, NoReturn, get_type_hints

from tqdm.auto import tqdm

from pacslab.archive import Archive, Status
from pacslab.archive.archive import INDEX
from pacslab.archive.inbox import Found, find, in_memory
from pacslab.errors import PacslabError, ServerRunningError, SQLError, UsageError
from pacslab.networking import shell as networking
from pacslab.server.settings import PREFIX, Settings, server_directory, switched

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message} (see '{self.prog} --help')\n")
        raise SystemExit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        options = _parser().parse_args(arguments)
        _fill_from_environment(options)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except SQLError as error:
        # The mistake is pointed at below the line that it stands in.
        sys.stderr.write(f"pacslab: {error}\n")
        return error.exit_code
    except PacslabError as error:
        sys.stderr.write(f"pacslab: {error.message}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("pacslab: interrupted; what was done so far stays\n")
        return 1
    except BrokenPipeError:
        # The reader (head, less) has seen enough; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> _Parser:  # noqa: PLR0915 - a line an option
    parser = _Parser(
        prog="pacslab",
        description="A research PACS that lives in a notebook. Every option can also be set by "
        f"an environment variable: {PREFIX} and its name in capitals.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, run: Callable[..., int], help_: str) -> _Parser:
        made: _Parser = commands.add_parser(name, help=help_, description=help_)
        made.set_defaults(run=run, parser=made)
        return made

    serve = command("serve", _serve, "run the DICOM and DICOMweb servers over an archive")
    serve.add_argument("directory", metavar="DIR", type=server_directory)
    _add_settings(serve)
    serve.add_argument("--owner", type=int, help=argparse.SUPPRESS)

    add = command("add", _add, "index files, folders and zip files into an archive")
    add.add_argument("directory", metavar="DIR", type=server_directory)
    add.add_argument("paths", metavar="PATH", nargs="+")
    add.add_argument("--on-conflict", choices=["keep", "replace", "refuse"],
                     help="same SOP Instance UID, other content (default: keep)")  # fmt: skip

    demo = command("demo", _demo, "put the demo data into an archive")
    demo.add_argument("directory", metavar="DIR", type=server_directory)
    demo.add_argument("--synthetic", type=int, metavar="N", help="and N made-up patients")
    demo.add_argument("--seed", type=int, help="of the made-up patients (default: 7)")

    send = command("send", _send, "C-STORE files and folders to a DICOM node")
    send.add_argument("paths", metavar="PATH", nargs="+")
    send.add_argument("peer", metavar="AET@HOST:PORT")
    echo = command("echo", _echo, "C-ECHO a DICOM node")
    echo.add_argument("peer", metavar="AET@HOST:PORT")
    for one in (send, echo):
        networking.add_connection(one)
    networking.add_commands(command)

    sql = command("sql", _sql, "ask the index in DuckDB SQL")
    sql.add_argument("directory", metavar="DIR", type=server_directory)
    sql.add_argument("statement", metavar="SQL")
    sql.add_argument("--format", choices=["table", "csv", "json", "parquet"],
                     help="of the answer (default: table)")  # fmt: skip
    sql.add_argument("--output", metavar="F", help="file to write to (default: standard output)")

    export = command("export", _export, "write a dataset for others, with manifest and checksums")
    export.add_argument("directory", metavar="DIR", type=server_directory)
    export.add_argument("out", metavar="OUT", type=Path)
    export.add_argument("--format", choices=["bids", "dicom", "nifti", "parquet"],
                        help="of the dataset (default: dicom)")  # fmt: skip
    export.add_argument("--sql", metavar="SQL", help="that chooses it (default: everything)")
    export.add_argument("--licence", help="of the dataset, for its card")
    export.add_argument("--override", metavar="REASON", help="pass a closed gate, on record")

    deid = command("deidentify", _deidentify, "write a de-identified copy as a new archive")
    deid.add_argument("directory", metavar="DIR", type=server_directory)
    deid.add_argument("out", metavar="OUT")
    deid.add_argument("--sql", help="cohort: a query with a column of UIDs (default: all)")
    deid.add_argument("--profile", help="basic, research, public, fake-patient, or a YAML file "
                      "(default: basic)")  # fmt: skip
    deid.add_argument("--forget", action="store_true", default=None,
                      help="throw the key away and keep no crosswalk")  # fmt: skip
    deid.add_argument("--workers", type=int, help="processes (default: one a core)")

    audit = command("audit", _audit, "look for what could still identify someone")
    audit.add_argument("directory", metavar="DIR", type=server_directory)
    audit.add_argument("--against", metavar="SOURCE_DIR", type=Path,
                       help="the archive that DIR was made from")  # fmt: skip
    audit.add_argument("--format", choices=["table", "json", "html"],
                       help="of the answer (default: table)")  # fmt: skip
    audit.add_argument("--output", metavar="F", help="file to write to (default: standard output)")
    audit.add_argument("--workers", type=int, help="processes (default: one a core)")

    check = command("check", _check, "compare every file with the index")
    check.add_argument("directory", metavar="DIR", type=server_directory)
    reindex = command("reindex", _reindex, "make the index anew from the files")
    reindex.add_argument("directory", metavar="DIR", type=server_directory)

    lab = command("lab", _lab, "open JupyterLab on the notebooks")
    lab.add_argument("directory", metavar="DIR", nargs="?", type=server_directory,
                     help="archive that the notebooks use")  # fmt: skip
    return parser


def _add_settings(parser: _Parser) -> None:
    kinds = get_type_hints(Settings)
    for setting in fields(Settings):
        name = "--" + setting.name.replace("_", "-")
        text = setting.metadata["help"]
        if kinds[setting.name] is bool:
            parser.add_argument(name, action="store_true", default=None, help=text)
        else:
            shown = f" (default: {setting.default})" if setting.default != "" else ""
            parser.add_argument(name, type=kinds[setting.name], help=text + shown)


def _fill_from_environment(options: argparse.Namespace) -> None:
    """Options that weren't given, from ``PACSLAB_*``; the server's settings do so themselves."""
    if options.run is _serve:
        return
    for action in options.parser._actions:
        text = os.environ.get(PREFIX + action.dest.upper())
        if action.option_strings and text is not None and getattr(options, action.dest) is None:
            try:
                value = action.type(text) if action.type else text
                if action.nargs == 0:
                    value = switched(action.dest, text)
            except ValueError:
                raise UsageError(f"{PREFIX}{action.dest.upper()} is {text!r}: no number") from None
            if action.choices and value not in action.choices:
                known = ", ".join(action.choices)
                raise UsageError(f"{PREFIX}{action.dest.upper()} is {text!r}: take one of {known}")
            setattr(options, action.dest, value)


def _serve(options: argparse.Namespace) -> int:
    from pacslab.server.process import run

    settings = Settings.from_options(vars(options))
    logging.basicConfig(
        level=_LEVELS[settings.log_level],
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # Our own lines say more than theirs.
    for name in ("pynetdicom", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    run(options.directory, settings, owner=options.owner)
    return 0


def _add(options: argparse.Namespace) -> int:
    with Archive(options.directory, on_conflict=options.on_conflict or "keep") as archive:
        return _add_found(archive, find(options.paths))


def _demo(options: argparse.Namespace) -> int:
    from pacslab.demo import real
    from pacslab.demo.synthetic import synthesize

    with Archive(options.directory) as archive:
        code = _add_found(archive, find(real.fetch()))
        if options.synthetic:
            made = synthesize(patients=options.synthetic, seed=options.seed or 7)
            code = max(code, _add_found(archive, in_memory(made, "synthetic")))
        for one in real.collections():
            sys.stderr.write(f"{one.title}: {one.origin}, {one.licence}\n")
    return code


def _add_found(archive: Archive, found: Iterable[Found]) -> int:
    counts = dict.fromkeys(Status, 0)
    for one, receipt in archive.add_found(tqdm(found, desc="adding", unit="file")):
        counts[receipt.status] += 1
        if receipt.status is Status.REFUSED:
            tqdm.write(f"refused {one.name}: {receipt.reason}", file=sys.stderr)
    print(", ".join(f"{number} {status}" for status, number in counts.items()))
    return 1 if counts[Status.REFUSED] else 0


def _send(options: argparse.Namespace) -> int:
    from pacslab.network import client

    node = networking.node(options)
    paths = [Path(p) for p in options.paths]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} doesn't exist")
    results = client.send(paths, node.host, node.port, **node.options)
    failed = [r for r in results if not r.ok]
    for result in failed:
        sys.stderr.write(f"failed {result.path}: {result.status} {result.comment}\n")
    print(f"{len(results) - len(failed)} sent, {len(failed)} failed")
    return 1 if failed else 0


def _echo(options: argparse.Namespace) -> int:
    from pacslab.network import client

    node = networking.node(options)
    client.echo(node.host, node.port, **node.options)
    print(f"{options.peer} answers")
    return 0


def _sql(options: argparse.Namespace) -> int:
    from pacslab.cohort.mirror import Mirror
    from pacslab.cohort.output import write
    from pacslab.cohort.sql import query

    with _existing(options.directory) as archive:
        frame = query(Mirror(archive), options.statement)
    write(frame, options.format or "table", Path(options.output) if options.output else None)
    return 0


def _export(options: argparse.Namespace) -> int:
    from pacslab.cohort.exports.export import export
    from pacslab.cohort.exports.job import STATUSES
    from pacslab.cohort.mirror import Mirror
    from pacslab.cohort.sql import query

    with _existing(options.directory) as archive:
        mirror = Mirror(archive)
        chosen = query(mirror, options.sql) if options.sql else None
        rows = export(archive, mirror, chosen, options.out, format=options.format or "dicom",
                      licence=options.licence or "", sql=options.sql,
                      override=options.override)  # fmt: skip
    failed = rows[rows["Status"] == "failed"]
    for path, reason in failed[["path", "Reason"]].drop_duplicates().itertuples(index=False):
        sys.stderr.write(f"failed {path}: {reason}\n")
    told = ", ".join(f"{(rows['Status'] == s).sum()} {s}" for s in STATUSES)
    print(told)
    return 1 if len(failed) else 0


def _deidentify(options: argparse.Namespace) -> int:
    from pacslab.cohort.mirror import Mirror
    from pacslab.cohort.selection import instances_of
    from pacslab.cohort.sql import query
    from pacslab.deid.job import Job

    counts = dict.fromkeys(map(str, Status), 0)
    forget = str(options.forget).lower() in {"1", "true", "yes", "on"}
    with _existing(options.directory) as archive:
        job = Job(archive, options.out, options.profile or "basic",
                  forget=forget, workers=options.workers)  # fmt: skip
        cohort = query(Mirror(archive), options.sql) if options.sql else None
        chosen = list(instances_of(archive, cohort))
        bar = tqdm(job.run(chosen), desc="de-identifying", unit="file", total=len(chosen))
        for result in bar:
            counts[result.status] += 1
            if result.status == Status.REFUSED:
                tqdm.write(f"refused {result.original}: {result.reason}", file=sys.stderr)
            for doubt in result.doubts:
                tqdm.write(f"look at {result.sop_instance_uid}: {doubt}", file=sys.stderr)
    print(", ".join(f"{number} {status}" for status, number in counts.items()))
    return 1 if counts[Status.REFUSED] else 0


def _audit(options: argparse.Namespace) -> int:
    from pacslab.cohort.audits import audit

    with ExitStack() as stack:
        archive = stack.enter_context(_existing(options.directory))
        source = stack.enter_context(_existing(options.against)) if options.against else None
        done = audit(archive, against=source, workers=options.workers)
        failed = done.checks[done.checks["result"] == "no"]
        if options.format == "html":
            text = done.html()
        elif options.format == "json":
            text = done.findings.to_json(orient="records", indent=1) + "\n"
        else:
            shown = done.summary
            text = "no findings\n" if shown.empty else shown.to_string(index=False) + "\n"
        number = len(done.open)
    if options.output:
        Path(options.output).write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
    for name, detail in failed[["check", "detail"]].itertuples(index=False):
        sys.stderr.write(f"not so: {name}: {detail}\n")
    sys.stderr.write(f"{number} open findings\n")
    return 1 if number or len(failed) else 0


def _check(options: argparse.Namespace) -> int:
    found = 0
    with _existing(options.directory) as archive:
        for fault in archive.check(lambda paths: tqdm(paths, desc="checking", unit="file")):
            found += 1
            tqdm.write(f"{fault.kind} {fault.where}: {fault.remedy}", file=sys.stderr)
        number = archive.counts()["instances"]
    print(f"{number} instances checked, {found} faults")
    return 1 if found else 0


def _reindex(options: argparse.Namespace) -> int:
    from pacslab.server import record

    if not (options.directory / "files").is_dir():
        raise UsageError(f"there is no archive at {options.directory}")
    try:
        with record.sole(options.directory), Archive.recover(options.directory) as archive:
            faults = archive.reindex(lambda paths: tqdm(paths, desc="indexing", unit="file"))
            number = archive.counts()["instances"]
    except ServerRunningError as error:
        raise ServerRunningError(f"{error.message}, then reindex") from None
    for fault in faults:
        sys.stderr.write(f"{fault.kind} {fault.where}: {fault.remedy}\n")
    print(f"{number} instances indexed, {len(faults)} left out")
    return 1 if faults else 0


def _lab(options: argparse.Namespace) -> int:
    from pacslab.notebook.launch import launch

    return launch(options.directory)


def _existing(directory: Path) -> Archive:
    if not (directory / INDEX).exists():
        hint = f": run 'pacslab reindex {directory}'" if (directory / "files").is_dir() else ""
        raise UsageError(f"there is no archive at {directory}{hint}")
    return Archive(directory)
