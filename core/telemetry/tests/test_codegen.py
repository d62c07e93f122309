from __future__ import annotations

import traceback

import pytest

from assay.telemetry._bridge.codegen import CodegenError, Source


def test_what_is_written_runs():
    source = Source("grade", "points")
    with source.block("if points > limit"):
        source.write("return good", limit=5, good="good")
    source.write(
        """
            # as the caller indents
            return 'bad'
        """
    )
    grade = source.build()
    assert (grade(6), grade(5)) == ("good", "bad")


def test_names_are_each_other_s_neither_in_one_function_nor_in_two():
    first, second = Source("f"), Source("f")
    one, other = first.bind("value", 1), first.bind("value", 2)
    second.write("return value", value=3)
    first.write(f"return {one}, {other}")
    assert (first.build()(), second.build()()) == ((1, 2), 3)


def test_a_name_means_one_thing():
    source = Source("f")
    source.write("return a", a=1)
    with pytest.raises(CodegenError, match="a is defined twice in f"):
        source.write("return a", a=2)


def test_a_traceback_shows_the_line():
    source = Source("divide", "number")
    source.write("return number / 0")
    # Kept, because linecache loses the lines with the function, which frames of Python 3.10 do not hold.
    divide = source.build()
    with pytest.raises(ZeroDivisionError) as caught:
        divide(1)
    assert "return number / 0" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["a'b", 'a"]; x', "a\nb", "a\u2028b", "{a}", "\\"])
def test_text_from_outside_is_no_code(name):
    source = Source("read", "mapping")
    source.write(f"return mapping[{name!r}]")
    assert source.build()({name: 1}) == 1
