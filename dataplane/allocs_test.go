package dataplane

import "testing"

// TestRequestsAllocateNothing: on the hot path every buffer and every piece of state is used again. What else goes
// on in the process, such as beats, is far from one allocation a request.
func TestRequestsAllocateNothing(t *testing.T) {
	for _, lean := range leanCases() {
		t.Run(lean.name, func(t *testing.T) {
			path := lean.open(t)
			const requests = 1000
			before := path.muxed()
			if allocations := testing.AllocsPerRun(requests, path.ask); allocations > allocationsMax {
				t.Errorf("%v allocations a request", allocations)
			}
			if asked := path.muxed() - before; path.proxy.muxed != nil && asked < requests {
				t.Errorf("%d of %d requests went by mux", asked, requests)
			}
		})
	}
}

// BenchmarkRequest is one request and its answer through the proxy, over one connection on either side: `make bench-request`.
func BenchmarkRequest(b *testing.B) {
	for _, lean := range leanCases() {
		b.Run(lean.name, func(b *testing.B) {
			path := lean.open(b)
			b.ReportAllocs()
			for b.Loop() {
				path.ask()
			}
		})
	}
}
