package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

func (p *process) version(_ context.Context, args []string) error {
	c := p.command("version", "", `Prints the version of this binary, as the revision it was built from gives it, and of Go.`, `raccordo version`)
	if err := c.parse(args, 0, 0); err != nil {
		return err
	}
	v := struct {
		Version  string `json:"version"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return c.show(v, func(w io.Writer) { fmt.Fprintf(w, "raccordo %s (%s, %s)\n", v.Version, v.Go, v.Platform) })
}

// version is what the Go tool wrote into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "unreleased"
	}
	return info.Main.Version
}
