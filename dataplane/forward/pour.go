package forward

import (
	"io"
	"time"

	"github.com/stead-io/stead/dataplane/socket"
)

// Rest is how many octets of the body are to come, if they may be poured: over plain TCP, in a body of known length,
// and none of the request is still on its way. Else it is 0.
func (c *connection) Rest() int64 {
	if c.plain == nil || c.upload != nil || c.answer.Length <= 0 {
		return 0
	}
	return c.left
}

// Pour is Next for a pipe, where nothing is Ready: it waits for the node, and has the kernel move what comes, no more
// than most octets. Those must not be more than the Rest.
func (c *connection) Pour(into *socket.Pipe, most int64) error {
	c.waitUntil(time.Now().Add(c.patience), c.patience)
	n, err := into.Fill(c.plain, most)
	for n == 0 && c.early(err) {
		n, err = into.Fill(c.plain, most)
	}
	c.left -= int64(n)
	c.finished = c.left == 0
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
