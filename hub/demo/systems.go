package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/hub/exchange"
	"raccordo/hub/network"
)

// day is when the scenario plays: content is the same at every run.
func day() time.Time {
	return time.Date(2026, 3, 2, 9, 0, 0, 0, time.FixedZone("CET", 3600))
}

// seats are the bodies that grant benefits: Belfiore and ISTAT code and name of
// their seat.
var seats = map[exchange.BodyID][3]string{
	"comune_livorno":   {"E625", "049009", "Comune di Livorno"},
	"comune_capannori": {"B648", "046007", "Comune di Capannori"},
	"comune_pistoia":   {"G713", "047014", "Comune di Pistoia"},
	"sds_pistoiese":    {"H109", "047017", "Società della Salute Pistoiese"},
	"sds_grossetana":   {"E202", "053011", "Società della Salute Grossetana"},
}

// openSystems makes the simulated systems out of the systems of the network:
// who pushes gets a desk or a benefits office, who fetches a poller.
func (w *world) openSystems(ctx context.Context) error {
	w.desks, w.offices = map[exchange.Territory]*desk{}, map[exchange.BodyID]*benefitsOffice{}
	for _, s := range w.hub.Network().Systems() {
		c := w.callers[s.ID]
		if _, ok := s.Produces[typeRequest]; ok {
			t := s.Territory()
			w.desks[t] = &desk{caller: c, territory: t, body: s.Body.ID, prefix: prefixOf(t), begin: day()}
		}
		if _, ok := s.Produces[typeBenefit]; ok {
			seat := seats[s.Body.ID]
			operator := w.cast.next("OP")
			w.offices[s.Body.ID] = &benefitsOffice{caller: c, prefix: seat[0], belfiore: seat[0], istat: seat[1], name: seat[2], operator: operator.CF}
		}
		switch s.Connector.Kind {
		case "mailbox":
			m := &mailboxClient{caller: c, shelf: w.shelf, limit: 20}
			w.pollers = append(w.pollers, newPoller(s.ID, w.interval(), w.shelf, m.round))
		case "waas":
			bases, err := waasBases(s)
			if err != nil {
				return err
			}
			w.inps = &inpsPoller{caller: c, shelf: w.shelf, bases: bases, limit: 3, since: map[string]int64{}, offered: map[string]int{},
				esiti: map[string]int{}}
			w.pollers = append(w.pollers, newPoller(s.ID, w.interval(), w.shelf, w.inps.round))
		}
	}
	w.poll(ctx)
	return nil
}

// interval is how often polling systems come.
func (w *world) interval() time.Duration {
	if w.opt.Once {
		return 100 * time.Millisecond
	}
	return time.Second
}

// poll has the pollers come until the world is closed, or they are stopped.
func (w *world) poll(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	for _, p := range w.pollers {
		go p.run(ctx)
	}
	w.onClose(func(context.Context) error {
		cancel()
		for _, p := range w.pollers {
			<-p.done
		}
		return nil
	})
}

// stopPolling has every poller come once more and no longer: what they have
// then is what they have been given.
func (w *world) stopPolling(ctx context.Context) error {
	for _, p := range w.pollers {
		close(p.quit)
	}
	for _, p := range w.pollers {
		select {
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("%s does not come to an end: %w", p.system, ctx.Err())
		}
	}
	return nil
}

// waasBases are the e-services of the bodies, as the agreement with INPS says
// where they hang.
func waasBases(s *network.System) ([]string, error) {
	var c struct {
		Base   string `yaml:"base"`
		Bodies []struct {
			Belfiore string `yaml:"belfiore"`
		} `yaml:"bodies"`
	}
	settings := s.Connector.Settings
	if settings.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("system %s has no settings", s.ID)
	}
	if err := settings.Decode(&c); err != nil {
		return nil, fmt.Errorf("settings of system %s: %w", s.ID, err)
	}
	var out []string
	for _, b := range c.Bodies {
		out = append(out, c.Base+"/"+strings.ToLower(b.Belfiore)+"/v1")
	}
	slices.Sort(out)
	return out, nil
}
