package delivery

import (
	"errors"
	"fmt"
	"slices"
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
	system   exchange.SystemID
	header   *exchange.Header // of the part, or of the row
	head     *exchange.RecordHeader
	flowID   exchange.FlowID
	number   exchange.Number
	flow     Flow // nil: the network no longer has it
	lane     store.LaneKey
	sequence uint64
	row      *store.WaitingRow // nil: it comes from a lane

	sealed, aad []byte // as it rests
	canonical   []byte // nil until unsealed
	tree        exchange.Tree
	read        bool
	// broken says why it cannot be processed under any network: it is parked,
	// whatever the gate would say.
	broken exchange.Reason

	question gate.Question
	asked    bool
	puzzled  exchange.Reason // the question could not be made
	ahead    gate.Decision
	body     exchange.Payload
	media    string
	misfit   exchange.Reason // permitted, but it does not fit the recipient's format
	faults   []exchange.Fault
	name     string

	granted gate.Decision // what it is claimed under
	attempt uint16
	tries   uint16 // answers that were none, or asked for it again
	mark    exchange.Mark
	claimed bool
}

// fromPart is record i of a part on its way through one flow; nothing is
// opened yet.
func fromPart(p *part, i int, id exchange.FlowID, plan Plan, lane store.LaneKey, system exchange.SystemID) *record {
	r := &record{system: system, header: p.Header, head: &p.Header.Records[i], flowID: id, lane: lane, sequence: sequenceOf(p.offset, i),
		sealed: p.Records[i], aad: exchange.RecordAAD(p.Header, p.HeaderDigest, i)}
	r.under(plan)
	return r
}

// fromRow is a row that was set aside; nothing is opened yet.
func fromRow(row *store.WaitingRow, plan Plan) *record {
	r := &record{system: row.System, flowID: row.Flow, lane: row.LaneKey, sequence: row.Sequence, row: row, sealed: row.Sealed, aad: row.Header,
		attempt: row.Attempt, tries: row.Tries, mark: row.Mark, name: row.Name}
	h, rest, err := exchange.DecodeHeader(row.Header)
	if err != nil || len(rest) != 0 || len(h.Records) != 1 {
		h = &exchange.Header{System: row.Producer, ReceivedAt: row.ReceivedAt, Records: []exchange.RecordHeader{
			{Record: row.Record, Principal: row.Principal}}}
		r.broken = exchange.ReasonUndecodable
	}
	r.header, r.head = h, &h.Records[0]
	r.under(plan)
	return r
}

// under puts the record under a version of the network: who is asked about,
// under which clause. What depends on the record's content is asked later.
func (r *record) under(plan Plan) {
	r.flow, r.asked, r.puzzled = plan.Flow(r.flowID), false, ""
	if r.flow != nil && r.flow.Recipient().System != r.system {
		r.flow = nil // it leads elsewhere by now: this path is ended
	}
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
			s.Part, s.Of = exchange.PartAlias, r.owner(a.Place)
		} else if r.flow != nil {
			s.Prunable = r.flow.Prunable(a.Place)
		}
		q.Subjects = append(q.Subjects, s)
	}
	if r.flow != nil {
		q.Clause, q.Recipient = r.flow.Clause(), r.flow.Recipient()
		r.number = r.flow.Number()
	} else {
		r.number = exchange.FlowNumber(r.flowID)
	}
	r.question = q
}

// owner is the index among the subjects of whoever stands at place: an alias
// stands where the person does whose other id it is.
func (r *record) owner(place exchange.Pointer) int {
	for i, a := range r.head.Affected {
		if !a.Alias && a.Place == place {
			return i + 1
		}
	}
	return 0
}

