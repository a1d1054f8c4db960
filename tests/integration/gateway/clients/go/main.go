package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/flight/flightsql"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

func connect() (*flightsql.Client, error) {
	target, transport, err := door()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16 << 20)), // gRPC for Go takes 4 MiB unless told otherwise
	}
	return flightsql.NewClient(target, nil, nil, options...)
}

var limited, stop = context.WithTimeout(context.Background(), time.Minute)

func as(token string) context.Context {
	return metadata.AppendToOutgoingContext(limited, "authorization", "Bearer "+token)
}

func me() context.Context { return as(env("ENCLAVE_TOKEN")) }

// rows reads a whole answer; each row is its values in Arrow's own spelling.
func rows(ctx context.Context, client *flightsql.Client, info *flight.FlightInfo) ([][]string, error) {
	reader, err := client.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return nil, err
	}
	defer reader.Release()
	found := [][]string{}
	for reader.Next() {
		batch := reader.RecordBatch()
		for row := 0; row < int(batch.NumRows()); row++ {
			values := []string{}
			for _, column := range batch.Columns() {
				values = append(values, column.ValueStr(row))
			}
			found = append(found, values)
		}
	}
	return found, reader.Err()
}

func query(ctx context.Context, text string) ([][]string, error) {
	client, err := connect()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	info, err := client.Execute(ctx, text)
	if err != nil {
		return nil, err
	}
	return rows(ctx, client, info)
}

func gives(text string, wanted any) error {
	found, err := query(me(), text)
	if err != nil {
		return err
	}
	return expect(found, wanted)
}

func all(steps ...error) error { return errors.Join(steps...) }

func fails(ctx context.Context, text, sentence string) error {
	_, err := query(ctx, text)
	return refused(err, sentence)
}

func catalogue() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, person, visit := me(), flightsql.TableRef{Table: "person"}, flightsql.TableRef{Table: "visit"}
	read := func(info *flight.FlightInfo, err error) string {
		if err != nil {
			return err.Error()
		}
		found, err := rows(ctx, client, info)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(found)
	}
	pattern := "vis%"
	types := read(client.GetXdbcTypeInfo(ctx, nil))
	return all(
		expect(read(client.GetCatalogs(ctx)), "[[extract]]"),
		expect(read(client.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{})), "[[extract main]]"),
		expect(read(client.GetTables(ctx, &flightsql.GetTablesOpts{TableNameFilterPattern: &pattern})),
			"[[extract main visit BASE TABLE]]"),
		expect(read(client.GetTableTypes(ctx)), "[[BASE TABLE]]"),
		expect(read(client.GetPrimaryKeys(ctx, person)), "[]"),
		expect(read(client.GetExportedKeys(ctx, person)), "[]"),
		expect(read(client.GetImportedKeys(ctx, person)), "[]"),
		expect(read(client.GetCrossReference(ctx, person, visit)), "[]"),
		expect(strings.Contains(types, "DECIMAL") && strings.Contains(types, "VARCHAR"), true),
		expect(strings.Contains(read(client.GetSqlInfo(ctx, []flightsql.SqlInfo{flightsql.SqlInfoFlightSqlServerName})),
			"Enclave gateway"), true),
	)
}

func large() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := me()
	info, err := client.Execute(ctx, sqlText("LARGE"))
	if err != nil {
		return err
	}
	reader, err := client.DoGet(ctx, info.Endpoint[0].Ticket)
	if err != nil {
		return err
	}
	defer reader.Release()
	characters := 0
	for reader.Next() {
		wide := reader.RecordBatch().Column(1).(*array.String)
		for row := 0; row < wide.Len(); row++ {
			characters += len(wide.Value(row))
		}
	}
	wanted, _ := strconv.Atoi(env("LARGE_CHARACTERS"))
	return all(reader.Err(), expect(characters, wanted))
}

func types() error {
	wanted := []string{
		"-128", "9223372036854775807", "12345678901234567890123456789.123456789", "1.5", "true", "2024-02-29",
		"2024-02-29T23:59:59.123456", "2024-02-29T12:00:00Z", "12:34:56.789000", "(null)", env("ODD_TEXT"), "AP8=",
		"[1,null,3]", `{"a":1,"b":"x"}`,
	}
	return gives(sqlText("TYPES"), [][]string{wanted})
}

