package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/api/ring"
	"github.com/stead-io/stead/dataplane/shardkey"
	"github.com/stead-io/stead/dataplane/wire"
)

func explainCommand() *cobra.Command {
	var headers []string
	var data string
	command := &cobra.Command{
		Use:   "explain [-H 'NAME: VALUE']... [-d BODY] [METHOD] TARGET",
		Short: "Say where a request would go, and why",
		Long: `Say where a request would go, and why: by which rule its key is found, and who holds the key's slot.
The rules and the ring are those of the control plane, the reading of the request is the proxies' own.`,
		Example: `  stead explain -H 'X-Shard-Key: acme' GET /x
  stead explain -H 'Content-Type: application/json' -d '{"user":{"id":7}}' POST /x`,
		Args: cobra.RangeArgs(1, 2),
	}
	o := newOperator(command)
	command.Flags().StringArrayVarP(&headers, "header", "H", nil, "header `line` of the request")
	command.Flags().StringVarP(&data, "data", "d", "", "`body` of the request")
	command.RunE = o.with(func(s *session, args []string) error {
		method, target := "GET", args[len(args)-1]
		if len(args) == 2 {
			method = args[0]
		}
		return explain(s, method, target, headers, data)
	})
	return command
}

// explanation is what `stead explain -o json` prints: where the key lives, and how it was found.
type explanation struct {
	Rule string `json:"rule"` // the rule that applied; empty: none did, and the cluster takes such requests
	api.Location
	Why string `json:"why"`
}

func explain(s *session, method, target string, headers []string, data string) error {
	request, err := parseRequest(method, target, headers, len(data))
	if err != nil {
		return err
	}
	view, err := s.Ring(s.command.Context())
	if err != nil {
		return err
	}
	found, err := explainBy(view, request, []byte(data))
	if err != nil {
		return err
	}
	return s.print(found, func(t *table) {
		if found.Rule == "" {
			t.add("why", found.Why)
			return
		}
		t.add("rule", found.Rule)
		t.add("key", found.quotedKey())
		t.add("hex", found.KeyHex)
		t.add("hash", found.Hash)
		t.add("slot", found.Slot)
		t.add("epoch", found.Epoch)
		t.add("ring", found.Version)
		for _, node := range found.Replicas {
			t.add("node", node.ID)
			t.add("address", node.Address)
			t.add("status", node.Status)
		}
		t.add("why", found.Why)
	})
}

// parseRequest reads a request as a proxy would; a body is announced by its length.
func parseRequest(method, target string, headers []string, length int) (*wire.Request, error) {
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", method, target)
	hasHost := false
	for _, line := range headers {
		name, _, found := strings.Cut(line, ":")
		if !found {
			return nil, usage("header %q is not NAME: VALUE", line)
		}
		hasHost = hasHost || strings.EqualFold(name, "Host")
		fmt.Fprintf(&head, "%s\r\n", line)
	}
	if !hasHost {
		fmt.Fprintf(&head, "Host: %s\r\n", hostOf(target))
	}
	if length > 0 {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", length)
	}
	head.WriteString("\r\n")
	request := &wire.Request{}
	if err := request.Parse(head.Bytes()); err != nil {
		return nil, api.NewProblem(api.CodeBadRequest, "%v", err)
	}
	return request, nil
}

// hostOf is what a client writes into Host for a target; any name will do for a path.
func hostOf(target string) string {
	if _, behind, absolute := strings.Cut(target, "://"); absolute && !strings.HasPrefix(target, "/") {
		host, _, _ := strings.Cut(behind, "/")
		host, _, _ = strings.Cut(host, "?")
		return host
	}
	return "stead"
}

// fields shows a parsed head to the key rules.
type fields []wire.Field

func (f fields) Len() int                      { return len(f) }
func (f fields) At(i int) (name, value []byte) { return f[i].Name, f[i].Value }

// explainBy applies rules and table of a ring to a request.
func explainBy(view *ring.View, request *wire.Request, body []byte) (found explanation, err error) {
	rules, problem := view.Settings.KeyRules()
	if problem != nil {
		return found, fmt.Errorf("cannot read the cluster's key rules: %w", problem)
	}
	key, rule, err := shardkey.Extract(rules, &shardkey.Request{
		Target: request.Target, Headers: fields(request.Fields), Length: request.Length, Body: body,
	})
	if why := keyless(view.Settings.NoKey); err == shardkey.ErrNoKey && why != "" {
		found.Why = why
		return found, nil
	}
	if err != nil {
		return found, err
	}
	found.Rule = string(api.KeyFromCookie) + ":" + api.KeyCookie
	if rule < len(view.Settings.Keys) {
		found.Rule = view.Settings.Keys[rule]
	}
	found.Location = view.Location(key)
	found.Why = fmt.Sprintf("rule %d of %d names the key, its hash falls in slot %d of %d, ",
		rule+1, len(rules), found.Slot, view.Table.Bits.Slots()) + fate(found.Location)
	return found, nil
}

// keyless says what becomes of requests without a key; empty: they are refused.
func keyless(noKey api.NoKey) string {
	switch noKey {
	case api.NoKeyAny:
		return "no rule applies, and the cluster sends such requests to any node that is up (no-key=any)"
	case api.NoKeySticky:
		return "no rule applies, and the cluster gives such clients a key of their own, in the cookie " + api.KeyCookie + " (no-key=sticky)"
	default:
		return ""
	}
}

// fate says what becomes of requests for a location.
func fate(location api.Location) string {
	if len(location.Replicas) == 0 {
		return "which no node holds: requests answer 503 slot_unassigned"
	}
	primary := location.Replicas[0]
	held := fmt.Sprintf("which %s holds since epoch %d", primary.ID, location.Epoch)
	if primary.Status == ring.StatusDown.String() {
		return held + "; it is down: requests answer 503 owner_down"
	}
	return held
}

func (e explanation) quotedKey() string {
	key, _ := hex.DecodeString(e.KeyHex)
	return fmt.Sprintf("%q", key)
}
