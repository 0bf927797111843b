"""Tables of contacts: what is written is read, and what is not as it must be is refused with file and line."""

import numpy as np
import pytest

from infinitedance.restoration.contact_files import read_contacts, write_contacts

CONTACTS = np.arange(240).reshape(60, 4) % 3 == 0


@pytest.fixture
def table(tmp_path):
    write_contacts(CONTACTS, tmp_path / "contacts.csv")
    return tmp_path / "contacts.csv"


def test_contacts_come_back_as_they_were_written(table):
    np.testing.assert_array_equal(read_contacts(table, 60), CONTACTS)


def test_the_mark_of_utf8_line_ends_of_windows_and_spaces_change_nothing(table):
    text = table.read_text().replace(",", ", ").replace("\n", "\r\n")
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    np.testing.assert_array_equal(read_contacts(table, 60), CONTACTS)


def test_columns_are_found_by_name(table):
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([row[4], "x", *row[:4]]) for row in rows))
    np.testing.assert_array_equal(read_contacts(table, 60), CONTACTS)


def swapped(lines):
    return [*lines[:5], lines[6], lines[5], *lines[7:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0].replace("left_ankle", "ankle"), *lines[1:]], "it lacks left_ankle"),
        (lambda lines: [lines[0].replace("frame", "time"), *lines[1:]], "it lacks frame"),
        (lambda lines: [lines[0] + ",frame", *lines[1:]], "must name each column once"),
        (lambda lines: [], "it lacks all"),
        (lambda lines: [line.replace(",", ";") for line in lines], "must be separated by commas"),
        (swapped, "line 6, frame 4: `frame` must count 0, 1, 2, ... without gaps, got '5'"),
        (lambda lines: [*lines[:8], *lines[9:]], "line 9, frame 7: `frame` must count .* got '8'"),
        (lambda lines: [*lines[:8], lines[7], *lines[8:]], "line 9, frame 7: `frame` must count .* got '6'"),
        (lambda lines: lines[:-1], "a row for each of the 60 frames of the clip, got 59"),
        (lambda lines: [*lines, "60,0,0,0,0"], "line 62, frame 60: there must be no more rows than the 60 frames"),
        (lambda lines: [*lines, ""], "line 62, frame 60: there must be no more rows"),
        (lambda lines: [lines[0], "0,1,2,0,0", *lines[2:]], "line 2, frame 0: `right_ankle` must be 0 or 1, got '2'"),
        (lambda lines: [lines[0], "0,1,nan,0,0", *lines[2:]], "line 2, frame 0: `right_ankle` must be .* got 'nan'"),
        (lambda lines: [lines[0], "0,1,,0,0", *lines[2:]], "line 2, frame 0: `right_ankle` must be .* got ''"),
        (lambda lines: [lines[0], "nan,1,0,0,0", *lines[2:]], "line 2, frame 0: `frame` must count .* got 'nan'"),
        (lambda lines: [lines[0], "0,1,0,0", *lines[2:]], "line 2, frame 0: there must be 5 values, got 4"),
        (lambda lines: [lines[0], '0,1,0,0,"0' + "0" * 200_000, *lines[2:]], "comma-separated values"),
    ],
)
def test_a_wrong_table_is_refused_with_its_name_and_line(change, message, table):
    table.write_text("\n".join(change(table.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=message) as error:
        read_contacts(table, 60)
    assert str(table) in str(error.value)


def test_another_encoding_is_refused_by_name(table):
    table.write_bytes(table.read_text().encode("utf-16"))
    with pytest.raises(ValueError, match="contacts.csv must be a table of comma-separated values in UTF-8"):
        read_contacts(table, 60)
