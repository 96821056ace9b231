package delivery

import (
	"errors"
	"fmt"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/schemas"
)

// record is one (record, flow) of a recipient on its way: from a lane, or out
// of waiting.
type record struct {
	header    *exchange.Header // of the part, or of the row
	head      *exchange.RecordHeader
	flowID    exchange.FlowID
	flow      Flow // nil: the network no longer has it
	lane      store.LaneKey
	sequence  uint64
	canonical []byte // opened
	row       *store.WaitingRow

	tree     exchange.Tree
	question gate.Question
	ahead    gate.Decision
	body     exchange.Payload
	media    string
	failure  exchange.Reason // mapping or format failed: park
	faults   []exchange.Fault
	name     string

	attempt uint16
	mark    exchange.Mark
	claimed bool
}

// subjects of the record, principal first.
func (r *record) subjects() []exchange.SubjectID {
	out := make([]exchange.SubjectID, 1, 1+len(r.head.Affected))
	out[0] = r.head.Principal
	for _, a := range r.head.Affected {
		out = append(out, a.Subject)
	}
	return out
}

func (r *record) queue() store.QueueKey {
	return store.QueueKey{Flow: r.flowID, Principal: r.head.Principal}
}

func (r *record) disclosure() exchange.DisclosureID {
	return exchange.NewDisclosureID(r.head.Record, r.flowID)
}

// sequenceOf orders the records of one principal: a person has one lane, and a
// lane's offsets only rise.
func sequenceOf(offset int64, index int) uint64 { return uint64(offset+1)<<16 | uint64(index) }

// open parses the canonical bytes into the one tree. A record that cannot be
// read any more is parked, never skipped.
func (r *record) open(limits schemas.Limits) {
	if r.failure != "" {
		return
	}
	tree, err := schemas.Parse(r.canonical, limits)
	if err != nil {
		r.failure = exchange.ReasonUndecodable
		return
	}
	r.tree = tree
}

// ask makes the question of the gate.
func (r *record) ask() {
	q := gate.Question{RecordType: r.head.Type, ReceivedAt: time.UnixMilli(r.header.ReceivedAt)}
	part := exchange.PartPrincipal
	if r.head.Thing {
		part = exchange.PartThing
	}
	q.Subjects = make([]gate.Subject, 1, 1+len(r.head.Affected))
	q.Subjects[0] = gate.Subject{ID: r.head.Principal, Part: part}
	for _, a := range r.head.Affected {
		s := gate.Subject{ID: a.Subject, Part: exchange.PartAffected}
		if a.Alias {
			s.Part = exchange.PartAlias
		} else if r.flow != nil {
			s.Prunable = r.flow.Prunable(a.Place)
		}
		q.Subjects = append(q.Subjects, s)
	}
	if r.flow != nil {
		q.Clause, q.Recipient = r.flow.Clause(), r.flow.Recipient()
		if r.failure == "" {
			q.Condition, q.Present = r.flow.Condition(r.tree), r.flow.Present(r.tree)
		}
	}
	r.question = q
}

// prepare decides ahead on a snapshot and, if that permits, makes the bytes.
// Whatever goes wrong in a mapping or a codec is this record's own fault.
func (r *record) prepare(facts gate.Facts) {
	if r.failure != "" {
		r.ahead = gate.Decision{}
		return
	}
	r.ahead = gate.Decide(&r.question, facts)
	if r.ahead.Outcome == exchange.OutcomePermit {
		r.render()
	}
}

func (r *record) render() {
	defer func() {
		if recover() != nil { // the value may hold a record's: it is dropped
			r.failure, r.faults = exchange.ReasonPanicked, nil
		}
	}()
	var pruned []exchange.Pointer
	for _, i := range r.ahead.Pruned() {
		pruned = append(pruned, r.head.Affected[i-1].Place)
	}
	body, media, faults := r.flow.Render(r.tree, Rendering{Permitted: r.ahead.Categories, Pruned: pruned,
		Name: r.name, At: time.UnixMilli(r.header.ReceivedAt)})
	if len(faults) > 0 {
		r.failure, r.faults = exchange.ReasonFormatMismatch, faults
		return
	}
	r.body, r.media = body, media
}

// rows account the record: one per subject, under the decision d.
func (r *record) rows(state exchange.State, reason exchange.Reason, d *gate.Decision) []exchange.Row {
	out := make([]exchange.Row, len(r.question.Subjects))
	for i := range r.question.Subjects {
		s := &r.question.Subjects[i]
		row := exchange.Row{Record: r.head.Record, Subject: s.ID, Flow: exchange.FlowNumber(r.flowID), State: state,
			Mark: r.mark, Part: s.Part, Attempt: r.attempt, Reason: reason, Sequence: r.sequence}
		if c := r.question.Clause; c != nil {
			row.Clause = c.Number
		}
		if d != nil && i < len(d.Subjects) {
			sd := &d.Subjects[i]
			row.Basis, row.Dossier = sd.Basis, sd.Dossier
			if sd.Pruned {
				row.State, row.Reason = exchange.StateWithheld, exchange.ReasonPruned
			} else if state == exchange.StateClaimed {
				row.Categories = d.Categories
			} else if d.Outcome != exchange.OutcomePermit {
				row.Reason = reason
			}
		}
		out[i] = row
	}
	return out
}

