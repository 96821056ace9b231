package intake

import (
	"bytes"
	"context"

	"raccordo/hub/exchange"
	"raccordo/hub/person"
	"raccordo/hub/store"
	"raccordo/schemas"
)

// thingTeller is a [Producer] whose records may be about no person. Of any
// other a record in which no person is found is refused: it would be judged by
// clause and role alone.
type thingTeller interface{ AboutThings() bool }

// named reads who a record is about. A value that is no well-formed identifier
// of its system never becomes a person's key.
func (f *frame) named(l *line, tree exchange.Tree) error {
	places := f.producer.Persons(tree)
	if len(places) == 0 {
		if t, ok := f.producer.(thingTeller); !ok || !t.AboutThings() {
			return unnamed("the record names no person", "no_person")
		}
		return nil
	}
	if !places[0].Principal {
		return unnamed("the record does not say whom it is about", "no_principal")
	}
	if len(places) > exchange.MaxAffected+1 {
		return unnamed("a record names at most 31 persons", "max_persons")
	}
	requests, err := f.requests(tree, places)
	if err != nil {
		return err
	}
	l.places, l.persons = places, requests
	return nil
}

func unnamed(detail, rule string) error {
	return exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, detail, exchange.Fault{Rule: rule})
}

func (f *frame) requests(tree exchange.Tree, places []schemas.Person) ([]person.Request, error) {
	out := make([]person.Request, len(places))
	var faults []exchange.Fault
	for i, p := range places {
		ids, wrong := f.identifiers(tree, p)
		switch {
		case len(wrong) > 0:
			faults = append(faults, wrong...)
		case len(ids) == 0:
			faults = append(faults, exchange.Fault{Pointer: p.Place, Rule: "no_identifier"})
		case len(ids) > person.MaxIdentifiers:
			faults = append(faults, exchange.Fault{Pointer: p.Place, Rule: "max_identifiers"})
		case len(p.Place) > exchange.MaxPointerLength:
			faults = append(faults, exchange.Fault{Rule: "max_place"})
		}
		out[i] = person.Request{Identifiers: ids, MayAttach: f.producer.MayIdentify()}
	}
	if len(faults) > 0 {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonBadIdentifier, "an identifier cannot be used", faults...)
	}
	return out, nil
}

func (f *frame) identifiers(tree exchange.Tree, p schemas.Person) (ids []person.Identifier, faults []exchange.Fault) {
	for _, at := range p.Identifiers {
		id, rule := f.identifier(tree, at)
		if rule != "" {
			faults = append(faults, exchange.Fault{Pointer: at.Append("value"), Rule: rule})
		} else if !id.IsZero() {
			ids = append(ids, id)
		}
	}
	return ids, faults
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

// resolve finds or makes the subjects of all accepted lines in one call; rows
// for persons never seen are durable before the frame is. A line may still be
// refused.
func (f *frame) resolve(ctx context.Context, accepted []*line) error {
	n := 0
	for _, l := range accepted {
		n += len(l.persons)
	}
	requests := make([]person.Request, 0, n)
	for _, l := range accepted {
		requests = append(requests, l.persons...)
	}
	var results []person.Result
	if n > 0 {
		var err error
		if results, err = f.in.opt.Directory.Resolve(ctx, requests); err != nil {
			return err
		}
	}
	for _, l := range accepted {
		if len(l.places) == 0 {
			f.thing(l)
			continue
		}
		if err := f.assign(l, results[:len(l.places)]); err != nil {
			l.refuse(err)
		}
		results = results[len(l.places):]
		l.persons = nil
	}
	return nil
}

// thing gives a record about no person its thing id.
func (f *frame) thing(l *line) {
	mac := f.in.opt.Keys.MAC("thing", []byte(f.push.System), []byte(f.push.Type))
	l.head.Thing, l.head.Principal = true, exchange.SubjectID(mac[:16])
}

// assign writes the subjects into the record's header: first every person at
// every place, so that nobody who is named is taken for a mere alias, and who
// is left out is left out wherever she stands. Other known ids that the record
// gave for one of its persons go along as aliases: their restrictions bind
// until an officer has decided. None of them is dropped for want of room.
func (f *frame) assign(l *line, who []person.Result) error {
	h := &l.head
	h.Principal = who[0].Subject
	for i, w := range who {
		if w.Subject != h.Principal { // the principal is never left out
			h.Affected = append(h.Affected, exchange.Affected{Subject: w.Subject, Place: l.places[i].Place})
		}
	}
	for i, w := range who {
		for _, other := range w.Conflict {
			l.conflicts = append(l.conflicts, conflict(w.Subject, other, f.at.UnixMilli()))
			if other != h.Principal { // whose restrictions bind the whole record anyway
				h.Affected = append(h.Affected, exchange.Affected{Subject: other, Place: l.places[i].Place, Alias: true})
			}
		}
	}
	if len(h.Affected) > exchange.MaxAffected {
		return exchange.NewError(exchange.CodeInvalid, exchange.ReasonConflictUnsolved,
			"the record's identifiers belong to more known persons than it may name; an officer must decide who they are",
			exchange.Fault{Rule: "max_persons"})
	}
	return nil
}

// conflict is the question for an officer whether two ids are one person.
func conflict(a, b exchange.SubjectID, at int64) store.ConflictRow {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return store.ConflictRow{A: a, B: b, SeenAt: at}
}
