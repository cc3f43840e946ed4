"""What a killed process left half-written goes; all else stays."""

from headstart.rundir import sweep


def test_only_what_is_half_written_goes(tmp_path):
    kept = [
        ".lock",
        "model.json",
        ".DS_Store",
        ".history.csv",
        ".history.csv.toolong_a",
        "a.history.csv.abcd1234",
    ]
    gone = [".history.csv.abcd1234", "inner/.last.safetensors.x_9zzzzz"]
    for name in (*kept, *gone, ".model.abcd1234/golden/0.image", ".model.abcd1234/.answers.json.abcd1234"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "0.image").write_text("")
    (tmp_path / ".model.linked12").symlink_to(tmp_path / "outside")

    sweep(tmp_path)

    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {*kept, "inner", "outside", "outside/0.image"}
