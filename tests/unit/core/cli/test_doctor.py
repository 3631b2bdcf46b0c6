"""`codex doctor`: each row says what is so, and what is not in order says cause, effect and fix."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from pathlib import Path

import pytest

from codex_core.cli import doctor_machine, doctor_packages
from codex_core.cli.doctor import page
from codex_core.cli.finding import STATES, Finding
from codex_core.cli.main import main
from codex_core.places import Places


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty project as the working directory."""
    (tmp_path / ".codex").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def machine(tmp_path):
    """The files of a machine, to be planted: `proc`, `sys`, `dev`."""

    def plant(**texts):
        for name, text in texts.items():
            path = tmp_path / "machine" / name.replace("__", "/").replace("_max", ".max")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "machine"

    return plant


def program(folder, text):
    """A folder with an executable `codex` of the given text, as a PATH."""
    folder.mkdir()
    path = folder / "codex"
    path.write_text(text)
    path.chmod(0o755)
    return str(folder)


def named(findings, name):
    return next(finding for finding in findings if finding.name == name)


def test_quick_doctor_answers_as_json_and_writes_nothing(folder, capsys):
    """`--quick --json` is one object with a row per fact, and leaves project and cache as they were."""
    cache = Path(os.environ["CODEX_HOME"])
    before = {path: path.stat().st_mtime_ns for path in [*folder.rglob("*"), *cache.rglob("*")]}

    code = main(["doctor", "--quick", "--json"])

    shown = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in shown["rows"]}
    assert code == 0 and shown["quick"] is True
    assert {
        "python",
        "codex",
        "codex-core",
        "pytest",
        "hatch",
        "pre-commit",
        "sphinx",
        "torch",
        "cuda",
    } <= set(rows)
    assert all(row["state"] in STATES for row in rows.values())
    assert before == {path: path.stat().st_mtime_ns for path in [*folder.rglob("*"), *cache.rglob("*")]}


def test_every_row_that_is_not_ok_says_why(folder, capsys):
    """Whatever this machine lacks: a cause, and for what is worse than absent a fix."""
    main(["doctor", "--quick", "--json"])

    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row for row in rows if row["state"] != "ok" and not row["cause"]] == []
    assert [
        row for row in rows if row["state"] in ("warn", "bad") and not (row["effect"] and row["fix"])
    ] == []


def test_a_requirement_that_is_met_is_exit_0_and_one_that_is_not_is_exit_6(folder, capsys, monkeypatch):
    """`--require` takes the name of any row; what is absent is named with its cause."""
    assert main(["doctor", "--quick", "--require", "python", "--require", "codex-core"]) == 0
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(doctor_packages, "TOOLS", ("nothing-like-it",))
    capsys.readouterr()

    assert main(["doctor", "--quick", "--require", "nothing-like-it"]) == 6
    assert "error[CLI-007]: nothing-like-it is required and is absent" in capsys.readouterr().err


def test_a_misspelt_requirement_gets_near_names(folder, capsys):
    """A row that does not exist is exit 2."""
    assert main(["doctor", "--quick", "--require", "cudo"]) == 2
    assert "did you mean cuda" in capsys.readouterr().err


def test_another_vendors_codex_is_told(tmp_path):
    """The first `codex` on the PATH that is not ours is a warning with a way round."""
    path = program(tmp_path / "bin", "#!/bin/sh\necho I am somebody else\n")

    found = doctor_packages.first_codex({"PATH": path})

    assert found.state == "warn" and "another vendor" in str(found.cause)
    assert "python -m codex_core" in str(found.fix)


def test_a_codex_of_another_python_is_told(tmp_path):
    """Ours, but of another installation: a warning, too. None at all likewise."""
    path = program(tmp_path / "bin", "#!/somewhere/python\nfrom codex_core.__main__ import main\n")

    assert "another Python" in str(doctor_packages.first_codex({"PATH": path}).cause)
    assert doctor_packages.first_codex({"PATH": str(tmp_path)}).value == "none"


