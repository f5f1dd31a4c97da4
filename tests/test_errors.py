"""Messages: one line that any terminal can show, of bounded length, whatever names they hold."""

import os
import pickle
import subprocess
import sys

import pytest

from ganzoo.errors import LONGEST, UserError, printable, several
from ganzoo.interop.reading.machine import named

HOSTILE = "a\nb\r\x1b[2J\x9b\u202e\u2066\u2028\x00\x7f\udcff\ud800\ue000\ufeff"


@pytest.mark.parametrize("text", [HOSTILE, HOSTILE * 1000, "x" * 5000, "\n" * 499, b"\xff\n", ValueError(HOSTILE), 3])
@pytest.mark.parametrize("made", [UserError, lambda text: UserError(f"{text}: cannot be read; repair it")])
def test_a_message_is_one_printable_line_whatever_it_is_made_of(text, made):
    message = str(made(text))
    assert message.isprintable()
    assert len(message) <= LONGEST
    assert message.encode("utf-8")


def test_a_long_message_keeps_the_thing_and_the_remedy():
    message = str(UserError(f"set.zip: {'x' * 9000}; pack it again"))
    assert message.startswith("set.zip: x")
    assert message.endswith("x; pack it again")
    assert len(message) == LONGEST


@pytest.mark.parametrize("text", ["", "plain", "für 画 é", 'it\'s \\ "quoted"', "x" * 100])
def test_ordinary_texts_stay_as_they_are(text):
    assert printable(text) == text
    assert str(UserError(text)) == text


def test_what_cannot_be_shown_is_escaped():
    assert printable("\n\x1b\u202e\udcff") == r"\n\x1b\u202e\udcff"
    assert all(len(printable("\x1b" * count, 30)) <= 30 for count in range(200))


def test_names_of_objects_are_printable_too():
    assert named(HOSTILE).isprintable()
    assert named("x" * 500, 40) == printable("x" * 500, 40)


def test_an_error_survives_a_trip_to_another_process():
    assert str(pickle.loads(pickle.dumps(UserError("a\nb")))) == r"a\nb"


def test_letters_that_a_terminal_lacks_are_escaped():
    code = "from ganzoo.cli.process import guarded; guarded(lambda: print('f\\xfcr \\u753b'))"
    settings = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=settings, check=True, timeout=60)
    assert done.stdout.strip() == rb"f\xfcr \u753b"


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "utf-8:strict"}, {"LANG": "C", "LC_ALL": "C"}])
def test_a_terminal_of_any_kind_shows_it(settings):
    code = f"import sys; from ganzoo.errors import UserError; print(UserError({HOSTILE!r}), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env={**os.environ, **settings}, check=True, timeout=60
    )
    assert done.stderr.count(b"\n") == 1
    assert b"\x1b" not in done.stderr


def test_a_number_goes_with_its_noun():
    assert [several(count, "image") for count in (0, 1, 2, 1200)] == ["0 images", "1 image", "2 images", "1,200 images"]
