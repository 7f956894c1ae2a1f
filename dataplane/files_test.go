package dataplane

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
)

// warnings is a logger that keeps what warns of open files.
type warnings struct {
	mu   sync.Mutex
	said []string
}

func (w *warnings) set(config *Config) { config.Logger = slog.New(w) }

func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler               { return w }
func (w *warnings) WithGroup(string) slog.Handler                    { return w }

func (w *warnings) Handle(_ context.Context, record slog.Record) error {
	text := record.Message
	record.Attrs(func(attr slog.Attr) bool {
		text += " " + attr.String()
		return true
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.Contains(text, "files open") {
		w.said = append(w.said, text)
	}
	return nil
}

// expect asserts how many there are, and that the last one names a limit of clients beside that of files.
func (w *warnings) expect(t *testing.T, count, connections int, files uint64) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	want := fmt.Sprintf(" connections=%d open_files=%d", connections, files)
	if len(w.said) != count || count > 0 && !strings.HasSuffix(w.said[count-1], want) {
		t.Errorf("warned by %q, want %d, the last with %q", w.said, count, want)
	}
}

// TestMoreClientsThanFiles: who admits more clients than the process may have files open is told so once, by each
// configuration that does.
func TestMoreClientsThanFiles(t *testing.T) {
	files, known := filesMax()
	if !known || files > math.MaxInt32 {
		t.Skip("there is no limit of open files")
	}
	most := int(files) - 1
	f := func(connections, count int) (*Proxy, *warnings) {
		t.Helper()
		heard := new(warnings)
		proxy, _ := start(t, ringOf(t, 1, 1), heard.set, func(c *Config) { c.Connections = connections })
		heard.expect(t, count, connections, files)
		return proxy, heard
	}
	f(most, 0)
	f(most+1, 1)
	proxy, heard := f(math.MaxInt, 1)
	next := proxy.config
	reload := func(connections, count, named int) {
		t.Helper()
		next.Connections = connections
		if err := proxy.Reload(next); err != nil {
			t.Fatal(err)
		}
		heard.expect(t, count, named, files)
	}
	reload(math.MaxInt, 1, math.MaxInt)
	reload(most, 1, math.MaxInt)
	reload(most, 1, math.MaxInt)
	reload(most+1, 2, most+1)
	reload(most+1, 2, most+1)
}
