"""The runner executes a notebook whole, as itself, or says in one message why not."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from pipeline import edit

from lib import notebook
from lib.exceptions import StudyError
from lib.notebook import main, run
from lib.report import notebooks

PROJECT = Path(__file__).parents[1]
DEMO = {"catalogue": "demo"}
# A cell that works as training does: in processes of its own.
WORKERS = """
import time
from lib.processes import worker_pool
with worker_pool(2) as pool:
    futures = [pool.submit(time.sleep, seconds) for seconds in (0, 0, 600, 600, 600)]
    [future.result() for future in futures[:2]]
    print("begun", flush=True)
"""


def outputs(path):
    """Return the text of all outputs of an executed notebook."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(str(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))


@pytest.fixture
def scratch():
    """Return a folder for temporary files whose name is short enough for a socket's."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def start(root, scratch, *arguments):
    """Start the command line as a process of its own."""
    environment = os.environ | {"STUDY_ROOT": str(root), "PYTHONPATH": str(PROJECT), "TMPDIR": str(scratch)}
    command = [sys.executable, "-m", "lib.notebook", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def files(root):
    """List what a run has left in the study."""
    return sorted(str(path.relative_to(root)) for path in root.glob("build/**/*") if path.is_file())


def running(processes):
    """Return those that still run. One that has ended may stay in the table until its parent asks for its status."""
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


# A whole result


def test_executed_notebook_stands_where_the_report_looks_for_it(study, make_notebook):
    make_notebook("01_collect", "print(catalogue)")
    assert run("01_collect", DEMO) == study / "build/demo/notebooks/01_collect.ipynb"
    assert files(study) == ["build/demo/notebooks/01_collect.ipynb"]


def test_second_shops_have_executed_notebooks_of_their_own(study, make_notebook):
    edit(study / "params.yaml", others={"outlet": {"source": "lib/demo_shop", "tagged_by": "demo"}})
    make_notebook("11_other", "print(catalogue, other)", parameters='catalogue = "demo"\nother = "mine"')
    path = run("11_other", {"catalogue": "demo", "other": "outlet"})
    assert path == study / "build/demo/notebooks/11_other_outlet.ipynb"
    assert outputs(path) == "demo outlet\n"


def test_selectors_replace_the_interactive_defaults(make_notebook):
    make_notebook("01_collect", "print(catalogue)", parameters='catalogue = "something else"')
    assert outputs(run("01_collect", DEMO)) == "demo\n"


def test_two_runs_write_the_same_bytes(make_notebook):
    make_notebook("06_results", "import random", "print(hash('text'))")
    first = run("06_results", DEMO).read_bytes()
    assert run("06_results", DEMO).read_bytes() == first


def test_executed_notebook_names_no_path_of_the_machine(study, make_notebook):
    make_notebook("06_results", "1 + 1")
    assert str(study.parent) not in run("06_results", DEMO).read_text()


def test_a_notebook_may_end_early_and_is_whole(study, make_notebook, capfd):
    cells = ("from lib.report import kit", 'kit.say("a", "Done.")\nkit.end("No more.")', 'kit.say("b", "Not done.")')
    make_notebook("01_collect", *cells)
    path = run("01_collect", DEMO)
    content = path.read_text("utf-8")
    assert "No more." in content
    assert "SystemExit" not in content.replace("raise SystemExit", "")
    assert str(PROJECT) not in content
    assert "To exit" not in "".join(capfd.readouterr())
    page = notebooks.page(path)
    assert [output["data"] for cell in page.cells for output in cell.get("outputs", [])][-1] == {
        "text/html": "<p>No more.</p>\n"
    }
    found = notebooks.Outputs("demo")
    assert found.take("01_collect", "a").text == "Done."
    assert found.take("01_collect", "b").text == "No more."


def test_braces_in_the_folders_name_are_no_template(study, make_notebook, monkeypatch):
    make_notebook("06_results", "print(catalogue)")
    braced = study.rename(study.with_name("{catalogue} {"))
    monkeypatch.setenv("STUDY_ROOT", str(braced))
    assert outputs(run("06_results", DEMO)) == "demo\n"


def test_output_of_the_cells_appears_in_the_log(make_notebook, capsys):
    make_notebook("01_collect", "import sys\nprint('to out')\nprint('to err', file=sys.stderr)")
    assert main(["01_collect", "--catalogue", "demo"]) == 0
    assert capsys.readouterr() == ("to out\n", "to err\n")


def test_only_the_last_state_of_a_progress_bar_is_stored(make_notebook):
    make_notebook("01_collect", "print('half', end='\\r', flush=True)\nprint('done')")
    assert outputs(run("01_collect", DEMO)) == "done\n"


# The kernel


def test_kernel_is_this_python_in_the_study_folder_with_this_lib(study, make_notebook):
    make_notebook("01_collect", "import os, sys, lib\nprint(sys.executable, os.getcwd(), lib.__file__, sep='\\n')")
    assert outputs(run("01_collect", DEMO)).split() == [sys.executable, str(study), str(PROJECT / "lib/__init__.py")]


def test_users_own_kernel_and_startup_files_have_no_say(tmp_path, make_notebook, monkeypatch):
    make_notebook("01_collect", "print('startup' in globals())")
    spec = tmp_path / "jupyter/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["false"], "display_name": "Mine", "language": "python"}))
    startup = tmp_path / "ipython/profile_default/startup/mine.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("startup = True")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    assert outputs(run("01_collect", DEMO)) == "False\n"


# What is refused before anything runs


@pytest.mark.parametrize(
    ("name", "selectors", "message"),
    [
        ("05_trian", DEMO, "There is no notebook '05_trian' in .* Did you mean '05_train'?"),
        ("../05_train", DEMO, "There is no notebook"),
        (
            "01_collect",
            DEMO | {"other": "outlet"},
            r"01_collect.ipynb has no parameter 'other'. It has \['catalogue'\]",
        ),
        ("01_collect", DEMO | {"catalog": "demo"}, "no parameter 'catalog'.* Did you mean 'catalogue'?"),
        ("11_other", DEMO, "11_other.ipynb has parameters without a value: add --other"),
        ("01_collect", {"catalogue": "dmo"}, "There is no catalogue 'dmo'.* Did you mean 'demo'?"),
        (
            "01_collect",
            {"catalogue": "fashion"},
            r"study and others does not list 'fashion'. It lists \['demo', 'outlet'\]",
        ),
        ("11_other", DEMO | {"other": "outlt"}, "others does not list 'outlt'.* Did you mean 'outlet'?"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest_right_one(study, make_notebook, name, selectors, message):
    edit(study / "params.yaml", others={"outlet": {"source": "lib/demo_shop", "tagged_by": "demo"}})
    make_notebook("01_collect", "print('ran')")
    make_notebook("05_train", "print('ran')")
    make_notebook("11_other", "print('ran')", parameters='catalogue = "demo"\nother = "mine"')
    with pytest.raises(StudyError, match=message):
        run(name, selectors)
    assert files(study) == []


def test_notebook_without_a_parameters_cell_takes_no_selector(study, make_notebook):
    path = make_notebook("01_collect")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata.tags = []
    nbformat.write(notebook, path)
    with pytest.raises(StudyError, match=r"no parameter 'catalogue'. It has \[\]"):
        run("01_collect", DEMO)


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(option in text for option in ("notebook", "--catalogue", "--other", "--cell-seconds"))


# What fails


def test_error_for_the_user_is_shown_without_a_traceback(study, make_notebook, capsys):
    make_notebook("01_collect", "from lib.exceptions import StudyError", "raise StudyError('Run `make data`.')")
    assert main(["01_collect", "--catalogue", "demo"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "01_collect.ipynb failed in cell [4] `raise StudyError('Run `make data`.')`: Run `make data`.",
        "The failed notebook is build/demo/failed/01_collect.ipynb.",
    ]
    assert files(study) == ["build/demo/failed/01_collect.ipynb"]


def test_any_other_error_is_shown_with_the_end_of_its_traceback(make_notebook):
    make_notebook("01_collect", "def divide(x):\n    return 1 / x", "divide(0)")
    with pytest.raises(StudyError) as caught:
        run("01_collect", DEMO)
    text = str(caught.value)
    assert text.startswith("01_collect.ipynb failed in cell [4] `divide(0)`: ZeroDivisionError: division by zero")
    assert "return 1 / x" in text
    assert "\x1b" not in text


def test_failed_notebook_goes_when_the_next_run_succeeds(study, make_notebook):
    make_notebook("01_collect", "1 / 0")
    with pytest.raises(StudyError):
        run("01_collect", DEMO)
    make_notebook("01_collect", "1 / 1")
    run("01_collect", DEMO)
    assert files(study) == ["build/demo/notebooks/01_collect.ipynb"]


def test_cell_over_the_limit_is_stopped_and_named(study, make_notebook):
    make_notebook("01_collect", "import time", "time.sleep(600)")
    with pytest.raises(StudyError, match=r"cell \[4\] `time.sleep\(600\)`: it took longer than 1 seconds"):
        run("01_collect", DEMO, cell_seconds=1)
    assert files(study) == ["build/demo/failed/01_collect.ipynb"]


def test_killed_kernel_is_reported_and_named(make_notebook):
    make_notebook("01_collect", "import os, signal", "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(StudyError, match=r"cell \[4\] `os.kill.* its process ended"):
        run("01_collect", DEMO)


def test_kernel_that_does_not_start_is_reported(study, make_notebook, monkeypatch):
    make_notebook("01_collect", "print('ran')")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StudyError, match=r"failed in no cell \(its kernel did not start\): Kernel died"):
        run("01_collect", DEMO)
    assert files(study) == ["build/demo/failed/01_collect.ipynb"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_says_so_and_leaves_nothing(study, scratch, make_notebook, number):
    make_notebook("01_collect", WORKERS)
    process = start(study, scratch, "01_collect", "--catalogue", "demo")
    assert process.stdout.readline() == "begun\n"  # cells are heard while they run
    kernels = psutil.Process(process.pid).children(recursive=True)
    time.sleep(1)  # until the runner has passed the line on, and waits for the cell again
    process.send_signal(number)
    assert "01_collect was stopped. Nothing of it is kept." in process.communicate(timeout=120)[1].splitlines()
    assert process.returncode == 130
    assert files(study) == []
    assert not list(scratch.iterdir())
    assert running(kernels) == []


def test_a_stop_that_was_lost_comes_again(monkeypatch):
    monkeypatch.setattr(notebook, "STOP_SECONDS", 1)
    before = signal.signal(signal.SIGALRM, notebook._stop)
    try:
        for wait in (lambda: notebook._stop(signal.SIGINT, None), lambda: time.sleep(30)):
            with pytest.raises(KeyboardInterrupt):
                wait()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_processes_of_a_killed_run_end_by_themselves(study, scratch, make_notebook):
    make_notebook("01_collect", WORKERS)
    process = start(study, scratch, "01_collect", "--catalogue", "demo")
    assert process.stdout.readline() == "begun\n"
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while running(kernels) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert running(kernels) == []
    assert files(study) == []


def test_a_killed_dvc_takes_its_stage_along(study, scratch, make_notebook):
    """DVC starts a stage through a shell, in a session of its own or not; here another Python stands for it."""
    make_notebook("01_collect", WORKERS)
    stage = f"{sys.executable} -m lib.notebook 01_collect --catalogue demo"
    starter = f"import subprocess; subprocess.run(['sh', '-c', {stage + '; true'!r}])"
    variables = {"STUDY_ROOT": str(study), "PYTHONPATH": str(PROJECT), "TMPDIR": str(scratch), "DVC_STAGE": "collect"}
    process = subprocess.Popen(
        [sys.executable, "-c", starter], env=os.environ | variables, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) > 3
    process.kill()
    deadline = time.monotonic() + 60
    while running(below) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert running(below) == []
    assert files(study) == []


def test_a_stage_whose_dvc_was_killed_before_it_could_look_ends_too(study, scratch, make_notebook):
    make_notebook("01_collect", WORKERS)
    stage = f"{sys.executable} -m lib.notebook 01_collect --catalogue demo"
    starter = f"import subprocess; print(subprocess.Popen(['sh', '-c', {stage + '; true'!r}]).pid, flush=True)"
    variables = {"STUDY_ROOT": str(study), "PYTHONPATH": str(PROJECT), "TMPDIR": str(scratch), "DVC_STAGE": "collect"}
    command = [sys.executable, "-c", starter]
    process = subprocess.Popen(
        command, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    shell = psutil.Process(int(process.stdout.readline()))
    process.wait()
    below = [shell, *shell.children(recursive=True)]
    assert process.stdout.read() == "", "the notebook had begun"
    assert psutil.wait_procs(below, timeout=60)[1] == []
    assert files(study) == []
