package hub

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"raccordo/connectors"
	"raccordo/hub/access"
	"raccordo/hub/codec"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/intake"
	"raccordo/hub/ledger"
	"raccordo/hub/officer"
	"raccordo/hub/person"
	"raccordo/hub/person/rowstore"
	"raccordo/hub/store"
	"raccordo/hub/stream/feed"
	"raccordo/schemas"
)

func (h *Hub) openLedger(ctx context.Context) error {
	h.writer = ledger.NewWriter(ledger.Options{Store: h.store, Clock: h.opt.Clock, Rand: h.opt.Rand, Logger: h.log,
		MaxDowntime: h.cfg.Clock.MaxDowntime})
	h.reader = ledger.NewReader(h.store)
	h.follower = ledger.NewFollower(h.store, h.log)
	var outside ledger.Outside
	if dir := h.cfg.Checkpoint.CopyTo; dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("%w: checkpoint.copy_to: %w", ErrConfig, err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("%w: checkpoint.copy_to: %w", ErrConfig, err)
		}
		h.onClose("second place of checkpoints", func(context.Context) error { return root.Close() })
		outside = ledger.NewOutsideDirectory(root)
	}
	h.signer = ledger.NewCheckpointer(ledger.CheckpointOptions{Store: h.store, Signer: func() note.Signer { return h.keys.Signer() },
		Keys: h.keys.VerifierKeys, Clock: h.opt.Clock, Logger: h.log, Outside: outside, Interval: h.cfg.Checkpoint.Every})
	h.writer.OnCommit(h.follower.Nudge)
	h.writer.OnCommit(h.signer.Nudge)
	return nil
}

func (h *Hub) openPersons(context.Context) error {
	h.directory = person.NewDirectory(person.Options{Store: rowstore.New(h.store), Digester: h.keys, Rand: h.opt.Rand})
	h.register = officer.New(officer.Options{Network: h.Network, Store: h.store, Ledger: h.writer, Directory: h.directory,
		Sealer: h.keys, Clock: h.opt.Clock, Rand: h.opt.Rand, SendTimeout: h.cfg.Delivery.SendTimeout,
		Woken: func() { h.deliverer.Nudge() }})
	var err error
	h.access, err = access.NewDirectory(clientKeys{h.store}, clients(h.Network())...)
	if err != nil {
		return fmt.Errorf("clients of the network: %w", err)
	}
	return nil
}

// openConnectors opens every recipient's connector.
func (h *Hub) openConnectors(context.Context) error {
	h.sinks, h.outlets = delivery.Sinks{}, map[exchange.SystemID]connectors.Outlet{}
	secrets := connectors.SecretsFrom(h.opt.Getenv, os.ReadFile)
	for _, id := range h.plan.Load().receive {
		s := h.Network().System(id)
		kind, ok := h.opt.Kinds.Kind(s.Connector.Kind)
		if !ok {
			return fmt.Errorf("system %s: no connector kind %q", id, s.Connector.Kind)
		}
		config, faults := kind.Decode(&s.Connector.Settings)
		if len(faults) > 0 {
			return &NetworkError{connectorFaults(&s.Connector.Settings, faults)}
		}
		settings := connectors.Settings{System: id, Logger: h.log, Clock: h.opt.Clock.Now, Dial: h.opt.Dial,
			Resolver: h.opt.Resolver, Secrets: secrets, Metrics: h.metrics.Connector(id)}
		if err := h.openConnector(kind, config, settings); err != nil {
			return fmt.Errorf("connector of system %s: %w", id, err)
		}
	}
	return nil
}

func (h *Hub) openConnector(kind connectors.Kind, config connectors.Config, settings connectors.Settings) error {
	if kind.HasSink() {
		sink, err := kind.OpenSink(config, settings)
		if err != nil {
			return err
		}
		h.sinks[settings.System] = sink
		h.onClose("connector of "+string(settings.System), sink.Close)
		return nil
	}
	outlet, err := kind.OpenOutlet(config, settings, claims{h})
	if err != nil {
		return err
	}
	h.outlets[settings.System] = outlet
	h.onClose("connector of "+string(settings.System), outlet.Close)
	return nil
}

