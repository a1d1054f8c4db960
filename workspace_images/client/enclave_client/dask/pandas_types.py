"""Arrow as pandas with the same column types in every partition, whatever a partition happens to hold.

pandas' own choice turns whole numbers into floats where a partition has a NULL. Here floats and time stamps are NumPy's
(NULL is NaN or NaT) and everything else stays Arrow, where NULL is NA as in SQL. pandas' nullable types (Int64) would
serve as well, but their comparisons cannot be combined by ``&`` with those of Arrow's text, dates and decimals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas
    import pyarrow


def pandas_type(kind: pyarrow.DataType) -> Any:
    """The pandas extension type of a column; None where pandas' own choice is the same for every partition."""
    import pandas
    import pyarrow.types as types

    if types.is_string(kind):
        return pandas.StringDtype("pyarrow")
    if has_null_as_nan(kind):
        return None
    return pandas.ArrowDtype(kind)


def has_null_as_nan(kind: pyarrow.DataType) -> bool:
    """True for floats and time stamps: there NULL is a value that differs from every other."""
    import pyarrow.types as types

    return bool(types.is_floating(kind) or types.is_timestamp(kind))


def as_frame(table: pyarrow.Table) -> pandas.DataFrame:
    """A DataFrame with a plain index; ``table`` may be empty, and is given up."""
    return table.to_pandas(types_mapper=pandas_type, self_destruct=True, split_blocks=True, ignore_metadata=True)
