"""`headstart cache` as a person meets it."""

import os
import typing

from tests.cli.test_cli import headstart

from headstart import cache
from headstart.cli import cache as cli


def filled(tmp_path):
    place = tmp_path / "kept"
    for name, size in {"maps/a/1.safetensors": 2_340_000, "weights/vgg16.safetensors": 12}.items():
        (place / name).parent.mkdir(parents=True)
        (place / name).write_bytes(bytes(size))
    return os.environ | {"HEADSTART_CACHE": str(place), "TZ": "UTC"}


def test_info_then_clear_then_info(tmp_path):
    env = filled(tmp_path)
    os.utime(tmp_path / "kept/maps/a/1.safetensors", (1_700_000_000, 1_700_000_000))

    before = headstart("cache", "info", env=env)
    cleared = headstart("cache", "clear", env=env)
    after = headstart("cache", "info", env=env)

    assert before.returncode == cleared.returncode == after.returncode == 0
    rows = {line.split()[0]: line for line in before.stdout.splitlines() if line}
    assert "kept holds 2.3 MB." in before.stdout
    assert rows["maps"].split()[1:6] == ["1", "2.3", "MB", "2023-11-14", "22:13"]
    assert rows["features"].split()[1:5] == ["0", "0", "B", "–"]
    assert cleared.stdout == "freed 2.3 MB\n"
    assert "kept holds 12 B." in after.stdout
    assert (tmp_path / "kept/weights/vgg16.safetensors").exists()


def test_a_part_is_cleared_by_its_name(tmp_path):
    env = filled(tmp_path)

    wrong = headstart("cache", "clear", "wights", env=env)
    done = headstart("cache", "clear", "weights", env=env)

    assert wrong.returncode == 2
    assert "weights" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
    assert done.stdout == "freed 12 B\n"
    assert (tmp_path / "kept/maps/a/1.safetensors").exists()


def test_the_command_knows_every_part():
    assert typing.get_args(cli.Name) == (*cache.PARTS, cache.ALL)