func columnsFirst() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := me()
	statement, err := client.Prepare(ctx, "SELECT label, seen_on FROM person WHERE person_id = ? AND seen_on < ?")
	if err != nil {
		return err
	}
	defer statement.Close(ctx)
	columns, taken := statement.DatasetSchema(), statement.ParameterSchema()
	asked, err := client.GetExecuteSchema(ctx, "SELECT label FROM person")
	if err != nil {
		return err
	}
	answered, err := flight.DeserializeSchema(asked.GetSchema(), memory.DefaultAllocator)
	if err != nil {
		return err
	}
	return all(
		expect(columns.Field(0).Type, "utf8"), expect(columns.Field(1).Type, "date32"),
		expect(taken.Field(0).Type, "int64"), expect(taken.Field(1).Type, "date32"),
		expect(answered.Field(0).Name, "label"),
	)
}

func helpers() error {
	described, err := query(me(), "DESCRIBE visit")
	summarized, err2 := query(me(), "SUMMARIZE visit")
	plan, err3 := query(me(), "EXPLAIN SELECT label FROM person")
	return all(
		err, err2, err3, gives("SHOW TABLES", "[[person] [visit]]"), expect(len(described), 3), expect(len(summarized), 3),
		expect(strings.Contains(strings.ToUpper(fmt.Sprint(plan)), "SCAN"), true),
	)
}

func cancel() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, started := me(), time.Now()
	info, err := client.Execute(ctx, sqlText("LONG"))
	if err != nil {
		return err
	}
	answer := make(chan string, 1)
	go func() {
		time.Sleep(time.Second)
		result, err := client.CancelFlightInfo(me(), &flight.CancelFlightInfoRequest{Info: info})
		answer <- fmt.Sprintf("%v %v", result.GetStatus(), err)
	}()
	_, err = rows(ctx, client, info)
	if err == nil || time.Since(started) > 10*time.Second {
		return fmt.Errorf("the cancelled query ended with %v after %v", err, time.Since(started))
	}
	return expect(<-answer, "CANCEL_STATUS_CANCELLED <nil>")
}

func write() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.ExecuteUpdate(me(), sqlText("WRITE"))
	return all(refused(err, "read-only"), fails(me(), sqlText("WRITE"), "read-only"))
}

func ingest() error {
	client, err := connect()
	if err != nil {
		return err
	}
	defer client.Close()
	one := number(1)
	reader, _ := array.NewRecordReader(one.Schema(), []arrow.RecordBatch{one})
	options := &flightsql.ExecuteIngestOpts{
		Table: "person", TableDefinitionOptions: &flightsql.TableDefinitionOptions{
			IfNotExist: flightsql.TableDefinitionOptionsTableNotExistOptionFail,
			IfExists:   flightsql.TableDefinitionOptionsTableExistsOptionAppend,
		},
	}
	_, err = client.ExecuteIngest(me(), reader, options)
	return refused(err, "read-only")
}

func pivot() error {
	return all(
		gives(sqlText("PIVOT"), "[[2500 2500]]"), gives(sqlText("UNPIVOT"), "[[a 1] [b 2]]"),
		fails(me(), sqlText("OPEN_PIVOT"), "ON column IN ("),
	)
}

func main() {
	defer stop()
	for _, item := range []check{
		{"connect", func() error { return gives("SELECT 1 AS one", "[[1]]") }},
		{"wrong token refused", func() error { return fails(as(env("ENCLAVE_WRONG_TOKEN")), "SELECT 1", "altered or from") }},
		{"expired token refused", func() error { return fails(as(env("ENCLAVE_EXPIRED_TOKEN")), "SELECT 1", "expired") }},
		{"catalogue", catalogue},
		{"rows and aggregates", func() error {
			return all(gives(sqlText("SIMPLE"), "[[0 name-0] [1 name-1]]"), gives(sqlText("AGGREGATE"), "[[F 2500] [M 2500]]"))
		}},
		{"result over 64 MiB", large},
		{"parameters: numbers, text", parameters},
		{"parameters: other types", otherParameters},
		{"prepared, run again", again},
		{"types", types},
		{"columns before running", columnsFirst},
		{"SHOW, DESCRIBE, EXPLAIN", helpers},
		{"PIVOT", pivot},
		{"partitions", func() error { return errNotOffered }},
		{"cancel", cancel},
		{"refusal is a sentence", func() error { return fails(me(), sqlText("REFUSED"), "It holds: person, visit") }},
		{"write refused", write},
		{"ingest refused", ingest},
	} {
		if wanted(item.name) {
			report(item)
		}
	}
}
