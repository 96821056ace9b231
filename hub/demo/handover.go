package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

// standing is the person with a consent in force whom the trickle asks for
// again and again: withdraw it and the next request is withheld.
type standing struct {
	person  *someone
	code    deskCode
	consent exchange.ConsentID

	last *sent                  // the newest request
	why  string                 // it was not released
	seen atomic.Pointer[string] // as it is shown
}

// handOver leaves key files, records and a configuration for whoever wants to
// try for himself, and gives the commands.
func (w *world) handOver(ctx context.Context) ([]offer, error) {
	d := w.desks["pistoia"]
	p := w.cast.next(d.prefix)
	st := &standing{person: p, code: byLocal(p)}
	c, err := d.decide(ctx, st.code, "sds_pistoiese", "given")
	if err != nil {
		return nil, err
	}
	st.consent = c.ID
	w.standing.Store(st)
	w.loose = true
	if err := w.leaveRequests(st); err != nil {
		return nil, err
	}
	if err := w.leaveConfig(); err != nil {
		return nil, err
	}
	return w.offers(st), nil
}

// leaveRequests writes a request of each kind that the commands push.
func (w *world) leaveRequests(st *standing) error {
	if err := os.MkdirAll(filepath.Join(w.dir, "try"), 0o700); err != nil {
		return fmt.Errorf("leave requests to try: %w", err)
	}
	livorno, pistoia := w.desks["livorno"], w.desks["pistoia"]
	own := w.cast.next("TRY")
	for name, r := range map[string]*deskRequest{
		"bed.json":           livorno.request("POSTO_LETTO", "EMERGENZA", asking(own, byLocal(own))),
		"accompaniment.json": pistoia.request("ACC_SANITARIO", "ORDINARIA", asking(st.person, st.code)),
	} {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return fmt.Errorf("leave requests to try: %w", err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, "try", name), append(b, '\n'), 0o600); err != nil {
			return fmt.Errorf("leave requests to try: %w", err)
		}
	}
	return nil
}

// configFile is where commands find the hub.
func (w *world) configFile() string { return filepath.Join(w.dir, "raccordo.yaml") }

// leaveConfig writes the configuration as the hub runs with it: the addresses
// are those it got.
func (w *world) leaveConfig() error {
	b, err := yaml.Marshal(map[string]any{
		"data_dir": filepath.Join(w.dir, "hub"), "network": "builtin:reticulate", "listen": w.hub.Addr(),
		"admin": map[string]string{"listen": w.hub.AdminAddr()},
	})
	if err != nil {
		return fmt.Errorf("leave the configuration: %w", err)
	}
	if err := os.WriteFile(w.configFile(), b, 0o600); err != nil {
		return fmt.Errorf("leave the configuration: %w", err)
	}
	return nil
}

// offers are the commands, as they stand.
func (w *world) offers(st *standing) []offer {
	run := quote(w.opt.Executable)
	config := "--config " + quote(w.configFile())
	file := func(parts ...string) string { return quote(filepath.Join(append([]string{w.dir}, parts...)...)) }
	push := func(as exchange.SystemID, name string) string {
		return fmt.Sprintf("%s push %s --as %s --key %s service_request %s", run, config, as, quote(w.keyFile(as)), file("try", name))
	}
	return []offer{
		{"push a record of your own (edit the file first, if you like)", push(w.desks["livorno"].caller.system, "bed.json")},
		{"withdraw a consent: the next request is withheld, and the line above says why",
			fmt.Sprintf("%s consent withdraw %s %s && %s", run, config, st.consent, push(w.desks["pistoia"].caller.system, "accompaniment.json"))},
		{"verify the ledger", fmt.Sprintf(`L=$(mktemp -d)/ledger; %s ledger export %s "$L" && %s ledger verify "$L" --key "$L.pub"`, run, config, run)},
	}
}

