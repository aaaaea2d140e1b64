"""Tests of scripts/onnxruntime.py with a replacement of pip, so that no network is needed."""

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
    """Makes a `run` that writes a wheel if `works(command)` is true, and else fails like pip."""

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


def test_takes_library_and_licence_out_of_the_wheel(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: True, MEMBERS))
    folder = tmp_path / "runtime"
    library = script.install(folder)
    assert library == folder / "libonnxruntime.so.9"
    assert library.read_text() == MEMBERS[0]
    assert sorted(p.name for p in folder.iterdir()) == ["LICENSE", "libonnxruntime.so.9"]
    assert script.present(folder) == library


def test_takes_the_wheel_of_another_python_if_there_is_none(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda command: "--python-version" in command, MEMBERS))
    assert script.install(tmp_path).name == "libonnxruntime.so.9"


def test_says_what_to_do_without_pip(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: False, MEMBERS))
    with pytest.raises(script.Unavailable, match=r"No matching distribution.*no module named venv.*ORT_DYLIB_PATH"):
        script.install(tmp_path / "runtime")
    assert not (tmp_path / "runtime").exists()


def test_refuses_a_wheel_without_the_library(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: True, MEMBERS[1:]))
    with pytest.raises(script.Unavailable, match="holds no"):
        script.install(tmp_path / "runtime")
    assert not (tmp_path / "runtime").exists()


def test_says_that_there_is_no_network(script, tmp_path, monkeypatch):
    broken = (
        "WARNING: Retrying after connection broken by 'NewConnectionError': /simple\nERROR: No matching distribution"
    )
    monkeypatch.setattr(script, "run", lambda command: subprocess.CompletedProcess(command, 1, "", broken))
    with pytest.raises(script.Unavailable, match="no connection to the package index"):
        script.install(tmp_path / "runtime")


OPENVINO = (
    "onnxruntime/capi/libonnxruntime.so.8",
    "onnxruntime/capi/libonnxruntime_providers_openvino.so",
    "onnxruntime/capi/libonnxruntime_providers_shared.so",
    "onnxruntime/capi/libtbb.so.12",
    "onnxruntime/capi/libopenvino.so",
    "onnxruntime/capi/libopenvino.so.2541",
    "onnxruntime/capi/libopenvino_intel_gpu_plugin.so",
    "onnxruntime/capi/libopenvino_intel_cpu_plugin.so",
    "onnxruntime/capi/libopenvino_onnx_frontend.so.2541",
)


def test_a_library_with_another_provider_replaces_the_installed_one(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: True, MEMBERS))
    assert script.install(tmp_path).name == "libonnxruntime.so.9"
    assert script.present(tmp_path, "openvino") is None
    asked = []
    fake = fake_pip(lambda command: not asked.append(command[-1]), OPENVINO)
    monkeypatch.setattr(script, "run", fake)
    assert script.install(tmp_path, "openvino").name == "libonnxruntime.so.8"
    assert asked == ["onnxruntime-openvino>=1.23"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "FILES",
        "LICENSE",
        "libonnxruntime.so.8",
        "libonnxruntime_providers_openvino.so",
        "libonnxruntime_providers_shared.so",
        "libopenvino.so.2541",
        "libopenvino_intel_cpu_plugin.so",
        "libopenvino_onnx_frontend.so.2541",
        "libtbb.so.12",
    ]
    assert script.present(tmp_path, "openvino") == script.present(tmp_path) == tmp_path / "libonnxruntime.so.8"


@pytest.mark.parametrize("name", [Path(name).name for name in OPENVINO if not name.endswith(("o.so", "gpu_plugin.so"))])
def test_a_provider_without_one_of_its_files_is_fetched_again(script, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(script, "run", fake_pip(lambda _: True, OPENVINO))
    monkeypatch.setattr("sys.argv", ["onnxruntime.py", "--provider", "openvino", str(tmp_path / "runtime")])
    assert script.main() == 0
    file = tmp_path / "runtime" / name
    for damage, words in ((file.unlink, "is missing"), (lambda: file.write_text("cut"), "has 3 bytes, expected")):
        whole = file.read_bytes()
        damage()
        capsys.readouterr()
        assert script.main() == 0
        said = capsys.readouterr()
        assert f"{name} {words}" in said.err
        assert said.out == f"{tmp_path / 'runtime' / 'libonnxruntime.so.8'}\n"
        assert file.read_bytes() == whole
    assert script.main() == 0
    assert capsys.readouterr().err == "", "a whole provider is not fetched again"


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("libopenvino_intel_cpu_plugin.so", "libopenvino_intel_cpu_plugin.* or libopenvino_arm_cpu_plugin.*"),
        ("libopenvino.so.2541", "libopenvino.so.*"),
        ("libonnxruntime_providers_openvino.so", "libonnxruntime_providers_openvino.*"),
    ],
)
def test_a_package_without_a_file_that_the_provider_needs_is_refused(script, tmp_path, monkeypatch, lacking, words):
    members = [name for name in OPENVINO if not name.endswith(f"/{lacking}")]
    monkeypatch.setattr(script, "run", fake_pip(lambda _: True, members))
    with pytest.raises(script.Unavailable) as refused:
        script.install(tmp_path / "runtime", "openvino")
    assert f"holds no {words}, which openvino needs" in str(refused.value)
    assert not (tmp_path / "runtime").exists()


def test_chooses_wheels_by_the_installed_glibc(script):
    def tags(version):
        return script.platform_tags("Linux", "aarch64", ("glibc", version))

    assert tags("2.36") == ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"]
    assert tags("2.27") == ["manylinux_2_27_aarch64", "manylinux2014_aarch64"]
    assert tags("2.17") == ["manylinux2014_aarch64"]
    assert script.platform_tags("Darwin", "arm64", ("", ""), "12.6.1") == [
        "macosx_12_0_arm64",
        "macosx_12_0_universal2",
        "macosx_11_0_arm64",
        "macosx_11_0_universal2",
    ]


@pytest.mark.parametrize(
    ("system", "machine", "libc", "reason"),
    [
        ("Linux", "armv7l", ("glibc", "2.31"), "32-bit ARM"),
        ("Linux", "x86_64", ("", ""), "without glibc"),
        ("Linux", "x86_64", ("glibc", "2.12"), "as old as 2.12"),
        ("Linux", "aarch64", ("glibc", "2.35"), None),
        ("Darwin", "arm64", ("", ""), None),
    ],
)
def test_says_that_a_system_has_no_package(script, system, machine, libc, reason):
    found = script.no_wheel(system, machine, libc)
    assert found is None if reason is None else reason in found
