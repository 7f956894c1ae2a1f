package tracing

import (
	"strings"
	"testing"
)

const (
	someTrace = "0af7651916cd43dd8448eb211c80319c"
	someSpan  = "b7ad6b7169203331"
)

func TestParseContext(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		c, valid := ParseContext([]byte(value))
		if got := string(c.Append(nil)); valid != (want != "") || valid && got != want || valid != c.Valid() {
			t.Errorf("%q is %q (%v), want %q", value, got, valid, want)
		}
	}
	const ids = someTrace + "-" + someSpan
	f("00-"+ids+"-01", "00-"+ids+"-01")
	f("00-"+ids+"-00", "00-"+ids+"-00")
	f("00-"+ids+"-03", "00-"+ids+"-03")
	f("00-"+ids+"-ff", "00-"+ids+"-03") // flags that are not known are not passed on
	// Later versions are read as far as version 00 goes.
	f("01-"+ids+"-01", "00-"+ids+"-01")
	f("cc-"+ids+"-01-what-the-future-will-be-like", "00-"+ids+"-01")
	f("fe-"+ids+"-01-", "00-"+ids+"-01")
	f("cc-"+ids+"-01.what-the-future-will-be-like", "")
	f("cc-"+ids+"-011", "")

	f("", "")
	f("ff-"+ids+"-01", "")
	f("00-"+ids+"-01-", "")
	f("00-"+ids+"-01-more", "")
	f("00-"+ids+"-011", "")
	f("00-"+ids+"-1", "")
	f("00-"+ids, "")
	f("0-"+ids+"-001", "")
	f(".0-"+ids+"-01", "")
	f("00_"+ids+"-01", "")
	f("00-"+someTrace+"_"+someSpan+"-01", "")
	f("00-"+ids+"_01", "")
	f("00-"+ids+"-0x", "")
	f("00-"+ids+"-0A", "")
	f("0A-"+ids+"-01", "")
	f("00-"+strings.ToUpper(someTrace)+"-"+someSpan+"-01", "")
	f("00-"+someTrace+"-"+strings.ToUpper(someSpan)+"-01", "")
	f("00-"+strings.Repeat("0", 32)+"-"+someSpan+"-01", "")
	f("00-"+someTrace+"-"+strings.Repeat("0", 16)+"-01", "")
	f("00-"+someTrace[1:]+"-"+someSpan+"-01", "")
	f("00-"+someTrace+"0-"+someSpan+"-01", "")
	f("00-"+someTrace[:31]+".-"+someSpan+"-01", "")
	f("00-"+ids+"-01, 00-"+ids+"-01", "")
}

// FuzzParseContext: what is read is written in a form that reads the same.
func FuzzParseContext(f *testing.F) {
	f.Add([]byte("00-" + someTrace + "-" + someSpan + "-01"))
	f.Add([]byte("cc-" + someTrace + "-" + someSpan + "-ff-x"))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, valid := ParseContext(value)
		if !valid {
			if c != (Context{}) {
				t.Fatalf("%q names no trace, and is %v", value, c)
			}
			return
		}
		again, valid := ParseContext(c.Append(nil))
		if !valid || again != c || c.Span == (SpanID{}) {
			t.Fatalf("%q is %v, and then %v (%v)", value, c, again, valid)
		}
	})
}

// TestBegin: a trace that was begun goes on as it was begun; of the others a share is recorded.
func TestBegin(t *testing.T) {
	parent, _ := ParseContext([]byte("00-" + someTrace + "-" + someSpan + "-01"))
	silent := parent
	silent.Flags = 0
	begin := func(sample float64, parent Context) Context {
		tracer := Tracer{boundary: boundary(sample)}
		return tracer.Begin(parent)
	}
	if c := begin(0, parent); c.Trace != parent.Trace || !c.Sampled() || c.Span == parent.Span || c.Span == (SpanID{}) {
		t.Errorf("%v goes on as %v", parent, c)
	}
	if c := begin(1, silent); c.Trace != parent.Trace || c.Sampled() {
		t.Errorf("%v goes on as %v", silent, c)
	}
	const count = 10_000
	for _, sample := range []float64{0, 0.25, 1} {
		seen, sampled := make(map[TraceID]bool), 0
		for range count {
			c := begin(sample, Context{})
			seen[c.Trace] = true
			if c.Sampled() {
				sampled++
			}
			if c.Flags&^Sampled != 0 || c.Span == (SpanID{}) {
				t.Fatalf("a trace begins as %v", c)
			}
		}
		if share := float64(sampled) / count; len(seen) != count || share < sample-0.05 || share > sample+0.05 {
			t.Errorf("of a share of %v, %v have spans; %d ids of %d are of their own", sample, share, len(seen), count)
		}
	}
	for range 100 {
		if begin(0, Context{}).Sampled() || !begin(1, Context{}).Sampled() {
			t.Fatal("a share of 0 or 1 leaves something to chance")
		}
	}
}
