"""The strict runner of the pipeline's notebooks: one notebook, its selectors, and a whole result or a clear error.

`python -m lib.notebook 05_train --catalogue demo` executes `notebooks/05_train.ipynb` through Papermill and writes
`build/demo/notebooks/05_train.ipynb`.
"""

import argparse
import re
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Never, TypeAlias

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from lib.config import build_dir, load_catalogue, load_params, root
from lib.exceptions import StudyError, nearest
from lib.files import check_writable, remove, whole
from lib.processes import end_with_dvc, measured

SELECTORS = ("catalogue", "other")
CELL_SECONDS = 12 * 60 * 60  # `train` of a large catalogue is one cell
START_SECONDS = 10 * 60  # a busy machine may take long to start a process
STOP_SECONDS = 30  # in which a stopped run has cleaned up
TRACEBACK_LINES = 12
ENDED = "SystemExit"
"""How a notebook ends by itself (`lib.report.kit.end`); what IPython makes of that names paths of this machine."""

ANSI_CODES = re.compile(r"\x1b\[[0-9;]*m")
Failure: TypeAlias = PapermillExecutionError | CellTimeoutError | RuntimeError


def run(name: str, selectors: Mapping[str, str], cell_seconds: int = CELL_SECONDS) -> Path:
    """Execute one notebook, and return where its executed copy is.

    Parameters
    ----------
    name
        The notebook's file name without its ending, for example `05_train`.
    selectors
        A value for each parameter that the notebook declares: `catalogue`, and for some `other`.
    cell_seconds
        The longest that one cell may take, in seconds.

    Raises
    ------
    StudyError
        If a name is unknown, if the notebook and the selectors do not fit, or if a cell fails. In the last
        case the notebook, with its outputs up to there, is kept in `build/CATALOGUE/failed/`.
    """
    notebook = _read(name)
    _check(name, notebook, selectors)
    catalogue = selectors["catalogue"]
    file_name = "_".join([name, *(value for key, value in selectors.items() if key != "catalogue")]) + ".ipynb"
    target, failed = build_dir(catalogue, "notebooks", file_name), build_dir(catalogue, "failed", file_name)
    check_writable(target.parent)
    remove(failed)
    with tempfile.TemporaryDirectory(prefix="study-") as scratch:
        executed = Path(scratch, "executed.ipynb")
        try:
            _execute(notebook, executed, selectors, cell_seconds)
        except (PapermillExecutionError, CellTimeoutError, RuntimeError) as error:
            stopped = nbformat.read(executed, as_version=4)
            message = f"{name}.ipynb failed in {_last_cell(stopped)}: {_reason(error, cell_seconds)}"
            try:
                _write(stopped, failed)
            except StudyError as unwritable:
                raise StudyError(f"{message}\nThe failed notebook is not kept: {unwritable}") from error
            raise StudyError(f"{message}\nThe failed notebook is {failed.relative_to(root())}.") from error
        _write(nbformat.read(executed, as_version=4), target)
    return target


def _read(name: str) -> NotebookNode:
    folder = root() / "notebooks"
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    if name not in names:
        raise StudyError(f"There is no notebook '{name}' in {folder}. Known: {names}.{nearest(name, names)}")
    notebook: NotebookNode = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    return notebook


def _check(name: str, notebook: NotebookNode, selectors: Mapping[str, str]) -> None:
    """Refuse selectors that do not match the notebook's parameters one to one, and values that nothing defines."""
    declared = list(papermill.inspect_notebook(notebook))
    for key in selectors:
        if key not in declared:
            raise StudyError(f"{name}.ipynb has no parameter '{key}'. It has {declared}.{nearest(key, declared)}")
    if missing := [f"--{key}" for key in declared if key not in selectors]:
        raise StudyError(f"{name}.ipynb has parameters without a value: add {', '.join(missing)}.")
    load_catalogue(selectors["catalogue"])
    params = load_params()
    known = {
        "catalogue": ("study and others", list({**params.study, **params.others})),
        "other": ("others", list(params.others)),
    }
    for key, value in selectors.items():
        section, names = known[key]
        if value not in names:
            hint = nearest(value, names)
            raise StudyError(f"params.yaml: {section} does not list '{value}'. It lists {names}.{hint}")


