package openapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/controlplane"
)

const patience = 20 * time.Second

// member is a running member, a cluster by itself.
type member struct {
	t    *testing.T
	base string
	http *http.Client
}

func start(t *testing.T) member { return startWith(t, api.StateNone, 1) }

// startWith starts a member of a cluster that keeps such state.
func startWith(t *testing.T, state api.State, replicas int) member {
	t.Helper()
	config := controlplane.NewConfig()
	config.Settings.State, config.Settings.Replicas = state, replicas
	config.Listen, config.RaftListen, config.DataDir = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	config.PlanDelay = time.Millisecond
	config.Logger = slog.New(slog.DiscardHandler)
	opened, err := controlplane.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	m := member{t, "http://" + opened.APIAddr(), &http.Client{Timeout: patience, Transport: &http.Transport{}}}
	t.Cleanup(func() {
		m.http.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := opened.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	m.await("/readyz", func(status int, _ []byte) bool { return status == http.StatusOK })
	return m
}

// startManaged starts a member of a cluster whose slots n1, n2 and n3 share, two replicas each, and answers
// n1's session. The others have left: nobody serves what only they had.
func startManaged(t *testing.T) (m member, session api.SessionID) {
	m = startWith(t, api.StateManaged, 2)
	var leave []try
	for i := 3; i > 0; i-- {
		var registered api.Registered
		_, body := m.send("POST", try{path: "/v1/nodes", body: fmt.Sprintf(
			`{"id":"n%d","address":"127.0.0.1:%d","state":"managed","store_id":"%032x","ttl":"10m"}`, i, 1000+i, i)})
		if err := json.Unmarshal(body, &registered); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		session = registered.Session
		leave = append(leave, try{path: fmt.Sprintf("/v1/nodes/n%d/beat", i), body: fmt.Sprintf(`{"session":%q,"leaving":true}`, session)})
	}
	m.await("/v1/cluster", func(_ int, body []byte) bool {
		var cluster api.Cluster
		return json.Unmarshal(body, &cluster) == nil && cluster.Unassigned == 0
	})
	for _, goodbye := range leave[:2] {
		m.send("POST", goodbye)
	}
	m.await("/v1/slots", func(_ int, body []byte) bool { return strandedIn(body) != "" })
	return m, session
}

// stranded is a slot that nobody serves, as a path names it.
func (m member) stranded() string {
	_, body := m.send("GET", try{path: "/v1/slots"})
	return strandedIn(body)
}

func strandedIn(feed []byte) string {
	var read api.SlotFeed
	if json.Unmarshal(feed, &read) != nil {
		return ""
	}
	listed := make(map[api.NodeID]api.SlotNode)
	for _, node := range read.Nodes {
		listed[node.ID] = node
	}
	for _, slot := range read.Slots {
		if slot.Standing(func(r api.Replica) bool { return listed[r.Node].Runs(r) }) == api.SlotStranded {
			return strconv.Itoa(int(slot.Slot))
		}
	}
	return ""
}

func (m member) newestChange() string {
	_, body := m.send("GET", try{path: "/v1/cluster"})
	var cluster api.Cluster
	if err := json.Unmarshal(body, &cluster); err != nil {
		m.t.Fatalf("%v: %s", err, body)
	}
	return strconv.FormatUint(uint64(cluster.Change), 10)
}

// await asks until the answer is as wanted.
func (m member) await(path string, reached func(status int, body []byte) bool) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if response, body := m.send("GET", try{path: path}); reached(response.StatusCode, body) {
			return
		}
	}
	m.t.Fatalf("waited in vain for %s", path)
}

func (m member) send(method string, asked try) (*http.Response, []byte) {
	m.t.Helper()
	if path, copied := strings.CutPrefix(asked.body, "@"); copied {
		_, body := m.send(http.MethodGet, try{path: path})
		asked.body = string(body)
	}
	request, err := http.NewRequest(method, m.base+asked.path, strings.NewReader(asked.body))
	if err != nil {
		m.t.Fatal(err)
	}
	for _, header := range asked.headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := m.http.Do(request)
	if err != nil {
		m.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := readAnswer(response)
	if err != nil {
		m.t.Fatal(err)
	}
	return response, body
}

// readAnswer reads a body whole, or the first line of one that does not end.
func readAnswer(response *http.Response) ([]byte, error) {
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		return bufio.NewReader(response.Body).ReadBytes('\n')
	}
	return io.ReadAll(response.Body)
}

// TestMembersKeepToTheDocument: every operation is tried on a running member, and every answer is what
// the document promises.
func TestMembersKeepToTheDocument(t *testing.T) {
	doc, plain := generate(t), start(t)
	managed, session := startManaged(t)
	for _, o := range operations {
		method, path, _ := strings.Cut(o.endpoint, " ")
		described := doc.Paths[path][strings.ToLower(method)]
		good := 0
		m := plain
		if o.managed {
			m = managed
		}
		for _, try := range o.tries {
			if try.path == "" {
				try.path = path
			}
			if strings.Contains(try.path, "{") {
				t.Fatalf("%s: a try needs a path of its own", o.endpoint)
			}
			checkBody(t, doc, o, described, try)
			if o.managed {
				try.body = strings.ReplaceAll(try.body, `"9-9"`, strconv.Quote(string(session)))
				try.path = strings.NewReplacer("CHANGE", m.newestChange(), "STRANDED", m.stranded()).Replace(try.path)
			}
			response, body := m.send(method, try)
			if response.StatusCode != try.status {
				t.Errorf("%s %s %s: answered %d, want %d: %s", method, try.path, try.body, response.StatusCode, try.status, api.Clip(string(body)))
				continue
			}
			if err := doc.check(described, response, body); err != nil {
				t.Errorf("%s %s: %v", method, try.path, err)
			}
			if try.status < 400 {
				good++
			}
		}
		if good == 0 {
			t.Errorf("%s has no try that succeeds", o.endpoint)
		}
		settle(m, o)
	}
}