// shown says of whom a claim's row disclosed something: of the others nothing.
func (r *record) shown(to []exchange.SubjectID) []gate.SubjectDecision {
	out := make([]gate.SubjectDecision, len(r.question.Subjects))
	for i := range out {
		out[i].Pruned = i > 0 && !slices.Contains(to, r.question.Subjects[i].ID)
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

// unseal opens what can be opened. What can never be opened again is broken;
// an error says that the keys cannot be reached now.
func (r *record) unseal(sealer Sealer) error {
	if r.canonical != nil {
		return nil
	}
	plain, err := sealer.Open(r.sealed, r.aad)
	switch {
	case errors.Is(err, keys.ErrUnavailable):
		return fmt.Errorf("open a record: %w", err)
	case err != nil || plain == nil:
		if r.broken == "" {
			r.broken = exchange.ReasonUndecodable
		}
	default:
		r.canonical = plain
	}
	return nil
}

// prepare decides ahead on a snapshot and, if that permits, makes the bytes.
// Whatever goes wrong in parsing, a condition, a mapping or a codec is this
// record's own fault, a panic too.
func (r *record) prepare(facts gate.Facts, bytes *schemas.Gate, maxBody int) {
	r.ahead, r.misfit, r.faults = gate.Decision{}, "", nil
	r.parse(bytes)
	r.ask()
	if r.broken != "" || r.puzzled != "" {
		return
	}
	r.ahead = gate.Decide(&r.question, facts)
	if r.ahead.Outcome != exchange.OutcomePermit {
		return
	}
	r.render()
	if r.misfit == "" && maxBody > 0 && r.body.Len() > maxBody {
		r.misfit, r.faults = exchange.ReasonFormatMismatch, []exchange.Fault{{Rule: "max_body"}}
	}
}

// parse reads the canonical bytes into the one tree. A record that cannot be
// read any more is parked, never skipped.
func (r *record) parse(bytes *schemas.Gate) {
	if r.read || r.broken != "" {
		return
	}
	defer func() {
		if recover() != nil { // the value may hold a record's: it is dropped
			r.broken = exchange.ReasonPanicked
		}
	}()
	tree, _, err := bytes.Parse(r.canonical)
	if err != nil {
		r.broken = exchange.ReasonUndecodable
		return
	}
	r.tree, r.read = tree, true
}

// ask adds to the question what depends on the content.
func (r *record) ask() {
	if r.asked || r.broken != "" || r.flow == nil {
		return
	}
	defer func() {
		if recover() != nil {
			r.puzzled = exchange.ReasonPanicked
		}
	}()
	r.question.Condition, r.question.Present = r.flow.Condition(r.tree), r.flow.Present(r.tree)
	r.asked = true
}

func (r *record) render() {
	defer func() {
		if recover() != nil {
			r.misfit, r.faults = exchange.ReasonPanicked, nil
		}
	}()
	var pruned []exchange.Pointer
	for _, i := range r.ahead.Pruned() {
		if a := r.head.Affected[i-1]; !a.Alias {
			pruned = append(pruned, a.Place)
		}
	}
	body, media, faults := r.flow.Render(r.tree, Rendering{Permitted: r.ahead.Categories, Pruned: pruned,
		Name: r.name, At: time.UnixMilli(r.header.ReceivedAt)})
	if len(faults) > 0 {
		r.misfit, r.faults = exchange.ReasonFormatMismatch, faults
		return
	}
	r.body, r.media = body, media
}

// rows account the record: one per subject, under the decision d, or under
// what it is claimed under if d is nil. Nothing about a person who was left out
// left; an alias is no further person.
func (r *record) rows(dst []exchange.Row, state exchange.State, reason exchange.Reason, d *gate.Decision) []exchange.Row {
	base := exchange.Row{Record: r.head.Record, Flow: r.number, State: state, Mark: r.mark, Attempt: r.attempt, Reason: reason,
		Sequence: r.sequence}
	if c := r.question.Clause; c != nil {
		base.Clause = c.Number
	}
	said := d
	if said == nil {
		said = &r.granted
	}
	for i := range r.question.Subjects {
		s, row := &r.question.Subjects[i], base
		row.Subject, row.Part = s.ID, s.Part
		if i < len(said.Subjects) && said.Subjects[i].Pruned {
			if s.Part == exchange.PartAlias {
				continue
			}
			row.State, row.Reason, row.Mark = exchange.StateWithheld, exchange.ReasonPruned, exchange.MarkNo
		} else if d != nil && i < len(d.Subjects) {
			own := &d.Subjects[i]
			row.Basis, row.Dossier = own.Basis, own.Dossier
			if state == exchange.StateClaimed {
				row.Categories = d.Categories
			}
			if i > 0 && d.Outcome != exchange.OutcomePermit && own.Outcome != exchange.OutcomePermit {
				row.Reason = own.Reason
			}
		}
		dst = append(dst, row)
	}
	return dst
}

// setAside is what a record needs to be set aside under.
type setAside struct {
	system exchange.SystemID
	plan   Plan
	sealer Sealer
	at     time.Time // ledger time: today's data key, whatever day the record came
}

// waiting is the record as a row set aside for an event, kept until the flow's
// time is over.
func (r *record) waiting(id uint64, ev store.Event, reason exchange.Reason, env *setAside) (store.WaitingRow, error) {
	var row store.WaitingRow
	if r.row != nil {
		row = *r.row
	} else {
		header, sealed, err := r.seal(keys.PlaceWaiting, env)
		if err != nil {
			return row, err
		}
		row = store.WaitingRow{ID: id, Flow: r.flowID, Principal: r.head.Principal, Record: r.head.Record, System: env.system,
			Producer: r.header.System, Body: env.plan.BodyOf(r.header.System), LaneKey: r.lane, Disclosure: r.disclosure(),
			Sequence: r.sequence, ReceivedAt: r.header.ReceivedAt, Header: header, Sealed: sealed}
	}
	row.Event, row.Reason, row.State, row.Claim, row.NotBefore, row.Lease = ev, reason, store.WaitingIdle, 0, 0, 0
	row.Mark, row.Attempt, row.Tries = r.mark, r.attempt, r.tries
	if r.flow != nil {
		row.Deadline = max(row.Deadline, time.UnixMilli(r.header.ReceivedAt).Add(r.flow.Keep()).UnixMilli())
	}
	return row, nil
}

// parked is the record as a row for a human.
func (r *record) parked(id uint64, reason exchange.Reason, env *setAside) (store.ParkedRow, error) {
	header, sealed, err := r.seal(keys.PlaceParked, env)
	if err != nil {
		return store.ParkedRow{}, err
	}
	return store.ParkedRow{ID: id, Flow: r.flowID, Principal: r.head.Principal, Record: r.head.Record, System: env.system,
		Producer: r.header.System, LaneKey: r.lane, Reason: reason, Faults: r.faults, Mark: r.mark, Attempt: r.attempt,
		Sequence: r.sequence, ReceivedAt: r.header.ReceivedAt, ParkedAt: env.at.UnixMilli(), Header: header, Sealed: sealed}, nil
}

// seal seals the record anew for a place of its own; the header is the AAD.
// What could not be opened is kept as it is.
func (r *record) seal(place keys.Place, env *setAside) (header, sealed []byte, err error) {
	if r.row != nil {
		header = r.row.Header
	} else {
		alone := *r.header
		alone.Records = []exchange.RecordHeader{*r.head}
		alone.Part, alone.Parts = 1, 1
		if header, err = exchange.AppendHeader(nil, &alone); err != nil {
			return nil, nil, fmt.Errorf("header of a record set aside: %w", err)
		}
	}
	if r.canonical == nil {
		return header, r.sealed, nil
	}
	if sealed, err = env.sealer.Seal(place, env.at, r.canonical, header); err != nil {
		return nil, nil, fmt.Errorf("seal a record set aside: %w", err)
	}
	return header, sealed, nil
}

// facts reads a snapshot for records; the same cut the claim reads again. It is
// judged at ledger time: never before the last entry's.
func facts(tx store.FactsReader, records []*record, now time.Time) (*ledger.Facts, error) {
	head, err := tx.Head()
	if err != nil {
		return nil, err
	}
	if last := time.UnixMilli(head.Time); now.Before(last) {
		now = last
	}
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
		if !r.head.Thing {
			add(r.head.Principal)
		}
		for _, a := range r.head.Affected {
			add(a.Subject)
		}
	}
	return out
}
