package httpapi

// Endpoint is a request that the control API serves; {name} in Path stands for one segment.
type Endpoint struct{ Method, Path string }

// Endpoints lists all of them: what docs/api/openapi.json must describe.
func Endpoints() []Endpoint {
	var list []Endpoint
	for _, route := range new(Server).routes() {
		list = append(list, Endpoint{route.method, route.path})
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		list = append(list, Endpoint{"GET", path})
	}
	return list
}