def distribution(site, name, version, *lines):
    """A distribution as an installation leaves it: metadata and a module."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(head + "".join(f"{line}\n" for line in lines))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder that is searched before everything else for distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_a_foreign_core_is_bad(site):
    """Metadata of `codex-core` that does not tell our version belongs to strangers or to the past."""
    distribution(site, "codex-core", "0.5.0")

    found = named(doctor_packages.packages(), "codex-core")

    assert (
        found.state == "bad" and "0.5.0" in str(found.cause) and "pip uninstall codex-core" in str(found.fix)
    )


def test_a_sibling_that_wants_another_core_is_bad(site):
    """Requirements of siblings are held against the core that runs."""
    distribution(site, "codex-safety", "2.0.0", "Requires-Dist: codex-core>=2,<3")

    found = named(doctor_packages.packages(), "codex-safety")

    assert found.state == "bad" and "codex-core>=2,<3" in str(found.cause)


def test_packages_from_two_places_are_told(site):
    """One package from elsewhere is a warning that names the places."""
    distribution(site, "codex-safety", "1.0.0", "Requires-Dist: codex-core>=1.0,<2")
    (site / "codex_safety").mkdir()
    (site / "codex_safety" / "__init__.py").write_text("")

    found = named(doctor_packages.packages(), "one-place")

    assert found.state == "warn" and str(site) in str(found.cause)


def test_extras_name_what_they_lack(site):
    """An extra whose library is not installed is absent, with its install line; one that is there is ok."""
    extra = 'Requires-Dist: {}; extra == "{}"'
    lines = ["Provides-Extra: a", extra.format("nothing-like-it>=1", "a"), extra.format("click", "b")]
    distribution(site, "codex-telemetry", "1.0.0", *lines)

    found = list(doctor_packages.extras())

    assert named(found, "codex-telemetry[a]").fix == "pip install 'codex-telemetry[a]'"
    assert named(found, "codex-telemetry[a]").state == "absent"
    assert importlib.metadata.version("click") in named(found, "codex-telemetry[b]").value


def test_an_index_that_is_out_of_date_is_told_and_not_renewed():
    """Without stored rows a quick doctor says that it did not look."""
    (found,) = doctor_packages.plugins(None)

    assert (found.state, found.fix) == ("unknown", "codex registry list")


def test_components_that_cannot_be_used_are_rows():
    """Reason and fix of the registry are cause and fix of the doctor."""
    broken = {"kind": "models", "id": "x/y", "state": "broken", "hint": "it raises", "fix": "pip install x"}

    found = named(doctor_packages.plugins([broken]), "models/x/y")

    assert (found.state, found.cause, found.fix) == ("warn", "it raises", "pip install x")


@pytest.fixture
def torch(site):
    """Metadata of a torch, whether or not one is installed."""
    distribution(site, "torch", "2.13.0")


def test_torch_that_cannot_be_imported_is_bad(torch, monkeypatch, tmp_path):
    """A broken torch does not break the doctor: its last words are the cause."""
    monkeypatch.setattr(doctor_machine, "_ASK_TORCH", "raise ImportError('libcudart is missing')")

    found = named(doctor_machine.torch_rows(ask=True, root=tmp_path), "torch")

    assert found.state == "bad" and "libcudart is missing" in str(found.cause)


@pytest.mark.parametrize(
    ("said", "states", "cause"),
    [
        ({"cuda": ["H1"], "built_for": "12.8", "bf16": True}, ["ok", "ok", "ok"], None),
        ({"cuda": ["V1"], "built_for": "12.8", "bf16": False}, ["ok", "ok", "absent"], "no bfloat16"),
        ({"cuda": [], "built_for": None, "bf16": False}, ["ok", "absent", "absent"], "without CUDA"),
        ({"cuda": [], "built_for": "12.8", "bf16": False}, ["ok", "absent", "absent"], "no NVIDIA device"),
    ],
)
def test_what_torch_says_of_accelerators_becomes_rows(torch, said, states, cause, monkeypatch, tmp_path):
    """A device, one without bfloat16, a torch without CUDA, and no device are told apart."""
    told = {"version": "2.13.0", "threads": 2, **said}
    monkeypatch.setattr(doctor_machine, "_ask_torch", lambda: told)

    rows = doctor_machine.torch_rows(ask=True, root=tmp_path)

    assert [row.state for row in rows] == states
    assert cause is None or cause in " ".join(str(row.cause) for row in rows)


@pytest.mark.parametrize(("flags", "state"), [("fpu amx_bf16", "ok"), ("fpu sse2", "absent")])
def test_processor_with_bfloat16_is_told_where_there_is_no_accelerator(
    torch, flags, state, machine, monkeypatch
):
    """Training on processors uses bfloat16 where they have it, and the row says so."""
    told = {"version": "2.13.0", "threads": 2, "cuda": [], "built_for": None, "bf16": False}
    monkeypatch.setattr(doctor_machine, "_ask_torch", lambda: told)

    root = machine(proc__cpuinfo=f"flags\t: {flags}\n")

    assert named(doctor_machine.torch_rows(ask=True, root=root), "bf16").state == state


def test_a_driver_that_torch_cannot_use_is_told(torch, machine, monkeypatch):
    """A device is there, and torch does not see it: compare driver and torch."""
    root = machine(dev__nvidiactl="")
    told = {"version": "2.13.0", "threads": 2, "cuda": [], "built_for": "12.8", "bf16": False}
    monkeypatch.setattr(doctor_machine, "_ask_torch", lambda: told)

    assert "nvidia-smi" in str(named(doctor_machine.torch_rows(ask=True, root=root), "cuda").fix)


def test_memory_is_what_the_control_group_leaves(machine):
    """A limit counts where it is lower than the machine's memory; `max` is none; little is a warning."""
    assert (
        "limited to 3.0 GB"
        in doctor_machine.memory(machine(sys__fs__cgroup__memory_max="3000000000\n")).value
    )
    assert doctor_machine.cgroup_limit(machine(sys__fs__cgroup__memory_max="max\n")) is None
    low = doctor_machine.memory(machine(sys__fs__cgroup__memory_max="500000000\n"))
    assert low.state == "warn" and "control group" in str(low.cause)


