package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	return string(b)
}

// What the README says to paste works as it stands, line by line.
func TestReadmeCommands(t *testing.T) {
	_, rest, found := strings.Cut(readme(t), "## A hub of your own")
	require.True(t, found)
	_, rest, found = strings.Cut(rest, "```\n")
	require.True(t, found)
	block, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	s := newSite(t)
	n := 0
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			continue
		case n == 0:
			require.True(t, strings.HasPrefix(line, "raccordo serve "))
			s.serve(line)
		case strings.HasPrefix(line, "export "):
			s.env = append(s.env, strings.TrimPrefix(line, "export "))
		case strings.HasPrefix(line, "raccordo mailbox ") && !strings.HasSuffix(line, "--ack"):
			s.await("by flow livorno_work", line)
		default:
			s.must(line)
		}
		n++
	}
	require.Greater(t, n, 5)
}

// The README names every subcommand and every package at the top of hub.
func TestReadmeIsComplete(t *testing.T) {
	text := readme(t)
	for _, s := range subcommands() {
		require.Contains(t, text, "`"+s.name, s.name)
	}
	top := filepath.Join("..", "..")
	entries, err := os.ReadDir(filepath.Join(top, "hub"))
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() && e.Name() != "testdata" {
			require.Contains(t, text, "`hub/"+e.Name()+"`", e.Name())
		}
	}
	// and no package that is not there
	for _, part := range strings.Split(text, "`") {
		if strings.HasPrefix(part, "hub/") && !strings.ContainsAny(part, " <") && part != "hub/PACKAGE" {
			_, err := fs.Stat(os.DirFS(top), strings.TrimSuffix(part, "/"))
			require.NoError(t, err, part)
		}
	}
}