// setAside is what a record needs to be set aside under.
type setAside struct {
	system exchange.SystemID
	plan   Plan
	sealer Sealer
	at     time.Time // ledger time: today's data key, whatever day the record came
}

// waiting is the record as a row set aside for an event.
func (r *record) waiting(id uint64, ev store.Event, reason exchange.Reason, env *setAside) (store.WaitingRow, error) {
	if r.row != nil {
		row := *r.row
		row.Event, row.Reason, row.State, row.Claim = ev, reason, store.WaitingIdle, 0
		row.Mark, row.Attempt, row.NotBefore, row.Lease = r.mark, r.attempt, 0, 0
		return row, nil
	}
	header, sealed, err := r.seal(keys.PlaceWaiting, env)
	if err != nil {
		return store.WaitingRow{}, err
	}
	row := store.WaitingRow{ID: id, Flow: r.flowID, Principal: r.head.Principal, Record: r.head.Record,
		Producer: r.header.System, Body: env.plan.BodyOf(r.header.System), LaneKey: r.lane, Disclosure: r.disclosure(),
		Event: ev, Reason: reason, State: store.WaitingIdle, Mark: r.mark, Attempt: r.attempt, Sequence: r.sequence,
		ReceivedAt: r.header.ReceivedAt, Header: header, Sealed: sealed}
	row.System = env.system
	if r.flow != nil {
		row.Deadline = time.UnixMilli(r.header.ReceivedAt).Add(r.flow.Keep()).UnixMilli()
	}
	return row, nil
}

// parked is the record as a row for a human.
func (r *record) parked(id uint64, reason exchange.Reason, env *setAside) (store.ParkedRow, error) {
	var header, sealed []byte
	if r.row != nil && r.canonical == nil { // cannot be opened: kept as it is
		header, sealed = r.row.Header, r.row.Sealed
	} else {
		var err error
		if header, sealed, err = r.seal(keys.PlaceParked, env); err != nil {
			return store.ParkedRow{}, err
		}
	}
	return store.ParkedRow{ID: id, Flow: r.flowID, Principal: r.head.Principal, Record: r.head.Record, System: env.system,
		Producer: r.header.System, LaneKey: r.lane, Reason: reason, Faults: r.faults, Mark: r.mark, Attempt: r.attempt,
		Sequence: r.sequence, ReceivedAt: r.header.ReceivedAt, ParkedAt: env.at.UnixMilli(), Header: header, Sealed: sealed}, nil
}

// seal seals the record anew for a place of its own; the header is the AAD.
func (r *record) seal(place keys.Place, env *setAside) (header, sealed []byte, err error) {
	alone := *r.header
	alone.Records = []exchange.RecordHeader{*r.head}
	alone.Part, alone.Parts = 1, 1
	if header, err = exchange.AppendHeader(nil, &alone); err != nil {
		return nil, nil, fmt.Errorf("header of a record set aside: %w", err)
	}
	sealed, err = env.sealer.Seal(place, env.at, r.canonical, header)
	if err != nil {
		return nil, nil, fmt.Errorf("seal a record set aside: %w", err)
	}
	return header, sealed, nil
}

// openRow opens a row that was set aside. What can never be opened again is
// marked to be parked; an error says that the keys cannot be reached now.
func openRow(row *store.WaitingRow, plan Plan, sealer Sealer) (*record, error) {
	r := &record{flowID: row.Flow, flow: plan.Flow(row.Flow), lane: row.LaneKey, sequence: row.Sequence, row: row,
		attempt: row.Attempt, mark: row.Mark, name: row.Name}
	h, rest, err := exchange.DecodeHeader(row.Header)
	if err != nil || len(rest) != 0 || len(h.Records) != 1 {
		h = &exchange.Header{System: row.Producer, ReceivedAt: row.ReceivedAt, Records: []exchange.RecordHeader{
			{Record: row.Record, Principal: row.Principal}}}
		r.failure = exchange.ReasonUndecodable
	}
	r.header, r.head = h, &h.Records[0]
	if r.canonical, err = sealer.Open(row.Sealed, row.Header); errors.Is(err, keys.ErrUnavailable) {
		return nil, fmt.Errorf("open a waiting record: %w", err)
	} else if err != nil {
		r.failure = exchange.ReasonUndecodable
	}
	return r, nil
}

// facts reads a snapshot for records; the same cut the claim reads again.
func facts(tx store.FactsReader, records []*record, now time.Time) (*ledger.Facts, error) {
	return ledger.ReadFacts(tx, subjectsOf(records), now)
}

func subjectsOf(records []*record) []exchange.SubjectID {
	seen := make(map[exchange.SubjectID]struct{}, len(records))
	out := make([]exchange.SubjectID, 0, len(records))
	add := func(s exchange.SubjectID) {
		if _, ok := seen[s]; !ok {
			seen[s] = struct{}{}
			out = append(out, s)
		}
	}
	for _, r := range records {
		if r.head.Thing {
			continue
		}
		add(r.head.Principal)
		for _, a := range r.head.Affected {
			add(a.Subject)
		}
	}
	return out
}
