"""The error tree: what kind of trouble has which exit code, and how names are listed in a sentence."""

import errno
import os

import av
import pytest

from latentseq import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.LatentseqError, 1),
        (errors.UsageError, 2),
        (errors.DataError, 65),
        (errors.PluginError, 70),
        (errors.TryAgainError, 75),
    ],
)
def test_every_kind_has_its_exit_code(kind, code):
    assert issubclass(kind, errors.LatentseqError)
    assert kind("Why.").exit_code == code
    assert str(kind("Why.")) == "Why."


def test_no_kind_is_another():
    kinds = errors.LatentseqError.__subclasses__()
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert not any(issubclass(a, b) for a in kinds for b in kinds if a is not b)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [([], "none"), (["b"], "b"), (["b", "a"], "a and b"), ({"c", "a", "b"}, "a, b and c"), (iter("ba"), "a and b")],
)
def test_names_are_listed_in_order(names, sentence):
    assert errors.join_names(names) == sentence


@pytest.mark.parametrize(
    ("name", "hint"),
    [("movng-digits", "Did you mean 'moving-digits'? "), ("vae", "Did you mean 'vae'? "), ("zebra", ""), ("", "")],
)
def test_a_hint_is_given_where_a_name_is_close(name, hint):
    assert errors.did_you_mean(name, ["vae", "moving-digits", "moving-squares"]) == hint


AGAIN = "Run the same command again. If the error stays, check the disk and copy the file again."


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT]
)
def test_a_file_that_cannot_be_read_now(number):
    cause = OSError(number, os.strerror(number))
    told = f"a.mp4 could not be read now: {os.strerror(number)}. {AGAIN}"
    assert str(errors.retry_error("a.mp4", cause)) == told
    assert str(errors.retry_error("a.mp4", caused(errors.DataError("It is damaged."), cause))) == told


@pytest.mark.parametrize(
    ("cause", "number"),
    [
        (
            OSError("Unable to open file (name = '', errno = 24, error message = 'Too many open files')"),
            errno.EMFILE,
        ),
        (RuntimeError("I/O error: Stale file handle (os error 116)"), errno.ESTALE),
        (av.error.OSError(errno.EMFILE, "Too many open files"), errno.EMFILE),
        (av.error.TimeoutError(errno.ETIMEDOUT, "Connection timed out"), errno.ETIMEDOUT),
    ],
)
def test_libraries_have_ways_of_their_own_to_say_so(cause, number):
    assert str(errors.retry_error("a", cause)) == f"a could not be read now: {os.strerror(number)}. {AGAIN}"


@pytest.mark.parametrize(
    "cause",
    [
        None,
        "errno = 24, error message",
        ValueError("errno 24"),
        OSError("expected a regular file"),
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.ENOENT, "No such file or directory"),
        av.error.OSError(errno.EIO, "Input/output error"),  # What FFmpeg also says of damage.
        av.error.InvalidDataError(1094995529, "Invalid data found when processing input"),
    ],
)
def test_everything_else_is_about_the_file_itself(cause):
    assert errors.retry_error("a", cause) is None


def test_a_signal_is_nobodys_fault():
    assert errors.is_fault(ValueError()) and errors.is_fault(SystemExit(1)) and errors.is_fault(SystemExit(None))
    assert not errors.is_fault(SystemExit(143)) and not errors.is_fault(KeyboardInterrupt())
    assert errors.cause_of(ValueError("No.")) == "ValueError: No"
    assert errors.cause_of(ZeroDivisionError()) == "ZeroDivisionError"
    assert errors.cause_of(SystemExit(1)) == ("it called sys.exit(1), but it should raise an exception")
