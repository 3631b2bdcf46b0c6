"""The notice before a set-up names the build of torch and its size, or says that it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
import setup_notice

TORCH = {"name": "torch", "version": "2.13.0", "wheels": [{"url": "https://index/torch.whl"}]}
CUBLAS = {
    "name": "nvidia-cublas",
    "version": "13",
    "wheels": [{"url": "https://index/c.whl", "size": 1_500_000_000}],
}


def test_local_wheel_is_named_with_its_size(tmp_path: Path) -> None:
    """A wheel from find-links is named by its path and measured on the disk."""
    wheel = tmp_path / "torch 2.13.0+cpu.whl"
    wheel.write_bytes(b"x" * 3_000_000)
    torch = {"name": "torch", "version": "2.13.0+cpu", "wheels": [{"url": wheel.as_uri()}]}

    lines = setup_notice.described([torch], system="Linux")

    assert lines == [f"torch 2.13.0+cpu, 3 MB, {wheel}", "no CUDA packages come with it"]


def test_default_build_is_announced_with_its_libraries() -> None:
    """The default build for Linux is said to bring its CUDA packages, and how to get a smaller one."""
    lines = setup_notice.described([TORCH, CUBLAS], system="Linux")

    assert lines[0] == "torch 2.13.0, size not told by the index, from the package index"
    assert lines[1] == "with it come 1 CUDA packages: 1500 MB"
    assert "PIP_FIND_LINKS" in lines[2]


def test_unknown_size_is_called_unknown() -> None:
    """When the index does not tell the size of one of the CUDA packages, no sum is invented."""
    silent = {"name": "triton", "version": "3", "wheels": [{"url": "https://index/t.whl"}]}

    assert "does not tell" in setup_notice.described([TORCH, CUBLAS, silent], system="Linux")[1]


def test_elsewhere_there_is_no_warning() -> None:
    """Off Linux the build from the index is the CPU build, and there is nothing to warn of."""
    assert len(setup_notice.described([TORCH], system="Darwin")) == 1


def test_failing_installer_does_not_stop_the_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the installer cannot answer, the notice says so, warns of the size, and lets the set-up go on."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(setup_notice.sys, "executable", "/nowhere/python")

    assert setup_notice.main() == 0

    shown = capsys.readouterr().out
    assert "could not be found out: uv is not installed" in shown
    assert "several GB" in shown