@pytest.mark.parametrize(("kind", "state"), [("ext4", "ok"), ("nfs4", "warn"), ("tmpfs", "warn")])
def test_file_systems_are_told_by_the_longest_mount(kind, state, machine, tmp_path):
    """A store on a network or in memory is a warning; the mount nearest to the folder decides."""
    project = tmp_path / "project"
    project.mkdir()
    root = machine(proc__self__mounts=f"disk / ext4 rw 0 0\nother {project} {kind} rw 0 0\n")
    places = Places(root=project, home=tmp_path / "home", store=project / ".codex" / "store")

    found = named(doctor_machine.folders(places, root), "store")

    assert (found.state, kind in found.value) == (state, True)
    assert doctor_machine.file_system(tmp_path / "home", root) == "ext4"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_folder_that_cannot_be_written_is_bad(tmp_path):
    """Nothing could be kept there: exit 1 of the whole command."""
    tmp_path.chmod(0o500)
    places = Places(root=tmp_path, home=tmp_path, store=tmp_path)

    assert named(doctor_machine.folders(places), "runs").state == "bad"


def test_more_threads_than_processors_are_told():
    """Threads that wait for each other are a warning with the number to set."""
    found = named(doctor_machine.processors({"OMP_NUM_THREADS": "4096"}), "threads")

    assert found.state == "warn" and str(found.fix).startswith("export OMP_NUM_THREADS=")
    assert named(doctor_machine.processors({}), "threads").state == "ok"


def test_the_page_counts_states_and_explains(capsys):
    """The table first, then each row that is not ok, then how many there are of each."""
    good = Finding(area="a", name="good", state="ok", value="1")
    poor = Finding(area="a", name="poor", state="bad", value="-", cause="why\x1b[0m", effect="what", fix="do")

    shown = page([good, poor])

    assert "bad: poor: why\\x1b[0m\n  effect: what\n  fix: do" in shown
    assert shown.endswith("1 ok, 1 bad")


def test_a_bad_row_is_exit_1(folder, monkeypatch):
    """The doctor's answer is no when something cannot work."""
    monkeypatch.setattr(doctor_packages, "OLDEST_PYTHON", (sys.version_info[0] + 1, 0))

    assert main(["doctor", "--quick"]) == 1
