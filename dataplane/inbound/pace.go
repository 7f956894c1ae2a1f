package inbound

import "time"

// bodyGrace is for how long, in stream timeouts, a body may be waited for before its mean rate counts.
const bodyGrace = 2

// pace is how fast a body comes: its octets over the time that was spent waiting for them. What the node takes
// its time for is not the client's fault.
type pace struct {
	waited time.Duration
	octets int64
}

// slow reports whether a body lags behind a rate, octets a second, by more than the grace.
func (p *pace) slow(rate int, grace time.Duration) bool {
	late := p.waited - grace
	return late > 0 && float64(p.octets) < late.Seconds()*float64(rate)
}

// readPaced reads octets of a body; one that drips does not hold a connection for ever. Once the answer has begun the
// two are in a conversation, which may be as slow as the node likes.
func (c *Conn) readPaced(p []byte) (int, error) {
	began := time.Now()
	n, err := c.Conn.Read(p)
	c.pace.waited += time.Since(began)
	c.pace.octets += int64(n)
	if config := c.server.settings(); !c.answered.Load() && c.pace.slow(config.RateMin, bodyGrace*config.StreamTimeout) {
		return 0, ErrSlow
	}
	return n, err
}
