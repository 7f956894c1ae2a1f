package main

import (
	"fmt"
	"testing"

	"github.com/stead-io/stead/dataplane"
)

func TestTrailFlags(t *testing.T) {
	f := func(line, want string, ok bool) {
		t.Helper()
		flags := proxyFlags{config: dataplane.NewConfig()}
		c, err := flags.complete(parse(t, line, flags.add))
		if err == nil {
			err = c.Validate()
		}
		if (err == nil) != ok {
			t.Errorf("%q: %v", line, err)
		}
		if got := fmt.Sprint(c.Trail, c.AccessLog, c.Tracing); ok && got != want {
			t.Errorf("%q gives %s, want %s", line, got, want)
		}
	}
	f("", "{[] true false true stead false} {off  <nil> 1 false} { 1}", true)
	f("--trusted-proxies 10.1.0.0/8,::1 --proxy-protocol --x-forwarded=false --forwarded --request-id=false --via=",
		"{[10.0.0.0/8 ::1/128] false true false  true} {off  <nil> 1 false} { 1}", true)
	f("--access-log json --access-log-file f --access-log-sample 0.01 --access-log-keys",
		"{[] true false true stead false} {json f <nil> 0.01 true} { 1}", true)
	f("--access-log combined", "{[] true false true stead false} {combined  <nil> 1 false} { 1}", true)
	f("--traces http://127.0.0.1:4318 --trace-sample 0.01", "{[] true false true stead false} {off  <nil> 1 false} {http://127.0.0.1:4318 0.01}", true)
	f("--traces 127.0.0.1:4318", "", false)
	f("--trace-sample 2", "", false)
	f("--trusted-proxies lb.example", "", false)
	f("--proxy-protocol", "", false)
	f("--via a,b", "", false)
	f("--access-log xml", "", false)
	f("--access-log-file f", "", false)
	f("--access-log json --access-log-sample 2", "", false)
}
