// Package build says which build of Stead a process runs. It owns the version that the linker sets for
// releases; everything else is what Go recorded.
package build

import (
	"runtime"
	"runtime/debug"
)

// version is set by the linker for releases; other builds go by what Go recorded.
var version string

// Info is one build.
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Modified bool   `json:"modified,omitempty"` // the source differed from the revision
	Time     string `json:"time,omitempty"`     // of the revision
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// This is the build that runs.
func This() Info {
	this := Info{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return this
	}
	if this.Version == "" {
		this.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			this.Revision = setting.Value
		case "vcs.modified":
			this.Modified = setting.Value == "true"
		case "vcs.time":
			this.Time = setting.Value
		}
	}
	return this
}

// Labels names the build for a metric whose value is always 1.
func (i Info) Labels() map[string]string {
	return map[string]string{"version": i.Version, "revision": i.Revision, "go": i.Go}
}
