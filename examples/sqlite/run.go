package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/stead-io/stead/api"
)

// Limits of one request.
const (
	databaseMax   = 12 << 20 // bytes; a record carries at most so many, and has to fit into one frame
	statementsMax = 1000
	rowsMax       = 10_000 // of all results together
	runMax        = 5 * time.Second
)

// statement is one SQL statement with what stands for its parameters: strings, numbers, booleans, null, or
// {"blob": base64}.
type statement struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args,omitempty"`
}

// result is what one statement led to.
type result struct {
	Columns      []string `json:"columns,omitempty"`
	Rows         [][]any  `json:"rows,omitempty"`
	RowsAffected int64    `json:"rows_affected"`
	LastInsertID int64    `json:"last_insert_id,omitempty"`
}

// errReadOnly says that statements would have written, where they must not.
var errReadOnly = errors.New("the statements write")

// run runs statements in one transaction on a copy of a database's file, and returns the file as it is then.
// Nobody else sees the copy, so whatever goes wrong is forgotten with it. The copy is never synced.
func run(ctx context.Context, file []byte, statements []statement, readOnly bool) (results []result, after []byte, err error) {
	folder, err := os.MkdirTemp("", "stead-sqlite-")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot copy database: %w", err)
	}
	defer os.RemoveAll(folder)
	path := folder + "/copy.db"
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return nil, nil, fmt.Errorf("cannot copy database: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, runMax)
	defer cancel()
	if results, err = runOn(ctx, path, statements, readOnly); err != nil || readOnly {
		return results, file, err
	}
	if after, err = os.ReadFile(path); err != nil {
		return nil, nil, fmt.Errorf("cannot read the copy: %w", err)
	}
	return results, after, checkFile(after)
}

func runOn(ctx context.Context, path string, statements []statement, readOnly bool) (_ []result, err error) {
	pragmas := url.Values{"_pragma": {"journal_mode(MEMORY)", "synchronous(OFF)", "foreign_keys(1)", "temp_store(MEMORY)",
		fmt.Sprintf("max_page_count(%d)", databaseMax/pageSize)}}
	if readOnly {
		pragmas.Add("_pragma", "query_only(1)")
	}
	db, err := sql.Open("sqlite", "file:"+path+"?"+pragmas.Encode())
	if err != nil {
		return nil, fmt.Errorf("cannot open the copy: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot open the copy: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// No statement reaches another file of the node: neither ATTACH nor VACUUM INTO.
	if _, err := sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_ATTACHED, 0); err != nil {
		return nil, fmt.Errorf("cannot open the copy: %w", err)
	}
	return inTransaction(ctx, conn, statements)
}

func inTransaction(ctx context.Context, conn *sql.Conn, statements []statement) ([]result, error) {
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return nil, fmt.Errorf("cannot begin: %w", err)
	}
	results := make([]result, 0, len(statements))
	rows := 0
	for i, s := range statements {
		got, err := execute(ctx, conn, s, rowsMax-rows)
		if err != nil {
			return nil, sqlProblem(fmt.Sprintf("statements[%d]", i), err)
		}
		rows += len(got.Rows)
		results = append(results, got)
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return nil, sqlProblem("statements", err) // one of them ended the transaction
	}
	return results, nil
}

func execute(ctx context.Context, conn *sql.Conn, s statement, rowsLeft int) (result, error) {
	args, err := arguments(s.Args)
	if err != nil {
		return result{}, err
	}
	before, _, err := changes(ctx, conn)
	if err != nil {
		return result{}, err
	}
	got, err := query(ctx, conn, s.SQL, args, rowsLeft)
	if err != nil {
		return result{}, err
	}
	after, last, err := changes(ctx, conn)
	if got.RowsAffected = after - before; got.RowsAffected > 0 {
		got.LastInsertID = last
	}
	return got, err
}

func changes(ctx context.Context, conn *sql.Conn) (total, last int64, err error) {
	err = conn.QueryRowContext(ctx, "SELECT total_changes(), last_insert_rowid()").Scan(&total, &last)
	return total, last, err
}

func query(ctx context.Context, conn *sql.Conn, text string, args []any, rowsLeft int) (got result, err error) {
	rows, err := conn.QueryContext(ctx, text, args...)
	if err != nil {
		return got, err
	}
	defer rows.Close()
	if got.Columns, err = rows.Columns(); err != nil {
		return got, err
	}
	for rows.Next() {
		if rowsLeft--; rowsLeft < 0 {
			return got, fmt.Errorf("more than %d rows", rowsMax)
		}
		row := make([]any, len(got.Columns))
		for i := range row {
			row[i] = &row[i]
		}
		if err := rows.Scan(row...); err != nil {
			return got, err
		}
		for i, value := range row {
			if blob, is := value.([]byte); is {
				row[i] = map[string]string{"blob": base64.StdEncoding.EncodeToString(blob)}
			}
		}
		got.Rows = append(got.Rows, row)
	}
	return got, rows.Err()
}

// arguments are what JSON says of them.
func arguments(given []any) ([]any, error) {
	args := make([]any, len(given))
	for i, value := range given {
		switch value := value.(type) {
		case json.Number:
			if whole, err := value.Int64(); err == nil {
				args[i] = whole
				continue
			}
			number, err := value.Float64()
			if err != nil {
				return nil, fmt.Errorf("args[%d]: %w", i, err)
			}
			args[i] = number
		case map[string]any:
			text, _ := value["blob"].(string)
			blob, err := base64.StdEncoding.DecodeString(text)
			if err != nil || len(value) != 1 {
				return nil, fmt.Errorf(`args[%d] is not {"blob": base64}`, i)
			}
			args[i] = blob
		case []any:
			return nil, fmt.Errorf("args[%d] is a list", i)
		default:
			args[i] = value
		}
	}
	return args, nil
}

// sqlProblem says which statement is at fault and why; errReadOnly passes as it is.
func sqlProblem(field string, err error) error {
	var failed *sqlite.Error
	if errors.As(err, &failed) && failed.Code()&0xff == sqlite3.SQLITE_READONLY {
		return errReadOnly
	}
	if errors.As(err, &failed) && failed.Code()&0xff == sqlite3.SQLITE_FULL {
		return tooLarge()
	}
	return api.NewProblem(api.CodeInvalid, "%s", strings.TrimPrefix(err.Error(), "SQL logic error: ")).InField(field)
}

func tooLarge() *api.Problem {
	return api.NewProblem(api.CodeTooLarge, "the database would be larger than %d bytes; nothing was changed", databaseMax)
}

// checkFile refuses a file that records could not carry.
func checkFile(file []byte) error {
	switch {
	case len(file) > databaseMax:
		return tooLarge()
	case len(file) == 0:
		return nil
	case !bytes.HasPrefix(file, []byte("SQLite format 3\x00")) || len(file)%pageSize != 0 || binary.BigEndian.Uint16(file[16:]) != pageSize:
		return api.NewProblem(api.CodeInvalid, "the database's pages would not be of %d bytes; nothing was changed", pageSize)
	default:
		return nil
	}
}
