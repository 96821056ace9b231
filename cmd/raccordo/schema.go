package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"raccordo/schemas"
	"raccordo/schemas/catalog"
)

func (p *process) schema(ctx context.Context, args []string) error {
	return p.acts(ctx, args, `Schemas of records, draft-07 within the closed list of keywords that the hub holds.`, act{"check", p.schemaCheck})
}

// maxSchema bounds a schema file.
const maxSchema = 4 << 20

func (p *process) schemaCheck(_ context.Context, args []string) error {
	c := p.command("schema check", "FILE...",
		`Checks schema files as the hub would before it used them: only known keywords, no cycle, every string, list and number bounded, patterns
		that cost little, and a category of personal data on every property. All faults of all files are reported; it exits 4 if there is one.`,
		`raccordo schema check deploy/networks/reticulate/formats/desk_request.json`)
	if err := c.parse(args, 1, -1); err != nil {
		return err
	}
	all, err := catalog.Load()
	if err != nil {
		return err
	}
	var files []schemas.Source
	var declarations []string
	for _, name := range c.args {
		if strings.HasSuffix(name, ".xml.json") {
			declarations = append(declarations, name)
			continue
		}
		src, err := readBounded(name, maxSchema)
		if err != nil {
			return err
		}
		files = append(files, schemas.Source{File: name, Src: src})
	}
	r := all.Loader().Report(files)
	return c.faults(len(r.Faults), r, func(w io.Writer) {
		for _, name := range declarations {
			fmt.Fprintf(w, "note: %s is an XML declaration, no schema: raccordo check looks at it\n", name)
		}
		for _, f := range r.Faults {
			fmt.Fprintln(w, f)
		}
		fmt.Fprintf(w, "%s, %s\n", count(r.Files, "file"), count(len(r.Faults), "fault"))
	})
}

// readBounded reads a file that may not be larger than it should be.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, usagef("%s is larger than %d bytes", name, limit)
	}
	return b, nil
}
