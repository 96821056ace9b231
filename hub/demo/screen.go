package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"raccordo/hub/exchange"
)

// screen shows how the demonstration fares: a short table, refreshed in place
// on a terminal, and printed now and then elsewhere.
type screen struct {
	world  *world
	out    io.Writer
	live   bool
	mu     sync.Mutex
	title  string
	offers []offer
	quit   chan struct{}
	done   chan struct{}
	once   sync.Once
}

// offer is a command to try, as it stands.
type offer struct{ what, command string }

func newScreen(w *world) *screen {
	s := &screen{world: w, out: w.opt.Screen, live: isTerminal(w.opt.Screen), quit: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// refresh is how often the table is shown anew.
func (s *screen) refresh() time.Duration {
	switch {
	case s.world.opt.refresh > 0:
		return s.world.opt.refresh
	case s.live:
		return time.Second
	}
	return 15 * time.Second
}

func (s *screen) run() {
	defer close(s.done)
	t := time.NewTicker(s.refresh())
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if s.live || s.offered() {
				s.show()
			}
		case <-s.quit:
			return
		}
	}
}

func (s *screen) offered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.offers) > 0
}

func (s *screen) stop() {
	s.once.Do(func() { close(s.quit) })
	<-s.done
}

// step says what is played now.
func (s *screen) step(title string) {
	s.mu.Lock()
	s.title = title
	s.mu.Unlock()
	if s.live {
		s.show()
		return
	}
	s.print([]byte("- " + title + "\n"))
}

// offer shows the table with commands to try.
func (s *screen) offer(list []offer) {
	s.mu.Lock()
	s.title, s.offers = "requests trickle in; Ctrl-C ends", list
	s.mu.Unlock()
	s.show()
}

// end shows the table once more, and what the run comes to.
func (s *screen) end(sum *Summary) {
	s.mu.Lock()
	s.title, s.offers = "the end", nil
	s.mu.Unlock()
	s.stop()
	s.show()
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n%d records accepted, %d refused; ledger of %d entries, verified: %t; numbers balance: %t\n",
		sum.Requests.Accepted, sum.Requests.Refused, sum.Run.Entries, sum.Verified, sum.Balanced)
	for _, f := range sum.Findings {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	s.print(b.Bytes())
}

func (s *screen) print(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(b) // a screen that is gone stops nothing
}

func (s *screen) show() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	status, err := s.world.status(ctx)
	if err != nil {
		return // it is busy; the next round shows it
	}
	var b bytes.Buffer
	if s.live {
		b.WriteString("\x1b[H\x1b[2J")
	}
	s.mu.Lock()
	title, offers := s.title, s.offers
	s.mu.Unlock()
	fmt.Fprintf(&b, "raccordo demo: %s\n\nAPI     %s\nmetrics %s/metrics\n\n", title, status.API, status.Admin)
	table(&b, status.Flows, s.rows()-aroundTable-3*len(offers))
	fmt.Fprintf(&b, "\nrefused records: %s\nledger: %d entries\n", s.refused(ctx), status.Entries)
	for _, line := range s.world.notes() {
		fmt.Fprintf(&b, "%s\n", line)
	}
	for i, o := range offers {
		fmt.Fprintf(&b, "\n%d. %s\n   %s\n", i+1, o.what, o.command)
	}
	s.print(b.Bytes())
}

// aroundTable is how many lines stand above and below the table.
const aroundTable = 13

// rows is how many lines there are to show something in; without a terminal
// there is room for everything.
func (s *screen) rows() int {
	if f, ok := s.out.(*os.File); ok && s.live {
		if n := rowsOf(f); n > 0 {
			return max(n, aroundTable+12)
		}
	}
	return 1000
}

// table prints the states of protocol.md 7 per flow, those columns that have
// something in them. What does not fit in the given number of lines is shown
// as one: the flows with nothing but delivered records.
func table(out io.Writer, flows map[exchange.FlowID]map[string]int64, most int) {
	var columns []string
	for _, st := range exchange.States() {
		for _, states := range flows {
			if states[st.String()] != 0 {
				columns = append(columns, st.String())
				break
			}
		}
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "flow\taccepted\t%s\t\n", strings.Join(columns, "\t"))
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(flows)), func(f exchange.FlowID) bool {
		return !slices.ContainsFunc(columns, func(c string) bool { return flows[f][c] != 0 })
	})
	rest := map[string]int64{}
	alike := 0
	for _, f := range names {
		if len(names) > most && onlyDelivered(flows[f]) {
			alike++
			rest[exchange.StateDelivered.String()] += flows[f][exchange.StateDelivered.String()]
			continue
		}
		row(t, string(f), columns, flows[f])
	}
	if alike > 0 {
		row(t, fmt.Sprintf("(%d other flows)", alike), columns, rest)
	}
	_ = t.Flush()
}

func onlyDelivered(states map[string]int64) bool {
	for state, n := range states {
		if n != 0 && state != exchange.StateDelivered.String() {
			return false
		}
	}
	return true
}

func row(out io.Writer, name string, columns []string, states map[string]int64) {
	var sum int64
	line := ""
	for _, c := range columns {
		sum += states[c]
		line += "\t"
		if states[c] != 0 {
			line += fmt.Sprint(states[c])
		}
	}
	fmt.Fprintf(out, "%s\t%d%s\t\n", name, sum, line)
}

// refused is what the hub's metrics say of refusals: "2 schema, 1 no_recipient".
func (s *screen) refused(ctx context.Context) string {
	m, err := s.world.metrics(ctx)
	if err != nil {
		return "not known now"
	}
	counts := sumBy(m, "raccordo_refused_records_total", "reason")
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[r], r))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
