package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Output formats.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// table is rows under a header, or without one.
type table struct {
	header []string
	rows   [][]string
}

// add appends a row; each value is printed as it would be by fmt.Sprint, an empty one as "-".
func (t *table) add(values ...any) {
	row := make([]string, len(values))
	for i, value := range values {
		if row[i] = fmt.Sprint(value); row[i] == "" {
			row[i] = "-"
		}
	}
	t.rows = append(t.rows, row)
}

// write aligns the columns with two spaces between them and none behind the last.
func (t *table) write(to io.Writer) error {
	const padding = 2
	aligned := tabwriter.NewWriter(to, 0, 0, padding, ' ', 0)
	rows := t.rows
	if t.header != nil {
		rows = append([][]string{t.header}, rows...)
	}
	for _, row := range rows {
		fmt.Fprintln(aligned, strings.Join(row, "\t"))
	}
	return aligned.Flush()
}

// writeJSON prints one value on one line.
func writeJSON(to io.Writer, value any) error { return json.NewEncoder(to).Encode(value) }

// moment writes a time for people: UTC, to the second.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// percent writes a share of a whole.
func percent(part, whole int) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// plural counts things: "1 slot", "12 slots".
func plural(count int, thing string) string {
	if count == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", count, thing)
}
