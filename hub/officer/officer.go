package officer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/person"
	"raccordo/hub/store"
)

// Ledger is the one write path.
type Ledger interface {
	Submit(context.Context, *ledger.Item) (ledger.Result, error)
}

// Directory finds persons.
type Directory interface {
	Resolve(context.Context, []person.Request) ([]person.Result, error)
	Lookup(context.Context, []person.Identifier) ([]exchange.SubjectID, error)
}

// Sealer seals the evidence of consents.
type Sealer interface {
	Seal(place keys.Place, at time.Time, plaintext, aad []byte) ([]byte, error)
}

// Options of a [Register]; all are required.
type Options struct {
	Network     func() *network.Network
	Store       store.Store
	Ledger      Ledger
	Directory   Directory
	Sealer      Sealer
	Clock       exchange.Clock
	Rand        io.Reader
	SendTimeout time.Duration // each send under way ends within it
	Woken       func()        // called after something may have been released
}

// Register records decisions about persons.
type Register struct{ opt Options }

// New makes a register.
func New(opt Options) *Register { return &Register{opt: opt} }

// By is who acts: a system of a body, or an operator at the hub itself.
type By struct {
	System   exchange.SystemID // "" for an operator
	Body     exchange.BodyID
	Operator bool
}

// Person names a person: the identifiers are looked up and forgotten, or a
// subject id is given (operators only).
type Person struct {
	Identifiers []person.Identifier
	Subject     exchange.SubjectID
}

// find looks a person up: none if nobody is known, several if the identifiers
// belong to several known ids that nobody has linked.
func (r *Register) find(ctx context.Context, by By, p Person) ([]exchange.SubjectID, error) {
	if p.Subject != (exchange.SubjectID{}) {
		if !by.Operator {
			return nil, notFound()
		}
		return []exchange.SubjectID{p.Subject}, nil
	}
	found, err := r.opt.Directory.Lookup(ctx, p.Identifiers)
	if err != nil {
		return nil, unidentified(err)
	}
	return found, nil
}

// one finds exactly one person, over links.
func (r *Register) one(ctx context.Context, by By, p Person) (exchange.SubjectID, error) {
	found, err := r.find(ctx, by, p)
	if err != nil {
		return exchange.SubjectID{}, err
	}
	if len(found) == 0 {
		return exchange.SubjectID{}, notFound()
	}
	if len(found) > 1 {
		f, err := r.facts(ctx, found...)
		if err != nil {
			return exchange.SubjectID{}, err
		}
		for _, s := range found[1:] {
			if !slices.Contains(f.Component(found[0]), s) {
				return exchange.SubjectID{}, exchange.NewError(exchange.CodeConflict, exchange.ReasonConflictUnsolved,
					"the identifiers belong to several known persons")
			}
		}
	}
	return found[0], nil
}

// resolve finds a person or makes one that was never seen. Where identifiers
// belong to several known ids the strongest is meant, and an officer is asked.
func (r *Register) resolve(ctx context.Context, by By, p Person) (exchange.SubjectID, error) {
	if p.Subject != (exchange.SubjectID{}) {
		found, err := r.find(ctx, by, p)
		if err != nil {
			return exchange.SubjectID{}, err
		}
		return found[0], nil
	}
	res, err := r.opt.Directory.Resolve(ctx, []person.Request{{Identifiers: p.Identifiers}})
	if err != nil {
		return exchange.SubjectID{}, unidentified(err)
	}
	who := res[0]
	if len(who.Conflict) == 0 {
		return who.Subject, nil
	}
	rows := make([]store.ConflictRow, len(who.Conflict))
	for i, other := range who.Conflict {
		a, b := ordered(who.Subject, other)
		rows[i] = store.ConflictRow{A: a, B: b, SeenAt: r.opt.Clock.Now().UnixMilli()}
	}
	if err := r.opt.Store.Side(ctx, func(tx store.SideTx) error { return tx.PutConflicts(rows) }); err != nil {
		return exchange.SubjectID{}, unavailable(err)
	}
	return who.Subject, nil
}

func ordered(a, b exchange.SubjectID) (exchange.SubjectID, exchange.SubjectID) {
	if bytes.Compare(a[:], b[:]) > 0 {
		return b, a
	}
	return a, b
}

// unidentified tells a request without usable identifiers from a directory that
// cannot be reached.
func unidentified(err error) error {
	if errors.Is(err, person.ErrRequest) {
		return exchange.NewError(exchange.CodeInvalid, exchange.ReasonBadIdentifier, "a person is named by 1 to 16 identifiers",
			exchange.Fault{Pointer: "/person", Rule: "identifiers"})
	}
	return unavailable(err)
}

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return exchange.NewError(exchange.CodeUnavailable, exchange.ReasonOverloaded, "try again").Because(err).After(time.Second)
}

// passOn gives typed errors as they are; anything else is "try again".
func passOn(err error) error {
	var e *exchange.Error
	if errors.As(err, &e) {
		return err
	}
	return unavailable(err)
}

func notFound() error {
	return exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "there is no such thing, or not for this caller")
}

// facts reads what is known of subjects and their linked ids.
func (r *Register) facts(ctx context.Context, subjects ...exchange.SubjectID) (f *ledger.Facts, err error) {
	err = r.opt.Store.View(ctx, func(tx store.ReadTx) error {
		f, err = ledger.ReadFacts(tx, subjects, r.opt.Clock.Now())
		return err
	})
	return f, unavailable(err)
}

// holds reports whether a body holds a role now, in a territory or ("") in any.
func (r *Register) holds(b *network.Body, role exchange.Role, territory exchange.Territory) bool {
	now := r.opt.Clock.Now()
	return slices.ContainsFunc(b.Roles, func(h network.HeldRole) bool {
		return h.Role == role && (territory == "" || h.Territory == territory) && h.Period.Contains(now)
	})
}