// settle lets what a registration calls for take place before the next row.
func settle(m member, o operation) {
	if o.id != "registerNode" {
		return
	}
	m.await("/v1/nodes", func(_ int, body []byte) bool {
		var list api.NodeList
		if json.Unmarshal(body, &list) != nil {
			return false
		}
		held := 0
		for _, node := range list.Nodes {
			if node.Slots > 0 {
				held++
			}
		}
		return held == 2
	})
}

// checkBody holds the body of a try that succeeds to the document: it is an example for others.
func checkBody(t *testing.T, doc *document, o operation, described described, try try) {
	t.Helper()
	if try.body == "" || try.status >= 400 {
		return
	}
	if o.octets != "" {
		return
	}
	if described.RequestBody == nil {
		t.Errorf("%s takes no body", o.endpoint)
		return
	}
	if err := doc.validate(described.RequestBody.Content[api.TypeJSON].Schema, decodeJSON(t, []byte(try.body))); err != nil {
		t.Errorf("%s: body %s: %v", o.endpoint, try.body, err)
	}
}

// check holds an answer to what the document says of its status.
func (d *document) check(described described, got *http.Response, body []byte) error {
	promised, known := described.Responses[strconv.Itoa(got.StatusCode)]
	if !known && got.StatusCode < 400 {
		return fmt.Errorf("status %d is not described", got.StatusCode)
	}
	if !known {
		promised = d.Components.Responses["Problem"]
	}
	for name := range promised.Headers {
		if _, there := got.Header[name]; !there {
			return fmt.Errorf("status %d comes without %s", got.StatusCode, name)
		}
	}
	if len(promised.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("status %d comes with a body: %s", got.StatusCode, api.Clip(string(body)))
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	content, known := promised.Content[kind]
	if !known {
		return fmt.Errorf("status %d comes as %s, which is not described", got.StatusCode, kind)
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	value, err := readJSON(body)
	if err != nil {
		return err
	}
	return d.validate(content.Schema, value)
}

// TestOperatorsAreToldWhatIsWrong: in a body for people, a field that is not described and a field of
// another type are refused by name; beats ignore what they do not know.
func TestOperatorsAreToldWhatIsWrong(t *testing.T) {
	doc, m := generate(t), start(t)
	m.send("POST", try{path: "/v1/nodes", body: `{"id":"n1","address":"127.0.0.1:1001"}`})
	for _, o := range operations {
		method, path, _ := strings.Cut(o.endpoint, " ")
		described := doc.Paths[path][strings.ToLower(method)]
		if described.RequestBody == nil || o.octets != "" {
			continue
		}
		path = strings.NewReplacer("changes/{id}", "changes/2", "{id}", "n1", "{slot}", "7").Replace(path)
		shape := described.RequestBody.Content[api.TypeJSON].Schema
		if shape.Ref != "" {
			shape = doc.Components.Schemas[strings.TrimPrefix(shape.Ref, "#/components/schemas/")]
		}
		wrong := map[string]string{"no_such_field": `{"no_such_field":1}`}
		for name, property := range shape.Properties {
			wrong[name] = fmt.Sprintf(`{%q:%s}`, name, notA(doc, property))
		}
		for field, body := range wrong {
			if o.open && field == "no_such_field" {
				continue
			}
			response, answer := m.send(method, try{path: path, body: body})
			var problem api.Problem
			_ = json.Unmarshal(answer, &problem)
			named := problem.Field == field || strings.HasPrefix(problem.Field, field+".")
			if response.StatusCode != http.StatusBadRequest || problem.Code != api.CodeInvalid || !named {
				t.Errorf("%s %s: %d %s, want 400 naming %s", o.endpoint, body, response.StatusCode, answer, field)
			}
		}
	}
	for _, path := range []string{"/v1/nodes/n1/beat", "/v1/proxies/p1/beat"} {
		body := `{"address":"127.0.0.1:1","no_such_field":1}`
		if response, answer := m.send("POST", try{path: path, body: body}); response.StatusCode != http.StatusOK {
			t.Errorf("POST %s %s: %d %s", path, body, response.StatusCode, answer)
		}
	}
}

// notA is a JSON value of another type than the schema's.
func notA(doc *document, s *schema) string {
	if s.Ref != "" {
		s = doc.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	if s.Type == "string" {
		return "7"
	}
	return `"x"`
}

func decodeJSON(t *testing.T, raw []byte) any {
	t.Helper()
	value, err := readJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// readJSON keeps numbers as they stand.
func readJSON(raw []byte) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}
