package officer

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/ledger"
	"raccordo/hub/network"
	"raccordo/hub/store"
)

// Decision is a person's yes or no, as it was told to whoever records it.
type Decision struct {
	Person    Person
	Purpose   exchange.PurposeID
	Body      exchange.BodyID // recipient
	Role      exchange.Role
	Given     bool
	Notice    string // version of the notice the person was told; "" is the one in force
	Language  string
	Indicated consent.By
	Method    consent.Method
	At        time.Time // when it was told; zero: now
	ExpiresAt time.Time // zero: never
	Evidence  exchange.Payload
}

// Consent is one consent in its newest version.
type Consent struct {
	consent.Record
	Seq  uint64
	Time int64 // ledger time of the newest entry, Unix milliseconds; 0 if not known
}

// End says how a consent ended.
type End struct {
	Consent
	UnderWay int           // records claimed before that have not been settled and may still be being sent
	Within   time.Duration // each of those sends ends within this
}

// Decide records a yes or a no: on return its entry is durable, and so is the
// evidence it names. Errors (*exchange.Error): CodeInvalid with
// ReasonConsentScope where no clause needs such a consent or the notice is
// another, with ReasonSemantic for what the record refuses; CodeForbidden with
// ReasonRoleMissing where the caller may not record it; CodeConflict with
// ReasonConsentState, also for a yes that is older than what is on record under
// any linked id.
func (r *Register) Decide(ctx context.Context, by By, d Decision) (Consent, error) {
	flows := r.resting(d.Purpose, d.Body, d.Role)
	if len(flows) == 0 {
		return Consent{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonConsentScope,
			"no clause needs a consent for this purpose and recipient", exchange.Fault{Pointer: "/purpose", Rule: "no_clause"})
	}
	if !r.mayRecord(by, flows) {
		return Consent{}, exchange.NewError(exchange.CodeForbidden, exchange.ReasonRoleMissing, "no clause names a role of this system for recording this consent")
	}
	q, err := r.request(d, flows, by)
	if err != nil {
		return Consent{}, err
	}
	if q.Scope.Subject, err = r.resolve(ctx, by, d.Person); err != nil {
		return Consent{}, err
	}
	step := decision(q, d.Given)
	taken, err := r.keepEvidence(ctx, q, d.Evidence, step)
	if err != nil {
		return Consent{}, err
	}
	made, err := r.record(ctx, q.Scope, step)
	if err != nil {
		r.dropEvidence(ctx, taken, err)
		return Consent{}, err
	}
	r.opt.Woken()
	return made, nil
}

// decision is the transition: a yes is compared with what is on record under
// every linked id, so that none lifts a later no that came under another.
func decision(q *consent.GiveRequest, given bool) transition {
	return func(f *ledger.Facts) (*consent.Record, error) {
		now := f.Now().UnixMilli()
		own, others, err := newest(f, q.Scope)
		if err != nil {
			return nil, err
		}
		if !given {
			return consent.Refuse(own, q, now)
		}
		for _, k := range others {
			if _, err := consent.Give(k, q, now); err != nil {
				return nil, err
			}
		}
		return consent.Give(own, q, now)
	}
}

// resting are the flows whose clause rests on a consent for a purpose and
// recipient.
func (r *Register) resting(p exchange.PurposeID, b exchange.BodyID, role exchange.Role) []*network.Flow {
	var out []*network.Flow
	for _, f := range r.opt.Network().Flows() {
		if restsOn(f, p, b, role) {
			out = append(out, f)
		}
	}
	return out
}

func restsOn(f *network.Flow, p exchange.PurposeID, b exchange.BodyID, role exchange.Role) bool {
	return f.Clause.NeedsConsent() && f.Clause.Purpose == p && f.Recipient.Body == b && f.Recipient.Role == role
}

// mayRecord: an operator at the hub, or a system set up to record consents that
// acts, in the territory of one of the flows, in a role its clause names and
// its body holds.
func (r *Register) mayRecord(by By, flows []*network.Flow) bool {
	if by.Operator {
		return true
	}
	s := r.opt.Network().System(by.System)
	if s == nil || !s.RecordsConsents {
		return false
	}
	for _, f := range flows {
		if !slices.Contains(s.Territories, f.Territory) {
			continue
		}
		for _, role := range f.Clause.ConsentRecorders {
			if s.ActsIn(role) && r.holds(s.Body, role, f.Territory) {
				return true
			}
		}
	}
	return false
}

