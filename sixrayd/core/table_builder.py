"""A table of rows that become columns while they come, so that millions take no objects."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

_WAITING = 10_000  # rows that are objects


class TableBuilder:
    """Rows of a table, in the order in which they come; columns take a tenth of objects' memory."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._waiting: list[Mapping[str, Any]] = []
        self._tables = [schema.empty_table()]

    def __len__(self) -> int:
        return len(self._waiting) + sum(map(len, self._tables))

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one."""
        self._waiting.append(row)
        if len(self._waiting) == _WAITING:
            self._settle()

    def table(self) -> pa.Table:
        """All of them, of the schema."""
        self._settle()
        return pa.concat_tables(self._tables)

    def _settle(self) -> None:
        if self._waiting:
            self._tables.append(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting.clear()
