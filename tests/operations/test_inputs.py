import os
from pathlib import Path

from earwitness.operations.inputs import find_files, read_list


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_folders_are_searched_and_sorted_and_other_files_counted(tmp_path):
    wanted = [touch(tmp_path / name) for name in ("a.wav", "b/c.MP3", "b/d/e.m4a", "f.mkv")]
    touch(tmp_path / "notes.txt")
    found = find_files([tmp_path])
    assert found.paths == wanted
    assert found.skipped == 1


def test_each_file_once_however_it_is_reached(tmp_path):
    file = touch(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "same.wav").symlink_to(file)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    found = find_files(
        [tmp_path / "in", tmp_path / "in", file, tmp_path / "link", tmp_path / "in" / ".." / "in"]
    )
    assert found.paths == [file]


def test_loops_of_links_end(tmp_path):
    file = touch(tmp_path / "a" / "x.wav")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self.wav").symlink_to(tmp_path / "a" / "self.wav")
    found = find_files([tmp_path])
    assert file in found.paths
    assert len(found.paths) == 2  # the link to itself gets its record too


def test_a_named_file_is_kept_whatever_it_is_called(tmp_path):
    odd = touch(tmp_path / "recording")
    assert find_files([odd, tmp_path / "missing.xyz"]).paths == [odd, tmp_path / "missing.xyz"]


def test_lists_by_line_or_by_nul():
    assert read_list(b"a.wav\r\nb c.wav\n\n") == [Path("a.wav"), Path("b c.wav")]
    assert read_list(b"a\nb.wav\0c.wav\0") == [Path("a\nb.wav"), Path("c.wav")]
    (odd,) = read_list(b"bad\xff.wav\n")
    assert os.fsencode(odd) == b"bad\xff.wav"
    assert read_list(b"") == []
