"""Dictionary-encoded Arrow columns as plain values: DuckDB sends ENUM columns as dictionaries, and ``pyarrow.flight``'s
generator stream cannot send dictionaries (clients fail on the missing ones). Nested types are rewritten as well.
"""

from __future__ import annotations

import pyarrow as pa


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The same type without dictionaries anywhere in it."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(index)) for index in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(plain_type(field.type))


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The same schema without dictionaries; the same object when there are none."""
    if not any(pa.types.is_dictionary(kind) or pa.types.is_nested(kind) for kind in schema.types):
        return schema
    fields = [_plain_field(field) for field in schema]
    return schema if all(a.type == b.type for a, b in zip(schema, fields, strict=True)) else pa.schema(fields)


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` with the types of ``schema``, which is ``plain_schema`` of its own."""
    if batch.schema.equals(schema):
        return batch
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
