package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/stead-io/stead/api"
	"github.com/stead-io/stead/nodesvc"
)

// routes answers requests that the guard let through: this node holds their rooms.
func routes(node *nodesvc.Node, rooms *rooms) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
		route, _ := nodesvc.RouteOf(r.Context())
		var sum int64
		err := node.Read(r.Context(), route.Key, func() error {
			sum = rooms.sum(route.Slot, string(route.Key))
			return nil
		})
		answer(w, r, sum, err)
	})
	mux.HandleFunc("POST /rooms/{room}/add", func(w http.ResponseWriter, r *http.Request) {
		number, problem := readNumber(r)
		if problem != nil {
			problem.WriteTo(w)
			return
		}
		room := nodesvc.KeyOf(r.Context())
		sum, err := node.Update(r.Context(), room, func() ([]byte, error) {
			return json.Marshal(added{Room: string(room), Number: number})
		})
		answer(w, r, sum, err)
	})
	return mux
}

// readNumber reads the body. What is wrong with it is known before anything is changed.
func readNumber(r *http.Request) (int64, *api.Problem) {
	text, err := io.ReadAll(io.LimitReader(r.Body, 32))
	number, errNumber := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || errNumber != nil {
		return 0, api.NewProblem(api.CodeInvalid, "the body is not a whole number")
	}
	return number, nil
}

// answer shows a sum; of an error WriteError knows what the client may do.
func answer(w http.ResponseWriter, r *http.Request, sum any, err error) {
	if err != nil {
		nodesvc.WriteError(w, r, err)
		return
	}
	fmt.Fprintln(w, sum)
}
