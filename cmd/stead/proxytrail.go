package main

import (
	"github.com/spf13/cobra"

	"github.com/stead-io/stead/dataplane"
	"github.com/stead-io/stead/dataplane/accesslog"
	"github.com/stead-io/stead/dataplane/origin"
)

// trailFlags say what a proxy tells nodes, clients and its operator of requests, and whom it believes.
type trailFlags struct {
	trusted   []string
	accessLog string
}

func (f *trailFlags) add(command *cobra.Command, config *dataplane.Config) {
	flags, trail := command.Flags(), &config.Trail
	flags.StringSliceVar(&f.trusted, "trusted-proxies", nil, "`networks` of proxies before this one that are believed when they say who the client is")
	flags.BoolVar(&trail.ProxyProtocol, "proxy-protocol", trail.ProxyProtocol, "read a PROXY header, version 1 or 2, first on connections from --trusted-proxies")
	flags.BoolVar(&trail.XForwarded, "x-forwarded", trail.XForwarded, "tell nodes of the client in X-Forwarded-For, -Proto and -Host")
	flags.BoolVar(&trail.Forwarded, "forwarded", trail.Forwarded, "tell nodes of the client in Forwarded")
	flags.BoolVar(&trail.RequestID, "request-id", trail.RequestID, "give requests an id, told to nodes and clients in X-Request-Id")
	flags.StringVar(&trail.Via, "via", trail.Via, "`name` of the proxy in Via; empty for none")

	access := &config.AccessLog
	flags.StringVar(&f.accessLog, "access-log", string(access.Format), "a line for each request: json, combined or off")
	completeWords(command, "access-log", string(accesslog.JSON), string(accesslog.Combined), string(accesslog.Off))
	flags.StringVar(&access.File, "access-log-file", access.File, "`file` that the access log is appended to, in place of stdout")
	flags.Float64Var(&access.Sample, "access-log-sample", access.Sample, "`share` of requests that get a line; answers of 5xx always do")
	flags.BoolVar(&access.Keys, "access-log-keys", access.Keys, "show keys in the access log's targets and referers")

	flags.StringVar(&config.Tracing.Collector, "traces", config.Tracing.Collector, "`URL` of an OpenTelemetry collector (OTLP over HTTP) to send spans to; without it there are none")
	flags.Float64Var(&config.Tracing.Sample, "trace-sample", config.Tracing.Sample, "`share` of the traces begun here that have spans; those begun elsewhere say themselves")
}

func (f *trailFlags) complete(config *dataplane.Config) (err error) {
	if config.Trail.TrustedProxies, err = origin.ParseNetworks(f.trusted); err != nil {
		return usageError{err}
	}
	config.AccessLog.Format = accesslog.Format(f.accessLog)
	return nil
}
