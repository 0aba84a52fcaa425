"""Resized copies: each image, the manifest, interrupts, bad input."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from image_files import ROOT, encoded, files, opened, put, script
from PIL import Image, JpegImagePlugin

from deconv.atomic_files import unique
from deconv.data import photographs
from deconv.data.preparation import (
    Original,
    Plan,
    caltech256,
    command,
    copying,
    manifest,
    processes,
    resized_copy,
    resized_jpeg,
    tiny_imagenet,
    verify,
)
from deconv.errors import DeconvError
from deconv.images import square, to_rgb
from experiments.kit.forked import Forked

# One image


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG")]
)
@pytest.mark.parametrize(("size", "copied"), [((400, 300), (341, 256)), ((270, 511), (256, 485))])
def test_a_copy_is_rgb_with_the_shorter_side_at_256(mode, kind, size, copied, monkeypatch):
    monkeypatch.setattr(copying, "QUALITY", 100)  # what is left then is the resampling
    data = encoded(1, size, mode, kind)
    copy = opened(resized_jpeg(data))
    assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", copied)
    assert JpegImagePlugin.get_sampling(copy) == 0, "4:4:4"
    wanted = square(to_rgb(opened(data)), 256).int()
    difference = (square(to_rgb(copy), 256).int() - wanted).abs()
    assert difference.float().mean() < 1 and difference.max() <= 5


def test_the_quality_is_that_of_libjpeg_s_95():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=95)
    copy = opened(resized_jpeg(encoded(0, (300, 300))))
    assert copy.quantization == opened(file.getvalue()).quantization


@pytest.mark.parametrize("size", [(64, 64), (256, 300), (500, 100)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_small_jpeg_stays_byte_for_byte(size, mode):
    data = encoded(2, size, mode)
    assert resized_jpeg(data) == data


def test_small_files_of_another_kind_become_rgb_jpeg_files_of_their_size():
    for data in (
        encoded(3, mode="CMYK"),
        encoded(3, kind="PNG"),
        encoded(3, mode="RGBA", kind="PNG"),
    ):
        copy = opened(resized_jpeg(data))
        assert (copy.format, copy.mode, copy.size) == ("JPEG", "RGB", (40, 30))
    assert opened(resized_jpeg(encoded(3, (40, 30)), 15)).size == (20, 15)


# A whole copy


def plan_of(folder, count, size=(40, 30)):
    paths = [put(folder / f"{i}.jpg", encoded(i, size)) for i in range(count)]
    return Plan("noise", [Original(f"val/a{i % 2}/{p.name}", p) for i, p in enumerate(paths)])


def test_the_manifest_lists_every_file_and_sha256sum_agrees(tmp_path):
    plan = plan_of(tmp_path / "from", 5)
    plan.beside["words.txt"] = b"n01\tthing\n"
    copy = resized_copy(plan, tmp_path / "to", shorter_px=16)
    listed = dict(
        reversed(line.split("  ")) for line in (copy / manifest.MANIFEST).read_text().splitlines()
    )
    assert list(listed) == sorted(listed)
    assert set(listed) == files(copy) - {"manifest.sha256"} and len(listed) == 7
    for name, digest in listed.items():
        assert hashlib.sha256((copy / name).read_bytes()).hexdigest() == digest
    if shutil.which("sha256sum"):  # older macOS has none
        subprocess.run(["sha256sum", "-c", "--quiet", "manifest.sha256"], cwd=copy, check=True)
    facts = json.loads((copy / "manifest.json").read_text())
    assert (facts["dataset"], facts["shorter_px"]) == ("noise", 16)
    assert facts["folders"] == {"val": {"images": 5, "classes": 2}}
    assert facts["jpeg"] == {"quality": 95, "subsampling": "4:4:4"} and facts["versions"]["pillow"]


def test_verify_names_what_is_changed_missing_and_unlisted(tmp_path, capsys):
    copy = resized_copy(plan_of(tmp_path / "from", 4), tmp_path / "to")
    assert verify(copy) == [] and command.main(tiny_imagenet, "", ["--verify", str(copy)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(copy)
    data = bytearray((copy / "val/a0/2.jpg").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "val/a0/2.jpg").write_bytes(data)
    (copy / "val/a1/1.jpg").unlink()
    put(copy / "val/a1/9.jpg", b"")
    expected = ["changed: val/a0/2.jpg", "missing: val/a1/1.jpg", "unlisted: val/a1/9.jpg"]
    assert verify(copy) == expected
    assert command.main(tiny_imagenet, "", ["x", str(copy), "--verify"]) == 1
    assert capsys.readouterr().out.splitlines() == expected
    with pytest.raises(DeconvError, match=r"no manifest\.sha256"):
        verify(tmp_path / "from")


def test_a_second_run_mends_the_copy_and_makes_nothing_else_again(tmp_path, monkeypatch):
    plan = plan_of(tmp_path / "from", 6)
    copy = resized_copy(plan, tmp_path / "to", 20)
    before = (copy / "manifest.sha256").read_bytes()
    (copy / "val/a0/4.jpg").write_bytes(b"broken")
    (copy / "val/a1/5.jpg").unlink()
    made = counted(monkeypatch)
    resized_copy(plan, copy, 20)
    assert len(made) == 2 and verify(copy) == []
    assert (copy / "manifest.sha256").read_bytes() == before


def counted(monkeypatch, stop_at=None):
    """The list that grows with every image that is made; at `stop_at` somebody presses Ctrl-C."""
    made, real = [], copying.resized_jpeg

    def counting(data, shorter_px):
        if len(made) == stop_at:
            raise KeyboardInterrupt
        made.append(data)
        return real(data, shorter_px)

    monkeypatch.setattr(copying, "resized_jpeg", counting)
    return made


def test_a_finished_copy_whose_extension_is_interrupted_counts_as_unfinished(tmp_path, monkeypatch):
    plan = plan_of(tmp_path / "from", 6)
    copy = resized_copy(Plan("noise", plan.images[:3]), tmp_path / "to")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counted(patch, stop_at=1)
        resized_copy(plan, copy)
    with pytest.raises(DeconvError, match="not finished"):
        verify(copy)
    made = counted(monkeypatch)
    resized_copy(plan, copy)
    assert len(made) == 2 and verify(copy) == []


@pytest.mark.parametrize("torn", ["", "0123abcd  val/a0/torn", "5" * 64 + "  val/a1/7.jp"])
def test_an_interrupted_copy_goes_on_to_the_same_manifest(tmp_path, monkeypatch, torn):
    plan = plan_of(tmp_path / "from", 9)
    whole = resized_copy(plan, tmp_path / "whole", 20)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counted(patch, stop_at=4)
        resized_copy(plan, tmp_path / "to", 20)
    copy = tmp_path / "to"
    assert {"manifest.sha256"} == files(whole) - files(copy) - {p.target for p in plan.images[4:]}
    with pytest.raises(DeconvError, match="not finished"):
        verify(copy)
    with open(copy / manifest.JOURNAL, "a") as journal:
        journal.write(torn)  # what a power cut leaves of a line
    made = counted(monkeypatch)
    resized_copy(plan, copy, 20)
    assert len(made) == 5, "four were done"
    assert files(copy) == files(whole)
    assert all((copy / name).read_bytes() == (whole / name).read_bytes() for name in files(whole))


def test_a_write_that_fails_leaves_nothing_half_written_and_is_no_bad_image(tmp_path, monkeypatch):
    plan = plan_of(tmp_path / "from", 3)
    real = os.replace

    def full(source, target):
        if str(target).endswith("1.jpg"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        resized_copy(plan, tmp_path / "to")
    assert files(tmp_path / "to") == {"val/a0/0.jpg", manifest.JOURNAL, manifest.FACTS}


def test_unreadable_images_are_named_together_after_the_others_are_done(tmp_path):
    plan = plan_of(tmp_path / "from", 6)
    whole = plan.images[1].path.read_bytes()
    plan.images[1].path.write_bytes(whole[: len(whole) // 2])
    plan.images[4].path.write_bytes(b"<html>not found</html>")
    with pytest.raises(
        DeconvError,
        match=r"(?s)2 of 6.*from/1\.jpg: .*truncated.*4\.jpg: it is empty or of no known format",
    ) as error:
        resized_copy(plan, tmp_path / "to")
    assert "BytesIO" not in str(error.value)
    done = {o.target for i, o in enumerate(plan.images) if i not in (1, 4)}
    assert files(tmp_path / "to") == done | {manifest.JOURNAL, manifest.FACTS}
    for i in (1, 4):
        plan.images[i].path.write_bytes(encoded(i))
    assert verify(resized_copy(plan, tmp_path / "to")) == []


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    plan = plan_of(tmp_path / "from", 2)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with pytest.raises(DeconvError, match=r"from is not empty .* name a new folder"):
        resized_copy(plan, tmp_path / "from")
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before
    copy = resized_copy(plan, tmp_path / "to")
    with pytest.raises(DeconvError, match=r"to holds a copy with shorter_px=256, not 128"):
        resized_copy(plan, copy, 128)
    with pytest.raises(DeconvError, match=r"dataset=noise, not other"):
        resized_copy(Plan("other", plan.images), copy)
    assert verify(copy) == [], "nor is the copy touched"


@pytest.mark.parametrize("bad", [{"shorter_px": 0}, {"workers": -1}])
def test_impossible_settings_are_refused(tmp_path, bad):
    with pytest.raises(DeconvError, match=next(iter(bad))):
        resized_copy(plan_of(tmp_path / "from", 1), tmp_path / "to", **bad)
    twice = plan_of(tmp_path / "from", 1).images * 2
    with pytest.raises(DeconvError, match="same name"):
        resized_copy(Plan("noise", twice), tmp_path / "to")
    odd = Plan("noise", [Original("val/a/1\n.jpg", twice[0].path)])
    with pytest.raises(DeconvError, match="line break"):
        resized_copy(odd, tmp_path / "odd")


# The scripts


@pytest.mark.parametrize("name", ["imagenet", "tiny_imagenet", "caltech101", "caltech256"])
def test_every_script_says_what_is_wrong(tmp_path, monkeypatch, capsys, name):
    file = f"prepare_{name}.py"
    assert script(monkeypatch, file, tmp_path / "nowhere", tmp_path / "to", "--workers", 0) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and "nowhere" in err
    assert script(monkeypatch, file, tmp_path) == 2 and "usage" in capsys.readouterr().err
    assert script(monkeypatch, file, "--verify", tmp_path) == 2, "no copy"
    assert script(monkeypatch, file, "--help") == 0 and file in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_stops_a_script_with_its_workers_and_the_rest_follows(tmp_path):
    """120 images of half a megapixel: the interrupt comes when the first are done."""
    source, data = tmp_path / "256_ObjectCategories" / "001.ak47", encoded(0, (900, 750))
    for i in range(1, 121):
        put(source / f"001_{i:04d}.jpg", data)
    arguments = [tmp_path, tmp_path / "out" / "copy"]
    words = [ROOT / "scripts" / "prepare_caltech256.py", *arguments, "--workers", "2", "--partial"]
    process = subprocess.Popen(
        [sys.executable, *words],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what runs in the background with Ctrl-C ignored; so may these tests be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal = arguments[1] / manifest.JOURNAL
    while process.poll() is None and not (journal.is_file() and journal.stat().st_size):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and err.splitlines()[-1].startswith("interrupted"), err
    done = [name for name in files(arguments[1]) if name.endswith("jpg")]
    assert 0 < len(done) < 120
    assert all(opened((arguments[1] / name).read_bytes()).size == (307, 256) for name in done)
    assert command.main(caltech256, "", [*map(str, arguments), "--workers", "0", "--partial"]) == 0
    assert verify(arguments[1]) == [] and len(files(arguments[1])) == 122


MAKE = """
import sys, time
from pathlib import Path
from test_preparation import plan_of
from deconv.data.preparation import copying, resized_copy
real, made = copying.resized_jpeg, []
def waiting(data, shorter_px):
    made.append(data)
    if len(made) == int(sys.argv[2]):
        print("there", flush=True)
        time.sleep(600)
    return real(data, shorter_px)