// request is the decision as package consent takes it, valid but for the person
// it is about: nobody is made for what would be refused anyway.
func (r *Register) request(d Decision, flows []*network.Flow, by By) (*consent.GiveRequest, error) {
	notice := r.opt.Network().Purpose(d.Purpose).Notice
	version := strconv.Itoa(notice.Version)
	if d.Notice != "" && d.Notice != version {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonConsentScope, "the notice in force has another version",
			exchange.Fault{Pointer: "/notice/version", Rule: "superseded"})
	}
	if _, ok := notice.Text[d.Language]; !ok {
		return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonConsentScope, "the notice has no text in this language",
			exchange.Fault{Pointer: "/notice/language", Rule: "no_text"})
	}
	id, err := exchange.NewConsentID(r.opt.Rand)
	if err != nil {
		return nil, unavailable(err)
	}
	now := r.opt.Clock.Now().UnixMilli()
	q := &consent.GiveRequest{ID: id, Scope: consent.Scope{Purpose: d.Purpose, Body: d.Body, Role: d.Role},
		Notice: consent.Notice{ID: notice.ID, Version: version, Language: d.Language, Hash: notice.Digest},
		Act:    consent.Act{By: d.Indicated, Method: d.Method, At: now, RecordedBy: by.System}}
	if !d.At.IsZero() {
		q.Act.At = d.At.UnixMilli()
	}
	if !d.ExpiresAt.IsZero() {
		q.ExpiresAt = d.ExpiresAt.UnixMilli()
	}
	for _, f := range flows { // what the person agreed to is what the notice said today
		q.Categories = q.Categories.Union(f.Clause.Categories)
		if !slices.Contains(q.RecordTypes, f.Clause.RecordType) {
			q.RecordTypes = append(q.RecordTypes, f.Clause.RecordType)
		}
	}
	check := *q
	check.Scope.Subject = exchange.SubjectID{1} // stands for whoever it will be
	return q, check.Validate(now)
}

// transition is what one event makes of what is known.
type transition func(*ledger.Facts) (*consent.Record, error)

// record appends one event of a scope.
func (r *Register) record(ctx context.Context, scope consent.Scope, step transition) (Consent, error) {
	var out Consent
	item := &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{scope.Subject}}, Decide: func(s *ledger.State) (*ledger.Change, error) {
		rec, err := step(s.Facts)
		if err != nil {
			return nil, err
		}
		out.Record = *rec
		return change(rec, s)
	}}
	res, err := r.opt.Ledger.Submit(ctx, item)
	if err != nil {
		return Consent{}, passOn(err)
	}
	out.Seq, out.Time = res.Seq, res.Time
	return out, nil
}

func change(rec *consent.Record, s *ledger.State) (*ledger.Change, error) {
	event, err := consent.AppendEvent(nil, rec)
	if err != nil {
		return nil, err
	}
	row := store.ConsentRow{Consent: rec.ID, Subject: rec.Subject, Purpose: rec.Purpose, Body: rec.Body, Role: rec.Role,
		Status: string(rec.Status), Permits: rec.Status.Permits(), ExpiresAt: rec.ExpiresAt, Seq: s.Seq, Event: event}
	return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindConsent, Fact: event}, Consents: []store.ConsentRow{row},
		Wake: []ledger.Wake{{Event: store.EventConsent, Subjects: s.Facts.Component(rec.Subject)}}}, nil
}

// newest are the newest events of a scope: under its own subject id (nil if
// there is none), and under every linked one.
func newest(f *ledger.Facts, scope consent.Scope) (own *consent.Known, others []*consent.Known, err error) {
	best := map[exchange.SubjectID]*store.ConsentRow{}
	rows := f.Consents(scope.Subject)
	for i := range rows {
		c := &rows[i]
		if c.Purpose == scope.Purpose && c.Body == scope.Body && c.Role == scope.Role && (best[c.Subject] == nil || c.Seq > best[c.Subject].Seq) {
			best[c.Subject] = c
		}
	}
	for subject, row := range best {
		k, err := consent.Read(row.Seq, row.Event)
		if err != nil {
			return nil, nil, err
		}
		if subject == scope.Subject {
			own = k
		} else {
			others = append(others, k)
		}
	}
	return own, others, nil
}

