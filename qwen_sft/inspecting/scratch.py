"""Tables of what a run has to remember of every sample, however many there are: a database without a name, of SQLite.

It holds some megabytes in memory and the rest in a temporary file, which goes away with it, whatever happens. The file
lies where SQLITE_TMPDIR or TMPDIR says, else in /var/tmp or /tmp.

Source: https://www.sqlite.org/inmemorydb.html, "Temporary Databases".
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

from qwen_sft.errors import OutputError


class Scratch:
    """Some tables.

    Args:
        tables: each as behind CREATE TABLE: `kept (content BLOB PRIMARY KEY, place)`.
        cache_mb: what is held in memory. Looking up keys at random takes up to a quarter longer with 4 than with 32 (a
            million hashes, 200,000 signatures); a table that is appended to and read through needs no more than 4.
    """

    def __init__(self, *tables: str, cache_mb: int = 32) -> None:
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for told in (f"cache_size = -{cache_mb * 1000}", "journal_mode = OFF", "synchronous = OFF"):
            self._base.execute(f"PRAGMA {told}")
        for table in tables:
            self._base.execute(f"CREATE TABLE {table}")
        self._base.execute("BEGIN")  # and it never ends: each statement by itself would write the file anew

    def ask(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """The rows that a statement gives.

        Raises:
            OutputError: the disk is full.
        """
        try:
            return self._base.execute(sql, values)
        except sqlite3.OperationalError as error:
            raise _full(error) from error

    def put(self, table: str, rows: Iterable[tuple[Any, ...]], n_columns: int) -> None:
        """Adds rows; one with a key that is there already is passed over.

        Raises:
            OutputError: the disk is full.
        """
        places = ", ".join("?" * n_columns)
        try:
            self._base.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({places})", rows)
        except sqlite3.OperationalError as error:
            raise _full(error) from error


def _full(error: sqlite3.OperationalError) -> OutputError:
    return OutputError(
        f"what is known of the samples so far cannot be held ({error}); it lies in a temporary file: make room, or "
        "name a folder that has some in TMPDIR"
    )
