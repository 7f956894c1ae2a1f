//go:build chaos

package chaos

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/stead-io/stead/tests/history"
)

// The load.
const (
	workers        = 32
	lanes          = 24              // keys at a time
	requestTimeout = 3 * time.Second // of a request
	bodyMax        = 64 << 10        // bytes of an answer

	// Every fourth client waits for longer than a process is paused: it hears what one says that wakes up with
	// the request in its socket, when others have its place.
	patientEvery   = 4
	patientTimeout = pauseLength + requestTimeout

	firstClientStream = 16 // of random numbers; those before are the nemesis's and the mover's
)

// Shares of operations, of a hundred; the rest are reads.
const (
	sharePut    = 35
	shareSwap   = 20
	shareDelete = 5
)

// load is what clients do: puts, swaps, deletes and reads of a few keys at a time, over both proxies.
type load struct {
	lab      *Lab
	recorder *history.Recorder
	counts   *counts
	http     *http.Client
	proxies  []string // base URLs
	foreign  chan string

	mu    sync.Mutex
	known map[string]known // by key, what was seen last
}

// known is what a key held when it was seen last.
type known struct{ value, tag string }

func newLoad(lab *Lab, recorder *history.Recorder, counts *counts) *load {
	l := &load{lab: lab, recorder: recorder, counts: counts, known: map[string]known{}, foreign: make(chan string, 1),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}}
	for _, name := range lab.fleet.Proxies {
		l.proxies = append(l.proxies, "http://"+lab.at(name, proxyPort))
	}
	return l
}

// run works until the context ends, and waits for the answers to what was asked.
func (l *load) run(ctx context.Context) {
	var all sync.WaitGroup
	for client := range workers {
		all.Go(func() { l.work(ctx, client) })
	}
	all.Wait()
}

func (l *load) work(ctx context.Context, client int) {
	random := rand.New(rand.NewPCG(l.lab.config.Seed, firstClientStream+uint64(client)))
	timeout := requestTimeout
	if client%patientEvery == 0 {
		timeout = patientTimeout
	}
	ticker := time.NewTicker(time.Second * workers / time.Duration(l.lab.config.Rate))
	defer ticker.Stop()
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		l.once(within, client, random)
		cancel()
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// once carries out one operation, drawn at random, on a key drawn at random.
func (l *load) once(ctx context.Context, client int, random *rand.Rand) {
	o := history.Operation{Client: client, Key: l.recorder.Key(random.IntN(lanes)), Kind: history.Get}
	last := l.last(o.Key)
	switch dice := random.IntN(100); {
	case dice < sharePut:
		o.Kind = history.Put
	case dice < sharePut+shareSwap:
		o.Kind, o.Expect = history.Swap, last.value
	case dice < sharePut+shareSwap+shareDelete:
		o.Kind = history.Delete
	}
	o, begun := l.recorder.Begin(o)
	if !begun {
		return
	}
	l.settle(o, l.send(ctx, o, last.tag, l.proxies[random.IntN(len(l.proxies))]))
}

// reply is what came back of an operation.
type reply struct {
	outcome outcome
	name    string
	answer  history.Answer
}

// send carries an operation out. tag is that of a swap's expected value.
func (l *load) send(ctx context.Context, o history.Operation, tag, proxy string) reply {
	method := map[history.Kind]string{history.Get: "GET", history.Put: "PUT", history.Swap: "PUT", history.Delete: "DELETE"}[o.Kind]
	request, err := http.NewRequestWithContext(ctx, method, proxy+"/kv/"+o.Key, bytes.NewReader([]byte(o.Value)))
	if err != nil {
		return reply{outcome: outcomeForeign, name: err.Error()}
	}
	if o.Kind == history.Swap && o.Expect == "" {
		request.Header.Set("If-None-Match", "*")
	} else if o.Kind == history.Swap {
		request.Header.Set("If-Match", tag)
	}
	response, err := l.http.Do(request)
	if err != nil {
		what, name := judgeError(err)
		return reply{outcome: what, name: name}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyMax))
	if err != nil {
		return reply{outcome: outcomeUnknown, name: "half an answer"}
	}
	got := reply{}
	got.outcome, got.name = judge(response.StatusCode, body)
	success := response.StatusCode < http.StatusMultipleChoices
	got.answer.Held = success
	if success && o.Kind != history.Delete {
		got.answer.Tag = response.Header.Get("ETag")
	}
	if success && o.Kind == history.Get {
		got.answer.Value = string(body)
	}
	return got
}

// settle records what came back.
func (l *load) settle(o history.Operation, got reply) {
	switch got.outcome {
	case outcomeAnswered:
		l.recorder.Answered(o.ID, got.answer)
		l.learn(o, got.answer)
	case outcomeRefused:
		l.recorder.Refused(o.ID)
	case outcomeUnknown:
		l.recorder.Unknown(o.ID)
	case outcomeForeign:
		l.recorder.Unknown(o.ID)
		select {
		case l.foreign <- o.String() + " came back with " + got.name:
		default:
		}
	}
	acknowledged := got.outcome == outcomeAnswered && got.answer.Held && o.Kind != history.Get
	l.counts.do(func(t *Tally) {
		t.Answers[o.Kind.String()+" "+got.name]++
		if acknowledged {
			t.Acks++
		}
	})
}

func (l *load) last(key string) known {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known[key]
}

func (l *load) learn(o history.Operation, answer history.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case o.Kind == history.Get:
		l.known[o.Key] = known{answer.Value, answer.Tag}
	case o.Writes() && answer.Held:
		l.known[o.Key] = known{o.Value, answer.Tag}
	case o.Kind == history.Delete:
		delete(l.known, o.Key)
	}
}
