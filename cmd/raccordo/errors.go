package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"raccordo/hub"
	"raccordo/hub/exchange"
	"raccordo/hub/network"
	"raccordo/hub/store"
)

// The exit codes (design.md section 9).
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 3
	exitFaults = 4
	exitPartly = 5
)

// exit is an error with its exit code. Without a cause there is nothing more to
// print: the command has said it all.
type exit struct {
	code  int
	cause error
}

func (e *exit) Error() string {
	if e.cause == nil {
		return ""
	}
	return e.cause.Error()
}

func (e *exit) Unwrap() error { return e.cause }

func usagef(format string, args ...any) error {
	return &exit{exitUsage, fmt.Errorf(format, args...)}
}

func exitCode(err error) int {
	var e *exit
	var n *hub.NetworkError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &n), errors.Is(err, hub.ErrConfig), errors.Is(err, hub.ErrInUse), errors.Is(err, store.ErrForeign):
		return exitConfig
	}
	return exitFailed
}

// failure is an error for machines.
type failure struct {
	Command string           `json:"command,omitempty"`
	Exit    int              `json:"exit"`
	Reason  exchange.Reason  `json:"reason,omitempty"`
	Detail  string           `json:"detail"`
	Retry   string           `json:"retry_after,omitempty"`
	Errors  []exchange.Fault `json:"errors,omitempty"`
	Network []network.Fault  `json:"network_faults,omitempty"`
}

// report prints an error, to standard error.
func (p *process) report(err error) {
	f := failure{Command: p.name, Exit: exitCode(err), Detail: err.Error()}
	var e *exchange.Error
	var n *hub.NetworkError
	if errors.As(err, &e) {
		f.Reason, f.Errors = e.Reason, e.Faults
		if f.Detail = e.Detail; f.Detail == "" {
			f.Detail = string(e.Reason)
		}
		if e.RetryAfter > 0 {
			f.Retry = e.RetryAfter.String()
		}
	}
	if errors.As(err, &n) {
		f.Network = n.Faults
		f.Detail = fmt.Sprintf("the network has %s; nothing of it was loaded", count(len(n.Faults), "fault"))
	}
	if f.Detail == "" {
		return
	}
	if p.output == formatJSON {
		enc := json.NewEncoder(p.stderr)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(map[string]failure{"error": f})
		return
	}
	f.text(p.stderr)
}

func (f failure) text(w io.Writer) {
	name := "raccordo"
	if f.Command != "" {
		name += " " + f.Command
	}
	reason := ""
	if f.Reason != "" && string(f.Reason) != f.Detail {
		reason = string(f.Reason) + ": "
	}
	fmt.Fprintf(w, "%s: %s%s\n", name, reason, f.Detail)
	for _, x := range f.Errors {
		fmt.Fprintf(w, "  %s\n", faultText(x))
	}
	for _, x := range f.Network {
		fmt.Fprintf(w, "  %s\n", x)
	}
	if f.Retry != "" {
		fmt.Fprintf(w, "  try again in %s\n", f.Retry)
	}
}

func faultText(x exchange.Fault) string {
	at := string(x.Pointer)
	if at == "" {
		at = "(the whole)"
	}
	if x.Line > 0 {
		at = fmt.Sprintf("line %d: %s", x.Line, at)
	}
	return at + ": " + x.Rule
}

// oneOf is whether err is a refusal of one of these codes.
func oneOf(err error, codes ...exchange.Code) bool {
	var e *exchange.Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}
