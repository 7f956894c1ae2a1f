package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stead-io/stead/api"
)

// How often members tell each other where they are: quickly until the cluster stands, then seldom.
const (
	exchangeFounding = 100 * time.Millisecond
	exchangeSettled  = time.Second
	exchangeTimeout  = time.Second
	messageMax       = 1 << 20
	reasonMax        = 1 << 10
)

var errRefused = errors.New("the exchange was refused")

// Exchange keeps a directory fresh by telling every address it knows of.
type Exchange struct {
	Directory *Directory
	Join      []string // API addresses to begin with
	Scheme    string   // of the URLs made of them
	HTTP      *http.Client
	Logger    *slog.Logger
	// Settled reports whether the cluster stands.
	Settled func() bool
	// Fatal is told that the cluster was recovered without this member.
	Fatal func(error)

	refused string // what the last refusal said, so that it is logged once
}

// Run exchanges until ctx ends.
func (e *Exchange) Run(ctx context.Context) {
	for {
		e.round(ctx)
		e.Directory.MarkAsked()
		every := exchangeFounding
		if e.Settled() {
			every = exchangeSettled
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

// round tells everyone at once; one that hangs holds up only the next round.
func (e *Exchange) round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	var all sync.WaitGroup
	refusals := make(chan error, 1)
	for _, base := range e.targets() {
		all.Go(func() {
			// Silence is an answer: the member is not alive. A refusal is worth a line.
			if err := e.tell(ctx, base); errors.Is(err, errRefused) {
				select {
				case refusals <- err:
				default:
				}
			}
		})
	}
	all.Wait()
	e.logRefusal(refusals)
}

func (e *Exchange) logRefusal(refusals <-chan error) {
	select {
	case err := <-refusals:
		if e.refused != err.Error() {
			e.refused = err.Error()
			e.Logger.Warn("another member refuses this one", "error", err)
		}
	default:
		e.refused = ""
	}
}

func (e *Exchange) targets() []string {
	message := e.Directory.Message()
	var targets []string
	for _, address := range e.Join {
		targets = append(targets, e.Scheme+"://"+address)
	}
	for _, info := range message.Known {
		targets = append(targets, e.Scheme+"://"+addressOf(info.API)) // what is remembered may be from before there was TLS
	}
	slices.Sort(targets)
	targets = slices.Compact(targets)
	return slices.DeleteFunc(targets, func(base string) bool { return base == message.Self.API })
}

func (e *Exchange) tell(ctx context.Context, base string) error {
	body, err := json.Marshal(e.Directory.Message())
	if err != nil {
		return fmt.Errorf("cannot encode the peer message: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/peers", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", base, err)
	}
	request.Header.Set("Content-Type", api.TypeJSON)
	response, err := e.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", base, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, reasonMax))
		return fmt.Errorf("%w: %s says %s", errRefused, base, reason)
	}
	var answer api.Peers
	if err := json.NewDecoder(io.LimitReader(response.Body, messageMax)).Decode(&answer); err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", base, err)
	}
	err = e.Directory.Merge(answer, time.Now())
	if errors.Is(err, ErrRecovered) {
		e.Fatal(err)
	}
	return err
}