copying.resized_jpeg = waiting
resized_copy(plan_of(Path("from"), 9), Path(sys.argv[1]), 20)
"""
"""Makes a copy, but stays at one of its images."""


@contextlib.contextmanager
def making(target, stop):
    """A process that makes the copy of `plan_of` and stays at image `stop`; then it is killed."""
    said = target.parent / "said.txt"
    said.unlink(missing_ok=True)
    one = Forked(["-c", MAKE, str(target), str(stop)], said, said, target.parent)
    try:
        while not (said.exists() and "there" in said.read_text()):
            assert one.poll() is None, said.read_text()
            time.sleep(0.01)
        yield
    finally:
        one.send_signal(signal.SIGKILL)
        assert one.wait() == -signal.SIGKILL


@pytest.mark.fault("killed pass")
def test_a_killed_copy_goes_on_to_the_same_manifest_whenever_it_is_killed(
    tmp_path, record_property
):
    plan = plan_of(tmp_path / "from", 9)
    whole = resized_copy(plan, tmp_path / "whole", 20)
    record_property("tries", 4)
    for stop in (1, 2, 6, 9):
        copy = tmp_path / f"killed{stop}"
        with making(copy, stop):
            pass
        half = copy / "val" / "a0" / f".0.jpg.{unique()}.tmp"  # killed between writing and renaming
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(b"half")
        with pytest.raises(DeconvError, match="an unfinished copy: run the command that makes it"):
            photographs("imagefolder", copy, "val", 16)
        resized_copy(plan, copy, 20)
        assert files(copy) == files(whole)
        assert all((copy / n).read_bytes() == (whole / n).read_bytes() for n in files(whole))


@pytest.mark.fault("shared cache")
def test_a_copy_that_another_process_makes_is_left_to_it(tmp_path):
    plan = plan_of(tmp_path / "from", 9)
    with making(tmp_path / "to", 4):
        before = files(tmp_path / "to")
        with pytest.raises(DeconvError, match=r"another process makes the copy .*to: wait for it"):
            resized_copy(plan, tmp_path / "to", 20)
        assert files(tmp_path / "to") == before
    assert verify(resized_copy(plan, tmp_path / "to", 20)) == []


HARMS = {
    "changed": (r"a0/2\.jpg is not what the manifest of its copy says: run the command that made"),
    "black": (r"a0/2\.jpg is not what the manifest of its copy says: run the command that made"),
    "missing": r"a0/2\.jpg is not there \(1 such\): run the command .* or, if the change is meant,",
    "no class": r"a1/1\.jpg is not there \(4 such\): run the command",
    "unlisted": r"a0/9\.jpg is not listed \(1 such\): run the command",
}


@pytest.mark.fault("shared cache")
@pytest.mark.parametrize("harm", HARMS)
def test_a_prepared_copy_is_compared_with_its_manifest_as_it_is_read(tmp_path, harm):
    copy = resized_copy(plan_of(tmp_path / "from", 9), tmp_path / "to")
    intact = photographs("imagefolder", copy, "val", 16)
    assert all(isinstance(intact[i][1], int) for i in range(9)) and len(intact) == 9
    path = copy / "val" / "a0" / "2.jpg"
    if harm == "changed":
        data = bytearray(path.read_bytes())
        data[-20] ^= 1  # of the picture: it is decoded all the same
        path.write_bytes(data)
    elif harm == "black":
        Image.new("RGB", (40, 30)).save(path)
    elif harm == "no class":
        shutil.rmtree(copy / "val" / "a1")
    elif harm == "missing":
        path.unlink()
    else:
        shutil.copy(path, path.with_name("9.jpg"))

    def read():
        data = photographs("imagefolder", copy, "val", 16)
        return [data[i] for i in range(len(data))]

    with pytest.raises(DeconvError, match=HARMS[harm]):
        read()
    (copy / "manifest.sha256").unlink()
    assert len(read()) == {"no class": 5, "missing": 8, "unlisted": 10}.get(harm, 9)


def _interrupts_blocked(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_workers_never_see_ctrl_c_not_even_while_they_start():
    """One that dies of it while it imports would print a traceback over the answer."""
    assert all(processes.mapped(_interrupts_blocked, range(3), 1))
    assert not _interrupts_blocked(None), "this process still sees it"