def _execute(notebook: NotebookNode, target: Path, selectors: Mapping[str, str], cell_seconds: int) -> None:
    papermill.execute_notebook(
        notebook,
        target,
        parameters=dict(selectors),
        kernel_name="python3",
        kernel_manager_class=_kernel_manager(target.parent),
        cwd=root(),
        start_timeout=START_SECONDS,
        execution_timeout=cell_seconds,
        progress_bar=False,  # the cells have bars of their own, with an estimate
        stdout_file=sys.stdout,
        stderr_file=sys.stderr,
        coalesce_streams=True,
        record_timing=False,
    )


def _kernel_manager(scratch: Path) -> type[AsyncKernelManager]:
    """Make a manager whose kernel is this Python, whatever kernels and startup files the user has installed.

    It talks through sockets in `scratch`: no port is open to others, and runs at the same time do not compete for one.
    """
    environment = {
        "IPYTHONDIR": str(scratch),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTHONSTARTUP": "",
    }
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"]
    spec = KernelSpec(argv=command, env=environment, display_name="Python 3", language="python")

    class ThisPython(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(transport="ipc", connection_file=str(scratch / "kernel.json"), **options)

        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

    return ThisPython


def _write(notebook: NotebookNode, path: Path) -> None:
    """Write an executed notebook without what differs from run to run and from machine to machine."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        if any(output.get("ename") == ENDED for output in cell.get("outputs", [])):
            cell.outputs = [output for output in cell.outputs if output.output_type == "display_data"]
        cell.metadata.pop("papermill", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
    with whole(path) as partial:
        nbformat.write(notebook, partial)


def _last_cell(notebook: NotebookNode) -> str:
    """Name the last cell that was begun by its number in the executed notebook and its first line."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    begun = [index for index, cell in enumerate(code) if cell.metadata.get("papermill", {}).get("start_time")]
    if not begun:
        return "no cell (its kernel did not start)"
    return f"cell [{begun[-1] + 1}] `{code[begun[-1]].source.strip().splitlines()[0]}`"


def _reason(error: Failure, cell_seconds: int) -> str:
    if isinstance(error, CellTimeoutError):
        return f"it took longer than {cell_seconds} seconds. --cell-seconds sets the limit."
    if isinstance(error, DeadKernelError):
        return "its process ended. The usual cause is that the memory ran out."
    if isinstance(error, RuntimeError):
        return str(error)
    if error.ename == StudyError.__name__:
        return str(error.evalue)
    lines = ANSI_CODES.sub("", "\n".join(error.traceback)).splitlines()
    return "\n".join([f"{error.ename}: {error.evalue}", *lines[-TRACEBACK_LINES:]])


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lib.notebook", description="Execute one notebook of the study.")
    parser.add_argument("notebook", help="its file name without the ending, for example 05_train")
    parser.add_argument("--catalogue", required=True, help="a catalogue that params.yaml lists under study")
    parser.add_argument("--other", help="a second shop of params.yaml, where the notebook has this parameter")
    limit = "the longest that one cell may take, in seconds (default: %(default)s)"
    parser.add_argument("--cell-seconds", type=int, default=CELL_SECONDS, help=limit)
    return parser.parse_args(argv)


def _stop(number: int, frame: FrameType | None) -> Never:
    """End what runs. An exception that is raised in a callback may be lost on its way; then it is raised once more."""
    signal.alarm(STOP_SECONDS)
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    arguments = _arguments(argv)
    selectors = {key: value for key in SELECTORS if (value := getattr(arguments, key)) is not None}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _stop)
    end_with_dvc()
    try:
        with measured(root(), arguments.notebook):
            run(arguments.notebook, selectors, arguments.cell_seconds)
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # of the folder for temporary files, most likely
        print(f"{arguments.notebook}: {error.strerror or error}: {error.filename}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.alarm(0)
        print(f"{arguments.notebook} was stopped. Nothing of it is kept.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
