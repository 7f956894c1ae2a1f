package forward

// Ended reports whether the source was read to its end.
func (b *Body) Ended() bool { return b.ended }

// Stop has whoever reads the body of a failed request wait for the client no more, unless what was read may be sent again.
func (r *Request) Stop(again bool) {
	if again && r.Body.Replayable() || r.Client == nil {
		return
	}
	r.Body.unwanted.Store(true)
	r.Client.InterruptRead()
}

// Kept is what was read and is still there: all of it if the body is Replayable.
func (b *Body) Kept() []byte { return b.kept }

// Trailers are the lines behind the body, once it has Ended.
func (b *Body) Trailers() []byte { return b.late }