// Withdraw ends a consent: by the person, or as a revocation by anyone else.
// From its commit on no claim relies on it. A system may end what it may
// record, what it recorded, or what it receives under; else CodeNotFound.
// CodeConflict where it is not in force, or another has taken its place.
func (r *Register) Withdraw(ctx context.Context, by By, id exchange.ConsentID, indicated consent.By, method consent.Method) (End, error) {
	known, err := r.Consent(ctx, by, id)
	if err != nil {
		return End{}, err
	}
	act := &consent.Act{By: indicated, Method: method, At: r.opt.Clock.Now().UnixMilli(), RecordedBy: by.System}
	apply := consent.Revoke
	if indicated == consent.BySubject {
		apply = consent.Withdraw
	}
	out := End{Within: r.opt.SendTimeout}
	item := &ledger.Item{Needs: ledger.Needs{Subjects: []exchange.SubjectID{known.Subject}, AllClaims: true},
		Decide: func(s *ledger.State) (*ledger.Change, error) {
			own, _, err := newest(s.Facts, known.Scope)
			if err != nil {
				return nil, err
			}
			if own == nil || own.ID != id {
				return nil, exchange.NewError(exchange.CodeConflict, exchange.ReasonConsentState, "another consent has taken the place of this one")
			}
			rec, err := apply(own, act, s.Facts.Now().UnixMilli())
			if err != nil {
				return nil, err
			}
			out.Record, out.UnderWay = *rec, r.underWay(s, known.Scope)
			return change(rec, s)
		}}
	res, err := r.opt.Ledger.Submit(ctx, item)
	if err != nil {
		return End{}, passOn(err)
	}
	out.Seq, out.Time = res.Seq, res.Time
	r.opt.Woken()
	return out, nil
}

// underWay counts records that were claimed on a consent of the scope, under
// any linked id and in any of its versions, and whose sends may still be going
// on.
func (r *Register) underWay(s *ledger.State, scope consent.Scope) int {
	linked := s.Facts.Component(scope.Subject)
	newest := map[uint64]bool{} // for flows this network no longer has
	for _, c := range s.Facts.Consents(scope.Subject) {
		if c.Purpose == scope.Purpose && c.Body == scope.Body && c.Role == scope.Role {
			newest[c.Seq] = true
		}
	}
	since := s.Facts.Now().Add(-r.opt.SendTimeout).UnixMilli()
	n := 0
	for _, c := range s.Claims {
		if c.At < since {
			continue
		}
		for i := range c.Rows {
			row := &c.Rows[i]
			f := r.opt.Network().Flow(row.Flow)
			for j, b := range row.Basis {
				if b != 0 && slices.Contains(linked, row.Subjects[j]) &&
					(f == nil && newest[b] || f != nil && restsOn(f, scope.Purpose, scope.Body, scope.Role)) {
					n++
					break
				}
			}
		}
	}
	return n
}

// Consent is one consent; see [Register.Withdraw] for who may see it.
func (r *Register) Consent(ctx context.Context, by By, id exchange.ConsentID) (Consent, error) {
	var row store.ConsentRow
	err := r.opt.Store.View(ctx, func(tx store.ReadTx) (err error) {
		row, err = tx.ConsentByID(id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return Consent{}, notFound()
	}
	if err != nil {
		return Consent{}, unavailable(err)
	}
	known, err := consent.Read(row.Seq, row.Event)
	if err != nil {
		return Consent{}, err
	}
	if !r.maySee(by, &known.Record) {
		return Consent{}, notFound()
	}
	return Consent{Record: known.Record, Seq: known.Seq}, nil
}

// maySee: whoever may record it, recorded it, or receives under it in the role
// it is for: what a body may know in one role it may not know in another.
func (r *Register) maySee(by By, rec *consent.Record) bool {
	if by.Operator {
		return true
	}
	s := r.opt.Network().System(by.System)
	if s == nil {
		return false
	}
	return rec.RecordedBy == s.ID || rec.Body == s.Body.ID && s.ActsIn(rec.Role) ||
		r.mayRecord(by, r.resting(rec.Purpose, rec.Body, rec.Role))
}

// Search lists a person's consents that the caller may see, over linked ids,
// newest first. A person nobody knows has none; of identifiers that belong to
// several known persons the consents of all are listed.
func (r *Register) Search(ctx context.Context, by By, p Person, purpose exchange.PurposeID) ([]Consent, error) {
	found, err := r.find(ctx, by, p)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	f, err := r.facts(ctx, found...)
	if err != nil {
		return nil, err
	}
	var out []Consent
	seen := map[exchange.ConsentID]bool{}
	for _, s := range found {
		for _, row := range f.Consents(s) {
			known, err := consent.Read(row.Seq, row.Event)
			if err != nil {
				return nil, err
			}
			if !seen[row.Consent] && (purpose == "" || known.Purpose == purpose) && r.maySee(by, &known.Record) {
				out = append(out, Consent{Record: known.Record, Seq: known.Seq})
			}
			seen[row.Consent] = true
		}
	}
	slices.SortFunc(out, func(a, b Consent) int { return int(int64(b.Seq) - int64(a.Seq)) })
	return out, nil
}
