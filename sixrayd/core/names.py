"""Names in tables, which may be a stranger's: none leaves its folder or forges a line."""

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core import image_ids
from sixrayd.core.classes import is_class_name
from sixrayd.core.errors import WorkspaceError, printable
from sixrayd.core.records import Kind, Role

_ID = rf"\A({image_ids.START}{image_ids.LETTERS}*)?\z"  # none where a row is of no image
_FILE = r"\w[\w.\-]*"
_PLAIN = {"image_id": _ID, "other_id": _ID, "group": _ID, "target": _ID, "shard": rf"\A{_FILE}\z"}
_PLAIN |= dict.fromkeys(("split", "side"), rf"\A({_FILE})?\z")  # folders of an export
_CLASSES = ("label", "labels")
_WORDS = {"kind": [str(kind) for kind in Kind], "role": [str(role) for role in Role]}


def check_names(table: pa.Table, where: str) -> None:
    """Refuse a table with names that are no plain ones, or with images of no known kind or role.

    Args:
        where: names the table in messages.

    Raises:
        WorkspaceError: an id, the name of a shard, of a split, of a side or of a class is none;
            a kind is none of `Kind`, a role none of `Role`.
    """
    for name in table.schema.names:
        _check(name, table[name], where)


def _check(name: str, column: pa.ChunkedArray, where: str) -> None:
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        column = pa.chunked_array(
            [chunk.flatten() for chunk in column.chunks], column.type.value_type
        )
    if pa.types.is_struct(column.type):
        for number, field in enumerate(column.type):
            parts = [chunk.field(number) for chunk in column.chunks]
            _check(field.name, pa.chunked_array(parts, field.type), where)
    if not pa.types.is_string(column.type):
        return
    what = "plain name"
    if name in _PLAIN:
        fits = pc.less_equal(pc.binary_length(column), image_ids.MOST_LETTERS)
        plain = pc.and_(pc.match_substring_regex(column, _PLAIN[name]), fits)
        found = column.filter(pc.invert(plain)).slice(0, 1).to_pylist()
    elif name in _WORDS:
        what = f"known {name}"
        known = pc.or_kleene(pc.is_in(column, pa.array(_WORDS[name])), pc.is_null(column))
        found = column.filter(pc.invert(known)).slice(0, 1).to_pylist()
    elif name in _CLASSES:
        names = pc.unique(column).to_pylist()
        found = [said for said in names if said and not is_class_name(said)][:1]
    else:
        return
    if found:
        raise WorkspaceError(
            f"{where}: {name} {printable(repr(found[0]), 100)}: no {what}; refused, since "
            "sixrayd writes none such: take the file from where you trust it"
        )