func (h *Hub) openDelivery(ctx context.Context) error {
	worked, err := h.openWork()
	if err != nil {
		return err
	}
	if h.former, err = h.formerFlows(ctx); err != nil {
		return err
	}
	former := func(id exchange.FlowID) (exchange.SystemID, bool) {
		f, ok := h.former[id]
		return f.Recipient, ok
	}
	outlets := map[exchange.SystemID]*delivery.Outlet{}
	for id, o := range h.outlets {
		x := &delivery.Outlet{}
		if n, ok := o.(connectors.Namer); ok {
			x.Namer = n
		}
		if b, ok := o.(connectors.Bounded); ok {
			x.MaxBody = b.MaxBody()
		}
		outlets[id] = x
	}
	d := h.cfg.Delivery
	h.deliverer = delivery.New(delivery.Options{Plan: func() delivery.Plan { return h.plan.Load() }, Former: former,
		Views: h.store, Ledger: h.writer, Side: h.store, Stream: feed.Lanes{Log: h.stream}, Sealer: h.keys, Sinks: h.sinks, Outlets: outlets,
		Metrics: h.metrics, Clock: h.opt.Clock, Logger: h.log, Random: h.random(), Limits: schemas.DefaultLimits(),
		WorkFile: h.work, Worked: worked, Lanes: h.cfg.Stream.Lanes, SendTimeout: d.SendTimeout, BackoffMin: d.BackoffMin,
		BackoffMax: d.BackoffMax, SpillAfter: d.SpillAfter})
	return nil
}

// openWork opens the note of what is under work; what is in it was under work
// when the last process died.
func (h *Hub) openWork() ([]exchange.RecordID, error) {
	f, err := os.OpenFile(filepath.Join(h.cfg.DataDir, "under-work"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the note of what is under work: %w", err)
	}
	h.work = f
	h.onClose("note of what is under work", func(context.Context) error { return f.Close() })
	return delivery.ReadWork(f)
}

// formerFlows reads from the ledger where flows of earlier networks led.
func (h *Hub) formerFlows(ctx context.Context) (map[exchange.FlowID]exchange.FlowFact, error) {
	out := map[exchange.FlowID]exchange.FlowFact{}
	for from := uint64(0); ; {
		var entries []store.StoredEntry
		err := h.store.View(ctx, func(tx store.ReadTx) (err error) {
			entries, err = tx.Adoptions(from, 64)
			return err
		})
		if err != nil || len(entries) == 0 {
			return out, err
		}
		for _, e := range entries {
			var fact exchange.AdoptionFact
			if err := exchange.DecodeFact(e.Fact, &fact); err != nil {
				return nil, fmt.Errorf("adoption %d: %w", e.Seq, err)
			}
			for _, f := range fact.Flows {
				out[f.Flow] = f
			}
			from = e.Seq + 1
		}
	}
}

func (h *Hub) openIntake(context.Context) error {
	c := h.cfg.Intake
	h.index = intake.NewIndex(intake.IndexOptions{Store: h.store, Clock: h.opt.Clock, Logger: h.log, MaxKeys: c.MaxKeys, Keep: c.KeepKeys})
	h.intake = intake.New(intake.Options{Plan: func() intake.Plan { return &intakePlan{h.plan.Load()} }, Publisher: feed.Frames{Log: h.stream},
		Keys: h.keys, Directory: h.directory, Admission: h.admission(), Index: h.index, Clock: h.opt.Clock, Metrics: h.metrics,
		Logger: h.log, Lanes: h.cfg.Stream.Lanes,
		Limits: codec.LineLimits{MaxBytes: c.BodyBytes, MaxLines: c.Lines, MaxLineBytes: 1 << 20}})
	return nil
}
