package intake

import (
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/person"
	"raccordo/hub/store"
	"raccordo/schemas"
)

// persons finds or makes the subjects of all accepted lines in one call; rows
// for persons never seen are durable before the frame is.
func (f *frame) persons(ctx context.Context, accepted []*line) error {
	var requests []person.Request
	places := make([][]schemas.Person, len(accepted))
	for i, l := range accepted {
		found := f.producer.Persons(l.tree)
		asked, fault := f.requests(l.tree, found)
		if fault != nil {
			l.refuse(fault)
			continue
		}
		places[i] = found
		requests = append(requests, asked...)
	}
	if len(requests) == 0 {
		f.things(accepted)
		return nil
	}
	results, err := f.in.opt.Directory.Resolve(ctx, requests)
	if err != nil {
		return err
	}
	for i, l := range accepted {
		if l.Reason != "" || len(places[i]) == 0 {
			continue
		}
		mine := results[:len(places[i])]
		results = results[len(places[i]):]
		f.assign(l, places[i], mine)
	}
	f.things(accepted)
	return nil
}

// things gives a record about no person its thing id.
func (f *frame) things(accepted []*line) {
	for _, l := range accepted {
		if l.Reason == "" && l.head.Principal == (exchange.SubjectID{}) {
			mac := f.in.opt.Keys.MAC("thing", []byte(f.push.System), []byte(f.push.Type))
			l.head.Thing, l.head.Principal = true, exchange.SubjectID(mac[:16])
		}
	}
}

// requests reads the identifiers at the places the schema names. A value that
// is no well-formed identifier of its system never becomes a person's key.
func (f *frame) requests(tree exchange.Tree, places []schemas.Person) ([]person.Request, error) {
	if len(places) > exchange.MaxAffected+1 {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, "a record names at most 31 persons",
			exchange.Fault{Rule: "max_persons"})
	}
	var out []person.Request
	var faults []exchange.Fault
	for _, p := range places {
		r := person.Request{MayAttach: f.producer.MayIdentify()}
		for _, at := range p.Identifiers {
			id, rule := f.identifier(tree, at)
			if rule != "" {
				faults = append(faults, exchange.Fault{Pointer: at.Append("value"), Rule: rule})
			} else if !id.IsZero() {
				r.Identifiers = append(r.Identifiers, id)
			}
		}
		if len(r.Identifiers) == 0 && len(faults) == 0 {
			faults = append(faults, exchange.Fault{Pointer: p.Place, Rule: "no_identifier"})
		}
		out = append(out, r)
	}
	if len(faults) > 0 {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonBadIdentifier, "an identifier cannot be used", faults...)
	}
	return out, nil
}

func (f *frame) identifier(tree exchange.Tree, at exchange.Pointer) (person.Identifier, string) {
	system, value := person.System(tree.Text(at.Append("system"))), tree.Text(at.Append("value"))
	if system == person.SystemPermit {
		return person.Identifier{}, "" // known to schemas, never a person's key
	}
	var id person.Identifier
	var err error
	if system == person.SystemLocal {
		id, err = person.NewLocal(f.producer.Body(), value)
	} else {
		id, err = person.New(system, value)
	}
	if err != nil {
		return id, string(person.RuleOf(err))
	}
	return id, ""
}

// assign writes the subjects into the record's header. Other known ids that the
// record gave for one of its persons go along as aliases: their restrictions
// bind until an officer has decided.
func (f *frame) assign(l *line, places []schemas.Person, who []person.Result) {
	seen := map[exchange.SubjectID]bool{}
	var conflicts []store.ConflictRow
	for i, w := range who {
		if i == 0 {
			l.head.Principal = w.Subject
		} else if !seen[w.Subject] {
			l.head.Affected = append(l.head.Affected, exchange.Affected{Subject: w.Subject, Place: places[i].Place})
		}
		seen[w.Subject] = true
		for _, other := range w.Conflict {
			if !seen[other] && len(l.head.Affected) < exchange.MaxAffected {
				seen[other] = true
				l.head.Affected = append(l.head.Affected, exchange.Affected{Subject: other, Place: places[i].Place, Alias: true})
			}
			conflicts = append(conflicts, conflict(w.Subject, other, f))
		}
	}
	l.conflicts = conflicts
}

func conflict(a, b exchange.SubjectID, f *frame) store.ConflictRow {
	if string(a[:]) > string(b[:]) {
		a, b = b, a
	}
	return store.ConflictRow{A: a, B: b, SeenAt: f.at.UnixMilli()}
}
