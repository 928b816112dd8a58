"""What a folder's listing holds, on each kind of storage."""

import pytest

from storage.files.opening import open_root


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    """Files of one name in a folder, in one below it, and beside it in a folder whose name begins like it."""
    found = open_root(str(tmp_path / "s") if request.param == "local" else f"memory://{tmp_path.name}/s")
    for key in ("a.1", "a.2", "b.1", "x/a.3", "x/y/a.4", "x/b.2", "xa/a.5"):
        found.put(key, b"1")
    return found


@pytest.mark.parametrize(
    ("folder", "prefix", "expected"),
    [
        ("", "a.", ["a.1", "a.2"]),
        ("", "", ["a.1", "a.2", "b.1", "x", "xa"]),
        ("", "c", []),
        ("x", "a.", ["a.3"]),
        ("x", "", ["a.3", "b.2", "y"]),
        ("x/y", "a", ["a.4"]),
        ("none", "a", []),
        ("none", "", []),
    ],
)  # fmt: skip
def test_names_are_those_of_the_folder_itself(root, folder, prefix, expected):
    assert root.names(folder, prefix=prefix) == expected


def test_a_lock_below_is_another_lock(root):
    with root.lock("ledger/net/create.lock"), root.lock("ledger/create.lock"), root.lock("create.lock"):
        pass
