package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	// barWidthMax and barWidthLeast bound the bar of a progress line, in characters.
	barWidthMax   = 40
	barWidthLeast = 10
	// plainEvery is how often progress is written where there is no terminal.
	plainEvery = 5 * time.Second
)

// progressLine shows how far something is: as a bar that is drawn anew on a terminal, else as a line now and then.
type progressLine struct {
	to     io.Writer
	width  func() int // of the terminal, in characters; 0: there is none
	last   time.Time  // of the last plain line
	drawn  bool
	latest string
}

func newProgressLine(to io.Writer) *progressLine {
	return &progressLine{to: to, width: func() int {
		file, isFile := to.(*os.File)
		if !isFile || !term.IsTerminal(int(file.Fd())) {
			return 0
		}
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0
		}
		return width
	}}
}

// show says that so many of all are done, and what else there is to say.
func (p *progressLine) show(done, all int, more string) {
	count := fmt.Sprintf("%d of %s%s", done, plural(all, "slot"), more)
	width := p.width()
	if width == 0 {
		if now := time.Now(); count != p.latest && now.Sub(p.last) >= plainEvery {
			fmt.Fprintln(p.to, count)
			p.last, p.latest = now, count
		}
		return
	}
	fmt.Fprintf(p.to, "\r\x1b[K%s", bar(done, all, width, count))
	p.drawn = true
}

// bar draws the line, no wider than the terminal.
func bar(done, all, width int, count string) string {
	room := min(barWidthMax, width-len(count)-len("[] "))
	if room < barWidthLeast {
		return count[:min(len(count), max(0, width-1))]
	}
	filled := room
	if all > 0 {
		filled = room * done / all
	}
	return "[" + strings.Repeat("#", filled) + strings.Repeat(".", room-filled) + "] " + count
}

// end leaves the line.
func (p *progressLine) end() {
	if p.drawn {
		fmt.Fprintln(p.to)
	}
}
