import pytest

from storage.errors import InvalidInput
from storage.tables.file_stems import FileStems

LLP = ("_a-b_c_d-ef_10_20", "AP0061o0Nvk_101.8_111.8", "7nSYwyaP4QE_50_60")
OWN = ("birthday_party_morning", "birthday_party_evening", *LLP)


def test_ids_of_llp_are_cut():
    stems = FileStems(LLP)
    assert [stems.short(name) for name in LLP] == ["_a-b_c_d-ef", "AP0061o0Nvk", "7nSYwyaP4QE"]
    assert stems.possible(LLP[2]) == ("7nSYwyaP4QE", LLP[2])
    assert stems.clips()["AP0061o0Nvk"] == stems.clips()[LLP[1]] == LLP[1]
    assert not stems.shared


@pytest.mark.parametrize("ids", [OWN, OWN[:2], ("a_name_of_mine_0", *LLP), ("elevenchars1_2", *LLP)])
def test_other_ids_are_never_cut(ids):
    stems = FileStems(ids)
    assert [stems.short(name) for name in ids] == list(ids)
    assert stems.clips() == {name: name for name in ids}
    assert not stems.shared


def test_short_ids_of_ones_own_do_not_keep_llp_from_being_cut():
    assert FileStems(("v1", "AAAAAAAAAAA", *LLP)).short(LLP[0]) == "_a-b_c_d-ef"


def test_the_whole_id_comes_first():
    stems = FileStems(LLP)
    assert stems.find(LLP[0], {LLP[0], LLP[0][:11]}.__contains__, where="here") == LLP[0]
    assert stems.find(LLP[0], {LLP[0][:11]}.__contains__, where="here") == LLP[0][:11]
    assert stems.find(LLP[0], set().__contains__, where="here") is None


def test_a_name_of_two_clips():
    stems = FileStems(("7nSYwyaP4QE_50_60", "7nSYwyaP4QE_60_70"))
    assert stems.shared == {"7nSYwyaP4QE": stems.ids}
    assert "7nSYwyaP4QE" not in stems.clips()
    assert stems.find(stems.ids[1], {stems.ids[1]}.__contains__, where="here") == stems.ids[1]
    with pytest.raises(InvalidInput, match=r"^here: '7nSYwyaP4QE_50_60' and '7nSYwyaP4QE_60_70' would share the name"):
        stems.find(stems.ids[1], {"7nSYwyaP4QE"}.__contains__, where="here")


def test_an_id_that_is_anothers_youtube_id_keeps_its_file():
    stems = FileStems(("7nSYwyaP4QE", "7nSYwyaP4QE_50_60"))
    assert stems.clips()["7nSYwyaP4QE"] == "7nSYwyaP4QE"
    with pytest.raises(InvalidInput, match="would share"):
        stems.find("7nSYwyaP4QE_50_60", {"7nSYwyaP4QE"}.__contains__, where="here")
