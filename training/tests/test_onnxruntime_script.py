"""scripts/onnxruntime.py with a pip that is faked, so that no network is needed."""

import importlib.util
import subprocess
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/onnxruntime.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("onnxruntime_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fake_pip(works, members):
    """A `run` that writes a wheel when `works(command)`, and fails as pip does otherwise."""

    def run(command):
        if "pip" not in command:
            return subprocess.CompletedProcess(command, 1, "", "no module named venv")
        if not works(command):
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found")
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "onnxruntime-9-py3-none-any.whl", "w") as wheel:
            for name in members:
                wheel.writestr(name, name)
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


MEMBERS = ("onnxruntime/capi/libonnxruntime.so.9", "onnxruntime/LICENSE", "onnxruntime/capi/other.so")


def test_library_and_licence_are_taken_out_of_the_wheel(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: True, MEMBERS))
    folder = tmp_path / "runtime"
    library = script.install(folder)
    assert library == folder / "libonnxruntime.so.9"
    assert library.read_text() == MEMBERS[0]
    assert sorted(p.name for p in folder.iterdir()) == ["LICENSE", "libonnxruntime.so.9"]
    assert script.present(folder) == library


def test_a_python_without_a_wheel_gets_that_of_another(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda command: "--python-version" in command, MEMBERS))
    assert script.install(tmp_path).name == "libonnxruntime.so.9"


def test_without_pip_the_message_says_what_to_do(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: False, MEMBERS))
    with pytest.raises(script.Unavailable, match=r"No matching distribution.*no module named venv.*ORT_DYLIB_PATH"):
        script.install(tmp_path / "runtime")
    assert not (tmp_path / "runtime").exists()


def test_a_wheel_without_the_library_is_refused(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: True, MEMBERS[1:]))
    with pytest.raises(script.Unavailable, match="holds no"):
        script.install(tmp_path / "runtime")
    assert not (tmp_path / "runtime").exists()


def test_without_a_network_the_message_says_so(script, tmp_path, monkeypatch):
    broken = (
        "WARNING: Retrying after connection broken by 'NewConnectionError': /simple\nERROR: No matching distribution"
    )
    monkeypatch.setattr(script, "run", lambda command: subprocess.CompletedProcess(command, 1, "", broken))
    with pytest.raises(script.Unavailable, match="no connection to the package index"):
        script.install(tmp_path / "runtime")
