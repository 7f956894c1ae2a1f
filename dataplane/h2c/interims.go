package h2c

import (
	"net/http"
	"net/textproto"
	"sync"

	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/wire"
)

// interims passes interim answers on, beside the connection's reader: a client that takes none must not hold up
// others.
type interims struct {
	client forward.Client
	passed sync.WaitGroup

	mu    sync.Mutex
	heads chan []byte // nil before the first
	over  bool        // what comes now is too late
}

// interimsMax is how many may wait to be passed on; more are dropped.
const interimsMax = 32

// errSwitched is the violation of a node that changes protocols, which HTTP/2 has no way to (RFC 9113, section 8.6).
const errSwitched = wire.SyntaxError("the node switched to a protocol that it was not asked for")

// take is called by the connection's reader.
func (i *interims) take(status int, fields textproto.MIMEHeader) error {
	if status == http.StatusSwitchingProtocols {
		return errSwitched
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if status == http.StatusContinue || i.client == nil || i.over {
		return nil
	}
	if i.heads == nil {
		i.heads = make(chan []byte, interimsMax)
		i.passed.Go(i.pass)
	}
	select {
	case i.heads <- append(appendFields(appendStatus(nil, status), fields), "\r\n"...):
	default:
	}
	return nil
}

func (i *interims) pass() {
	var head wire.Answer
	for octets := range i.heads {
		if head.Parse(octets) == nil {
			i.client.Interim(&head)
		}
	}
}

// end waits until all that came were passed on; no more are.
func (i *interims) end() {
	i.mu.Lock()
	i.over = true
	if i.heads != nil {
		close(i.heads)
	}
	i.mu.Unlock()
	i.passed.Wait()
}
