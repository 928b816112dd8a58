import pytest

from storage.errors import InvalidInput, WeightsError
from storage.foreign_files import reading, reason_of
from storage.text import kind_of_reason, lines_of, name_key, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 👩‍👧", "plain é 日本 👩‍👧"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\tc\x85\u2028", r"a\nb\tc\x85\u2028"),
        ("name\u202egpm.exe", r"name\u202egpm.exe"),
        ("bad\udcff", r"bad\udcff"),
        (3, "3"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


def test_visible_cuts_off_what_is_long():
    assert visible("x" * 100, limit=5) == "xxxx…"
    assert visible("\x1b" * 5, limit=5) == r"\x1b" * 5


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_only_newlines_end_a_line(end):
    odd = ["a\u2028b\u2029", "\x0bc\x0c", "\x1cd\x1d\x1ee\x85"]
    assert lines_of(end.join(odd)) == odd
    assert lines_of(end.join(odd) + end) == odd
    assert lines_of(f"a{end}{end}b") == ["a", "", "b"]
    assert lines_of("") == []


def test_names_are_compared_by_their_letters():
    assert name_key("cafe\u0301") == name_key("caf\u00e9")
    assert name_key("cafe") != name_key("caf\u00e9")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError("\x1b[2Jgone"), r"\x1b[2Jgone"),
        (KeyError("x"), "KeyError: 'x'"),
        (RecursionError("maximum depth"), "maximum depth"),
        (MemoryError(), "it claims more memory than there is"),
        (AttributeError(), "AttributeError"),
        (FileNotFoundError(2, "No such file or directory", "\x1b"), "No such file or directory"),
    ],
)
def test_any_exception_of_a_reader_becomes_one_line(problem, said):
    assert reason_of(problem) == said
    with pytest.raises(WeightsError) as caught, reading("a\x1bb", "no good", error=WeightsError, remedy="Try again"):
        raise problem
    assert str(caught.value) == rf"a\x1bb: no good: {said}. Try again"


def test_our_own_errors_and_ctrl_c_pass_through():
    with pytest.raises(InvalidInput, match=r"^ours$"), reading("a", "b", error=WeightsError):
        raise InvalidInput("ours")
    with pytest.raises(KeyboardInterrupt), reading("a", "b", error=WeightsError):
        raise KeyboardInterrupt


def test_reasons_that_differ_in_numbers_are_of_one_kind():
    one, other = "h264 @ 0x55aa: 32 of 80 frames, 1.5 s", "h264 @ 0x66bb: 7 of 80 frames, 0.25 s"
    assert kind_of_reason(one) == kind_of_reason(other) == "h264 @ N: N of N frames, N s"