// quote makes one word of s for a shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// trickle goes on with a request at a time until ctx ends. A request that is
// refused or lost ends nothing: people try things out here.
func (w *world) trickle(ctx context.Context) {
	t := time.NewTicker(w.opt.Pace)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		if n%4 == 3 {
			w.askForStanding(ctx)
		} else {
			w.askForAnybody(ctx, n)
		}
		w.watchStanding(ctx)
	}
}

func (w *world) askForAnybody(ctx context.Context, n int) {
	ts := territories()
	d := w.desks[ts[w.cast.random.IntN(len(ts))]]
	service := services()[w.cast.random.IntN(len(services()))]
	if len(receivers(d.territory, service)) == 0 {
		return
	}
	p, code := w.stranger(d, n)
	w.trickleOne(ctx, d, d.request(service, []string{"ORDINARIA", "URGENTE"}[n%2], asking(p, code)))
}

// stranger is one of a bounded number of persons: a long run meets them again.
func (w *world) stranger(d *desk, n int) (*someone, deskCode) {
	const most = 500
	if len(w.cast.all) < most {
		return w.met(d, n)
	}
	p := w.cast.all[w.cast.random.IntN(most)]
	return p, byCF(p)
}

func (w *world) askForStanding(ctx context.Context) {
	d, st := w.desks["pistoia"], w.standing.Load()
	s := w.trickleOne(ctx, d, d.request("ACC_SANITARIO", "ORDINARIA", asking(st.person, st.code)))
	if s == nil {
		return
	}
	st.last = s
}

// trickleOne pushes one request as of now; nil if it was not accepted.
func (w *world) trickleOne(ctx context.Context, d *desk, r *deskRequest) *sent {
	r.RecordedAt, r.AskedAt = time.Now().Round(time.Second), time.Now().Round(time.Second)
	s, err := d.push(ctx, r)
	if err != nil {
		return nil
	}
	w.trickled++
	return s
}

// watchStanding asks, as the desk, what became of the last request of the
// person whose consent may be withdrawn, and, as an operator, why.
func (w *world) watchStanding(ctx context.Context) {
	st := w.standing.Load()
	if st.last == nil {
		return
	}
	recipients, err := st.last.caller.status(ctx, st.last.typ, st.last.record)
	if err != nil {
		return
	}
	for _, r := range recipients {
		if r.Role != "health_service" {
			continue
		}
		why := string(r.Reason)
		switch {
		case r.State == "delivered":
			st.why = ""
		case r.State == "not_released" && st.why == "":
			st.why = w.reasonInLedger(ctx, st.last.record, r.Flow) // looked up once: a long ledger takes a while
			fallthrough
		case r.State == "not_released":
			why = st.why
		}
		text := fmt.Sprintf("request %s to %s, on consent %s: %s", st.last.ref, r.Body, st.consent, r.State)
		if why != "" {
			text += " (" + why + ")"
		}
		st.seen.Store(&text)
	}
}

// lookAgain brings the line about the last request up to date once everything
// under way has ended: nothing is pending then.
func (w *world) lookAgain(ctx context.Context) {
	if st := w.standing.Load(); st != nil {
		st.seen.Store(nil) // rather no line than an old one
		w.watchStanding(ctx)
	}
}

// reasonInLedger is why a record was not released: the sender is not told, the
// ledger is.
func (w *world) reasonInLedger(ctx context.Context, record exchange.RecordID, flow exchange.FlowID) string {
	dir, err := os.MkdirTemp(w.dir, "look-")
	if err != nil {
		return ""
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := control.Call[control.Exported](ctx, w.control, "ledger/export", control.ExportRequest{Dir: dir}); err != nil {
		return ""
	}
	rows, err := readEnds(os.DirFS(dir))
	if err != nil {
		return ""
	}
	return string(rows[ended{record, exchange.FlowNumber(flow)}].Reason)
}

// notes are the lines below the table.
func (w *world) notes() []string {
	st := w.standing.Load()
	if st == nil || st.seen.Load() == nil {
		return nil
	}
	return []string{*st.seen.Load()}
}
