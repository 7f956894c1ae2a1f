package dataplane

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/dataplane/forward"
	"github.com/stead-io/stead/dataplane/inbound"
	"github.com/stead-io/stead/dataplane/wire"
)

// refuse answers with a problem.
func (x *exchange) refuse(problem *api.Problem) {
	body, err := json.Marshal(problem)
	if err != nil {
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	body = append(body, '\n')
	x.out = append(x.out[:0], "HTTP/1.1 "...)
	x.out = strconv.AppendInt(x.out, int64(problem.Status), 10)
	x.out = append(append(x.out, ' '), http.StatusText(problem.Status)...)
	x.out = append(x.out, "\r\nContent-Type: "+api.ProblemType+"\r\nContent-Length: "...)
	x.out = append(strconv.AppendInt(x.out, int64(len(body)), 10), "\r\n"...)
	if problem.RetryAfter > 0 {
		x.out = append(append(append(x.out, "Retry-After: "...), api.RetryAfterSeconds(problem.RetryAfter)...), "\r\n"...)
	}
	x.out = x.appendID(x.out)
	x.appendConnection()
	x.out = append(x.out, "\r\n"...)
	x.record.status, x.record.problem, x.record.head = problem.Status, string(problem.Code), len(x.out)
	if !x.head.IsHead() {
		x.out = append(x.out, body...)
	}
	if x.flush() != nil {
		x.record.cut = true
		x.conn.CloseAfter()
	}
	x.proxy.metrics.refused(problem.Code)
}

func noRing() *api.Problem {
	return api.NewProblem(api.CodeNoRing, "this proxy has no ring yet")
}

func (x *exchange) ownerDown() *api.Problem {
	return api.NewProblem(api.CodeOwnerDown, "node %s is %s in ring %s and was not reached", x.node.ID, x.node.Status, x.table.View.Table.Version)
}

func (x *exchange) moving(why string) *api.Problem {
	return api.NewProblem(api.CodeSlotMoving, "slot %d is changing hands: %s", x.stamp.Slot, why)
}

// badGateway is a problem with a node that may have run the request. Whether to send it again is
// the client's to decide; when, is said here.
func badGateway(code api.Code, format string, args ...any) *api.Problem {
	problem := api.NewProblem(code, format, args...)
	problem.RetryAfter = time.Second
	return problem
}

// clientFailed is a problem with the body.
func (x *exchange) clientFailed(err error) *api.Problem {
	x.conn.CloseAfter()
	switch {
	case errors.Is(err, forward.ErrBodyTooLarge):
		return x.tooLarge()
	case x.brokeOff():
		return x.clientGone("the client closed its side of the connection within the body of its request")
	}
	return x.unreadable(x.conn.Fault())
}

// brokeOff reports whether the client left in the middle of its request.
func (x *exchange) brokeOff() bool { return errors.Is(x.conn.Fault(), inbound.ErrTruncated) }

// clientGone is a problem that hardly anybody reads: only who has closed just its own side.
func (x *exchange) clientGone(when string) *api.Problem {
	x.conn.CloseAfter()
	return api.NewProblem(api.CodeClientGone, "%s", when)
}

func (x *exchange) tooLarge() *api.Problem {
	return api.NewProblem(api.CodeTooLarge, "the body is longer than %d octets", x.proxy.settings().BodyMax)
}

// unreadable is a problem with the client's octets.
func (x *exchange) unreadable(fault error) *api.Problem {
	var syntax wire.SyntaxError
	switch {
	case errors.Is(fault, inbound.ErrBodyTooLarge):
		return x.tooLarge()
	case errors.Is(fault, inbound.ErrHeadTooLarge):
		return api.NewProblem(api.CodeHeaderTooLarge, "%v", fault)
	case errors.Is(fault, inbound.ErrSlow):
		return api.NewProblem(api.CodeTooSlow, "%v", fault)
	case errors.Is(fault, inbound.ErrTooMany), errors.Is(fault, inbound.ErrCrowded):
		return api.NewProblem(api.CodeTooManyConnections, "%v", fault)
	case errors.As(fault, &syntax), errors.Is(fault, inbound.ErrTruncated):
		return api.NewProblem(api.CodeBadRequest, "%v", fault)
	default:
		return api.NewProblem(api.CodeBadRequest, "the request cannot be read")
	}
}
