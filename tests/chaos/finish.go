//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/tests/history"
)

// finish lets the cluster come to rest and checks everything: every key through both proxies, every replica of
// every slot, every history.
func (e *experiment) finish(ctx context.Context) error {
	e.log.Printf("the faults are over: every slot is to settle")
	if err := e.awaitCluster(ctx); err != nil {
		return err
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	keys := e.recorder.Keys()
	e.log.Printf("reading %d keys through both proxies", len(keys))
	if err := e.readAll(ctx, keys); err != nil {
		return err
	}
	e.log.Printf("checking %d histories", len(keys))
	if err := e.check(keys); err != nil {
		return err
	}
	if e.config.State != "managed" {
		return nil
	}
	e.log.Printf("comparing the replicas of %d slots", e.config.Slots)
	return e.compareAll(ctx)
}

func (e *experiment) settle(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	background, end := context.WithCancel(ctx)
	defer end()
	all.Go(func() { e.observer.run(background) })
	return e.observer.awaitSteady(ctx, e.observer.unsettled)
}

// readAll reads every key through every proxy, by as many clients as there are under load.
func (e *experiment) readAll(ctx context.Context, keys []string) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	jobs := make(chan string)
	var all sync.WaitGroup
	for client := range workers {
		all.Go(func() {
			for key := range jobs {
				if err := e.readLast(ctx, client, key); err != nil {
					fail(err)
				}
			}
		})
	}
	for _, key := range keys {
		jobs <- key
	}
	close(jobs)
	all.Wait()
	return context.Cause(ctx)
}

// readLast reads a key through every proxy until it answers.
func (e *experiment) readLast(ctx context.Context, client int, key string) error {
	for _, proxy := range e.load.proxies {
		why := ""
		err := await(ctx, key+" to be answered", func(ctx context.Context) bool {
			o := e.recorder.BeginLast(history.Operation{Client: client, Key: key, Kind: history.Get})
			within, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			got := e.load.send(within, o, "", proxy)
			e.load.settle(o, got)
			why = got.name
			return got.outcome == outcomeAnswered
		})
		if err != nil {
			return fmt.Errorf("%w (%s)", err, why)
		}
	}
	return nil
}

// slotDigest is what a node says of one slot's state.
type slotDigest struct {
	Seq    uint64 `json:"seq"`
	Digest string `json:"digest"`
}

// compareAll compares the state of every slot on all of its replicas. Nobody writes any more.
func (e *experiment) compareAll(ctx context.Context) error {
	for _, slot := range e.observer.all() {
		why := ""
		err := await(ctx, fmt.Sprintf("the replicas of slot %d to agree", slot.Slot), func(ctx context.Context) bool {
			why = e.compare(ctx, slot)
			return why == ""
		})
		if err != nil {
			return fmt.Errorf("%w: %w: %s", ErrViolation, err, why)
		}
	}
	return nil
}

// compare says how the replicas of a slot differ; "" if they do not. A backup may learn a moment later than the
// primary that its last record is committed.
func (e *experiment) compare(ctx context.Context, slot api.SlotConfig) string {
	var first slotDigest
	for i, replica := range slot.ISR {
		got, err := e.digest(ctx, slot.Slot, replica.Node)
		if err != nil {
			return err.Error()
		}
		if i == 0 {
			first = got
		}
		if got != first {
			return fmt.Sprintf("%s has %+v, %s %+v", slot.ISR[0].Node, first, replica.Node, got)
		}
	}
	return ""
}

func (e *experiment) digest(ctx context.Context, slot api.Slot, node api.NodeID) (got slotDigest, err error) {
	url := fmt.Sprintf("http://%s/.stead/slots/%d/digest", e.lab.at(string(node), nodePort), slot)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return got, err
	}
	response, err := e.lab.probe.Do(request)
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyMax))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d %s", node, response.StatusCode, body)
	}
	if err != nil {
		return got, err
	}
	return got, json.Unmarshal(body, &got)
}
