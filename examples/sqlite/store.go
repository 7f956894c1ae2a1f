package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ownership"
	"github.com/stead-io/stead/nodesvc"
)

// readersMax is how many databases are read from the store at once, and views held.
const readersMax = 8

// schema: a database is the pages of its file. They lie in one SQLite file for all databases of the node, so
// that what a record changes and the record's number are written in one transaction.
const schema = `
CREATE TABLE IF NOT EXISTS slots (slot INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pages (slot INTEGER, key BLOB, number INTEGER, content BLOB NOT NULL, PRIMARY KEY (slot, key, number));
`

// store keeps the databases of the slots: it is the service that the node replicates. A commit need not be
// synced, so SQLite runs with a write-ahead log that Sync alone syncs: a crash leaves some earlier commit.
type store struct {
	path   string
	writer *sql.DB // of one connection
	reader *sql.DB
}

func openStore(folder string) (*store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the store: %w", err)
	}
	s := &store{path: filepath.Join(folder, "pages.db")}
	pragmas := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "busy_timeout(10000)"}}
	var err error
	if s.writer, err = sql.Open("sqlite", "file:"+s.path+"?"+pragmas.Encode()); err != nil {
		return nil, err
	}
	s.writer.SetMaxOpenConns(1)
	if _, err = s.writer.Exec(schema); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open store %s: %w", s.path, err), s.writer.Close())
	}
	pragmas.Add("_pragma", "query_only(1)")
	if s.reader, err = sql.Open("sqlite", "file:"+s.path+"?"+pragmas.Encode()); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	s.reader.SetMaxOpenConns(readersMax)
	return s, nil
}

func (s *store) Close() error { return errors.Join(s.reader.Close(), s.writer.Close()) }

// file is a database as the octets of its file; of one that was never written to there are none.
func (s *store) file(ctx context.Context, slot api.Slot, key []byte) (file []byte, err error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT content FROM pages WHERE slot = ? AND key = ? ORDER BY number", slot, key)
	if err != nil {
		return nil, fmt.Errorf("cannot read database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var content sql.RawBytes
		if err := rows.Scan(&content); err != nil {
			return nil, fmt.Errorf("cannot read database: %w", err)
		}
		file = append(file, content...)
	}
	return file, rows.Err()
}

// Apply is ApplyAt behind the record applied last.
func (s *store) Apply(slot api.Slot, raw []byte) (any, error) {
	seq, err := s.Applied(slot)
	if err != nil {
		return nil, err
	}
	return s.ApplyAt(slot, seq+1, raw)
}

// ApplyAt writes the pages that a record changes.
func (s *store) ApplyAt(slot api.Slot, seq ownership.Seq, raw []byte) (any, error) {
	r, err := readRecord(raw)
	if err != nil {
		return nil, broken("apply", err)
	}
	return nil, s.write("apply", func(tx *sql.Tx) error {
		for _, changed := range r.changed {
			if err := insert(tx, slot, r.key, changed); err != nil {
				return err
			}
		}
		_, err := tx.Exec("DELETE FROM pages WHERE slot = ? AND key = ? AND number >= ?", slot, r.key, r.pages)
		return errors.Join(err, stamp(tx, slot, seq))
	})
}

func insert(tx *sql.Tx, slot api.Slot, key []byte, p page) error {
	_, err := tx.Exec("INSERT OR REPLACE INTO pages (slot, key, number, content) VALUES (?, ?, ?, ?)", slot, key, p.number, p.content)
	return err
}

func stamp(tx *sql.Tx, slot api.Slot, seq ownership.Seq) error {
	_, err := tx.Exec("INSERT OR REPLACE INTO slots (slot, seq) VALUES (?, ?)", slot, int64(seq))
	return err
}

// Applied is the record that the slot's state is as of.
func (s *store) Applied(slot api.Slot) (ownership.Seq, error) {
	var seq int64
	err := s.reader.QueryRow("SELECT seq FROM slots WHERE slot = ?", slot).Scan(&seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, broken("read", err)
	}
	return ownership.Seq(seq), nil
}

// Drop removes the slot's databases, durably.
func (s *store) Drop(slot api.Slot) error {
	if err := s.write("drop", func(tx *sql.Tx) error { return erase(tx, slot) }); err != nil {
		return err
	}
	return s.Sync()
}

func erase(tx *sql.Tx, slot api.Slot) error {
	_, errPages := tx.Exec("DELETE FROM pages WHERE slot = ?", slot)
	_, errSlot := tx.Exec("DELETE FROM slots WHERE slot = ?", slot)
	return errors.Join(errPages, errSlot)
}

// Sync makes all that was committed durable: it is in the write-ahead log, or was synced when SQLite moved it
// from there.
func (s *store) Sync() error {
	for _, path := range []string{s.path + "-wal", filepath.Dir(s.path)} {
		file, err := os.Open(path)
		if err != nil {
			return broken("sync", err)
		}
		if err := errors.Join(file.Sync(), file.Close()); err != nil {
			return broken("sync", err)
		}
	}
	return nil
}

// write does something in one transaction.
func (s *store) write(doing string, do func(*sql.Tx) error) error {
	tx, err := s.writer.Begin()
	if err != nil {
		return broken(doing, err)
	}
	if err := do(tx); err != nil {
		return broken(doing, errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return broken(doing, err)
	}
	return nil
}

// broken ends the node: what is on disk is no longer what it should be.
func broken(doing string, err error) error {
	return fmt.Errorf("cannot %s: %w: %w", doing, err, nodesvc.ErrBroken)
}
