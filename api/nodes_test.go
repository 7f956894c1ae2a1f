package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
)

func TestValidateAddress(t *testing.T) {
	f := func(address string, valid bool) {
		t.Helper()
		if err := api.ValidateAddress(address); (err == nil) != valid {
			t.Errorf("%q: %v", address, err)
		}
	}
	f("127.0.0.1:7500", true)
	f("node-1.example.com:1", true)
	f("node_1:65535", true)
	f("[::1]:7500", true)
	f("", false)
	f("localhost", false)
	f(":7500", false)
	f("h:", false)
	f("h:0", false)
	f("h:65536", false)
	f("h:http", false)
	f("h:-1", false)
	f("::1:7500", false)
	f("http://h:7500", false)
	f("user@h:7500", false)
	f("h/x:7500", false)
	f("h :7500", false)
	f("hö:7500", false)
	f("[a:b]:7500", false)
	f("127.0.0.1:07500", false)
	f("127.1:7500", false)
	f("0.0.0.0:7500", false)
	f("[::]:7500", false)
	f("[::ffff:127.0.0.1]:7500", false)
	f("127.0.0.1.:7500", false)
	f("a..b:7500", false)
	f("-a:7500", false)
	f("[fe80::1%x/y]:7500", false)
	f(strings.Repeat("h", api.AddressMax)+":1", false)
}

func TestRegistrationDefaults(t *testing.T) {
	check := &api.Check{HTTP: "/healthz"}
	filled := api.Registration{ID: "n1", Address: "h:1", Lease: api.LeaseNone, Check: check}.WithDefaults()
	if problem := filled.Validate(); problem != nil {
		t.Fatal(problem)
	}
	if filled.Weight != 1 || filled.OnDown != api.OnDownWait || time.Duration(filled.TTL) != 2*time.Second {
		t.Errorf("got %+v", filled)
	}
	if time.Duration(filled.Check.Interval) != time.Second || filled.Check.Failures != 3 || check.Failures != 0 {
		t.Errorf("got %+v from %+v", filled.Check, check)
	}
	if again := filled.WithDefaults(); again.TTL != filled.TTL || *again.Check != *filled.Check {
		t.Errorf("defaults changed what was set: %+v", again)
	}
}

func TestRegistrationRefuses(t *testing.T) {
	f := func(field string, code api.Code, change func(*api.Registration)) {
		t.Helper()
		registration := api.Registration{ID: "n1", Address: "h:1"}.WithDefaults()
		change(&registration)
		problem := registration.Validate()
		if problem == nil || problem.Field != field || problem.Code != code {
			t.Errorf("%s: got %v", field, problem)
		}
	}
	static := func(check api.Check) func(*api.Registration) {
		return func(r *api.Registration) {
			r.Lease, r.Check = api.LeaseNone, &check
			*r = r.WithDefaults()
		}
	}
	f("id", api.CodeInvalid, func(r *api.Registration) { r.ID = "" })
	f("address", api.CodeAddressRefused, func(r *api.Registration) { r.Address = "h" })
	f("public_address", api.CodeAddressRefused, func(r *api.Registration) { r.PublicAddress = "h" })
	f("zone", api.CodeInvalid, func(r *api.Registration) { r.Zone = "a b" })
	f("weight", api.CodeInvalid, func(r *api.Registration) { r.Weight = 1001 })
	f("weight", api.CodeInvalid, func(r *api.Registration) { r.Weight = -1 })
	f("on_down", api.CodeInvalid, func(r *api.Registration) { r.OnDown = "panic" })
	f("ttl", api.CodeInvalid, func(r *api.Registration) { r.TTL = api.Duration(time.Millisecond) })
	f("ttl", api.CodeInvalid, func(r *api.Registration) { r.TTL = api.Duration(time.Hour) })
	f("lease", api.CodeInvalid, func(r *api.Registration) { r.Lease = "forever" })
	f("check", api.CodeInvalid, func(r *api.Registration) { r.Check = &api.Check{HTTP: "/healthz"} })
	f("check.http", api.CodeInvalid, static(api.Check{}))
	f("check.http", api.CodeInvalid, static(api.Check{HTTP: "http://elsewhere/healthz"}))
	f("check.interval", api.CodeInvalid, static(api.Check{HTTP: "/", Interval: api.Duration(time.Millisecond)}))
	f("check.failures", api.CodeInvalid, static(api.Check{HTTP: "/", Failures: 101}))
	f("store_id", api.CodeInvalid, func(r *api.Registration) { r.StoreID = "s1" })
	f("boot", api.CodeInvalid, func(r *api.Registration) { r.Boot = 1 << 53 })
	f("nonce", api.CodeInvalid, func(r *api.Registration) { r.Nonce = strings.Repeat("x", 257) })
	f("meta", api.CodeInvalid, func(r *api.Registration) { r.Meta = map[string]string{"": "x"} })
	f("meta", api.CodeInvalid, func(r *api.Registration) { r.Meta = map[string]string{"x": strings.Repeat("x", 257)} })
	f("meta", api.CodeInvalid, func(r *api.Registration) {
		r.Meta = map[string]string{}
		for i := range 33 {
			r.Meta[strings.Repeat("x", i+1)] = ""
		}
	})
}
