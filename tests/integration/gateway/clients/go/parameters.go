package main

import (
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// prepared runs a statement once for each batch of parameters.
func prepared(text string, batches []arrow.RecordBatch, wanted []string) error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := me()
	statement, err := client.Prepare(ctx, text)
	if err != nil {
		return err
	}
	defer statement.Close(ctx)
	for i, batch := range batches {
		statement.SetParameters(batch)
		info, err := statement.Execute(ctx)
		if err != nil {
			return err
		}
		found, err := rows(ctx, client, info)
		if err := all(err, expect(found, wanted[i])); err != nil {
			return err
		}
	}
	return nil
}

func batch(types []arrow.DataType, fill func(*array.RecordBuilder)) arrow.RecordBatch {
	fields := []arrow.Field{}
	for i, kind := range types {
		fields = append(fields, arrow.Field{Name: strconv.Itoa(i + 1), Type: kind, Nullable: true})
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer builder.Release()
	fill(builder)
	return builder.NewRecordBatch()
}

func number(value int64) arrow.RecordBatch {
	return batch([]arrow.DataType{arrow.PrimitiveTypes.Int64}, func(b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(value)
	})
}

func parameters() error {
	kinds := []arrow.DataType{
		arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64, arrow.FixedWidthTypes.Boolean,
	}
	values := batch(kinds, func(b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(7)
		b.Field(1).(*array.StringBuilder).Append("name-7")
		b.Field(2).(*array.Float64Builder).Append(0.5)
		b.Field(3).(*array.BooleanBuilder).Append(true)
	})
	return prepared(sqlText("PARAMETERS"), []arrow.RecordBatch{values}, []string{"[[7]]"})
}

func otherParameters() error {
	moment := time.Date(2024, 2, 29, 23, 59, 59, 123_000_000, time.UTC)
	kinds := []arrow.DataType{
		arrow.FixedWidthTypes.Date32, &arrow.Decimal128Type{Precision: 10, Scale: 2}, &arrow.TimestampType{Unit: arrow.Nanosecond},
		arrow.BinaryTypes.Binary, arrow.PrimitiveTypes.Int32, arrow.FixedWidthTypes.Time64us,
	}
	values := batch(kinds, func(b *array.RecordBuilder) {
		b.Field(0).(*array.Date32Builder).Append(arrow.Date32FromTime(time.Date(2020, 1, 8, 0, 0, 0, 0, time.UTC)))
		b.Field(1).(*array.Decimal128Builder).Append(decimal128.FromI64(1234))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(moment.UnixNano()))
		b.Field(3).(*array.BinaryBuilder).Append([]byte{0, 1})
		b.Field(4).AppendNull()
		b.Field(5).(*array.Time64Builder).Append(arrow.Time64((12*3600 + 34*60 + 56) * 1_000_000))
	})
	return prepared(sqlText("OTHER_PARAMETERS"), []arrow.RecordBatch{values}, []string{"[[7]]"})
}

func again() error {
	text := "SELECT label FROM person WHERE person_id = ?"
	return prepared(text, []arrow.RecordBatch{number(3), number(4)}, []string{"[[name-3]]", "[[name-4]]"})
}
