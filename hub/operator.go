package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"raccordo/consent"
	"raccordo/hub/access"
	"raccordo/hub/control"
	"raccordo/hub/delivery"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/officer"
	"raccordo/hub/person"
	"raccordo/hub/store"
)

// operator is the hub as its control socket shows it.
type operator struct{ h *Hub }

var byOperator = officer.By{Operator: true}

// up refuses acts while the hub is not up; status is answered all the same.
func (o *operator) up(ctx context.Context) error { return o.h.Ready(ctx) }

func (o *operator) Status(ctx context.Context, _ control.Nothing) (control.Status, error) {
	h := o.h
	s := control.Status{Version: h.opt.Version, Hub: h.store.Hub(), API: h.URL(), Admin: "http://" + h.AdminAddr(),
		Network: h.Network().Name, Digest: h.Network().Digest, Flows: map[exchange.FlowID]map[string]int64{}, Quarantined: []string{}}
	if err := h.Ready(ctx); err != nil {
		s.Why = exchange.AsError(err).Detail
	} else {
		s.Ready = true
	}
	sums, err := h.sums(ctx)
	if err != nil {
		return s, err
	}
	s.Entries, s.Behind, s.Imbalance, s.Waiting = sums.Ledger, sums.Behind, sums.Imbalance, sums.Waiting
	for f, states := range sums.States {
		s.Flows[f] = map[string]int64{}
		for state, n := range states {
			if n != 0 {
				s.Flows[f][state.String()] = n
			}
		}
	}
	for lane, why := range h.deliverer.Quarantined() {
		s.Quarantined = append(s.Quarantined, fmt.Sprintf("%s/%d: %s", lane.Class, lane.Lane, why))
	}
	err = h.store.View(ctx, func(tx store.ReadTx) error {
		head, err := tx.Head()
		s.Stopped = head.Stopped
		return err
	})
	return s, err
}

// ConfirmClock lets the hub go on with its clock; that an operator did so is
// the first entry under it. A clock that is trusted needs no confirmation.
func (o *operator) ConfirmClock(ctx context.Context, _ control.Nothing) (control.Nothing, error) {
	if o.h.writer.Clock() == nil {
		return control.Nothing{}, nil
	}
	fact, err := exchange.EncodeFact(exchange.OperatorFact{Act: "confirm_clock", Reason: "clock_checked"})
	if err != nil {
		return control.Nothing{}, err
	}
	o.h.writer.ConfirmClock()
	_, err = o.h.writer.Submit(ctx, &ledger.Item{Decide: func(*ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindClock, Fact: fact}}, nil
	}})
	return control.Nothing{}, err
}

func entry(r ledger.Result) control.Entry {
	return control.Entry{Seq: r.Seq, Time: time.UnixMilli(r.Time).UTC()}
}

func (o *operator) StopDisclosures(ctx context.Context, q control.StopRequest) (control.Entry, error) {
	if err := code(q.Reason); err != nil {
		return control.Entry{}, err
	}
	res, err := o.h.register.Stop(ctx, q.Stopped, q.Reason)
	return entry(res), err
}

// code refuses free text where an operator's reason goes into the ledger.
func code(reason string) error {
	if !exchange.ValidName(reason) {
		return exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter,
			"a reason is a code: small letters, digits and underscores, at most 63")
	}
	return nil
}

// personOf reads who is meant.
func personOf(p control.Person) (officer.Person, error) {
	if p.Subject != (exchange.SubjectID{}) {
		return officer.Person{Subject: p.Subject}, nil
	}
	var id person.Identifier
	var err error
	if person.System(p.System) == person.SystemLocal {
		id, err = person.NewLocal(p.Body, p.Value)
	} else {
		id, err = person.New(person.System(p.System), p.Value)
	}
	if err != nil {
		return officer.Person{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonBadIdentifier, "the identifier cannot be used",
			exchange.Fault{Pointer: "/person", Rule: string(person.RuleOf(err))})
	}
	return officer.Person{Identifiers: []person.Identifier{id}}, nil
}

func (o *operator) GiveConsent(ctx context.Context, q control.ConsentRequest) (control.Consent, error) {
	if err := o.up(ctx); err != nil {
		return control.Consent{}, err
	}
	p, err := personOf(q.Person)
	if err != nil {
		return control.Consent{}, err
	}
	lang := q.Language
	if lang == "" {
		lang = "it"
	}
	got, err := o.h.register.Decide(ctx, byOperator, officer.Decision{Person: p, Purpose: q.Purpose, Body: q.Body, Role: q.Role,
		Given: !q.Refused, Language: lang, Indicated: consent.BySubject, Method: methodOr(q.Method), ExpiresAt: q.Expires})
	return consentShown(got), err
}

func methodOr(m string) consent.Method {
	if m == "" {
		return consent.MethodVerbalRecorded
	}
	return consent.Method(m)
}

func consentShown(c officer.Consent) control.Consent {
	out := control.Consent{ID: c.ID, Purpose: c.Purpose, Body: c.Body, Role: c.Role, Status: string(c.Status), Seq: c.Seq}
	if c.ExpiresAt != 0 {
		out.Expires = time.UnixMilli(c.ExpiresAt).UTC()
	}
	return out
}

func (o *operator) WithdrawConsent(ctx context.Context, q control.WithdrawRequest) (control.ConsentEnd, error) {
	who := consent.BySubject
	if q.Revoked {
		who = consent.ByOperator
	}
	end, err := o.h.register.Withdraw(ctx, byOperator, q.Consent, who, methodOr(q.Method))
	return control.ConsentEnd{Consent: consentShown(end.Consent), UnderWay: end.UnderWay, Within: end.Within.String()}, err
}

func (o *operator) ShowConsents(ctx context.Context, q control.ConsentQuery) (control.Consents, error) {
	out := control.Consents{Consents: []control.Consent{}}
	if q.Consent != (exchange.ConsentID{}) {
		c, err := o.h.register.Consent(ctx, byOperator, q.Consent)
		out.Consents = append(out.Consents, consentShown(c))
		return out, err
	}
	p, err := personOf(q.Person)
	if err != nil {
		return out, err
	}
	list, err := o.h.register.Search(ctx, byOperator, p, "")
	for _, c := range list {
		out.Consents = append(out.Consents, consentShown(c))
	}
	return out, err
}

func (o *operator) OpenDossier(ctx context.Context, q control.DossierRequest) (control.Dossier, error) {
	if err := o.up(ctx); err != nil {
		return control.Dossier{}, err
	}
	p, err := personOf(q.Person)
	if err != nil {
		return control.Dossier{}, err
	}
	d, err := o.h.register.OpenDossier(ctx, byOperator, officer.Opening{Person: p, Body: q.Body, Role: q.Role, Capacity: q.Capacity, Until: q.Until})
	return dossierShown(d), err
}

func dossierShown(d officer.Dossier) control.Dossier {
	out := control.Dossier{ID: d.Dossier, Body: d.Body, Role: d.Role, Capacity: d.Capacity, Closed: d.Closed, Seq: d.Seq}
	if d.Until != 0 {
		out.Until = time.UnixMilli(d.Until).UTC()
	}
	return out
}

func (o *operator) CloseDossier(ctx context.Context, q control.DossierRef) (control.Dossier, error) {
	d, err := o.h.register.CloseDossier(ctx, byOperator, q.Dossier)
	return dossierShown(d), err
}

func (o *operator) ListDossiers(ctx context.Context, q control.Person) (control.Dossiers, error) {
	out := control.Dossiers{Dossiers: []control.Dossier{}}
	p, err := personOf(q)
	if err != nil {
		return out, err
	}
	list, err := o.h.register.Dossiers(ctx, p)
	for _, d := range list {
		out.Dossiers = append(out.Dossiers, dossierShown(d))
	}
	return out, err
}

func (o *operator) Link(ctx context.Context, q control.LinkRequest) (control.Entry, error) {
	a, err := personOf(q.A)
	if err != nil {
		return control.Entry{}, err
	}
	b, err := personOf(q.B)
	if err != nil {
		return control.Entry{}, err
	}
	res, err := o.h.register.Link(ctx, a, b, q.Linked)
	return entry(res), err
}

func (o *operator) Conflicts(ctx context.Context, _ control.Nothing) (control.Conflicts, error) {
	out := control.Conflicts{Conflicts: []control.Conflict{}}
	rows, err := o.h.register.Conflicts(ctx, 1000)
	for _, r := range rows {
		out.Conflicts = append(out.Conflicts, control.Conflict{A: r.A, B: r.B, Record: r.Record, Seen: time.UnixMilli(r.SeenAt).UTC()})
	}
	return out, err
}

func (o *operator) ListParked(ctx context.Context, q control.ParkedQuery) (control.ParkedPage, error) {
	if q.Limit <= 0 || q.Limit > 500 {
		q.Limit = 100
	}
	page := control.ParkedPage{Parked: []control.Parked{}}
	err := o.h.store.View(ctx, func(tx store.ReadTx) error {
		rows, err := tx.ParkedList(q.After, q.Limit+1)
		for i := range rows {
			if i == q.Limit {
				page.Next = page.Parked[i-1].ID
				break
			}
			page.Parked = append(page.Parked, parkedShown(&rows[i]))
		}
		return err
	})
	return page, err
}

func parkedShown(r *store.ParkedRow) control.Parked {
	return control.Parked{ID: r.ID, Record: r.Record, Flow: r.Flow, System: r.System, Producer: r.Producer, Reason: r.Reason,
		Faults: r.Faults, Mark: r.Mark.String(), Attempt: int(r.Attempt), Received: time.UnixMilli(r.ReceivedAt).UTC(),
		Parked: time.UnixMilli(r.ParkedAt).UTC()}
}

func (o *operator) ShowParked(ctx context.Context, q control.ParkedRef) (control.Parked, error) {
	var out control.Parked
	err := o.h.store.View(ctx, func(tx store.ReadTx) error {
		rows, err := tx.Parked([]uint64{q.ID})
		if err == nil && len(rows) == 0 {
			err = exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "no such parked record")
		}
		if err == nil {
			out = parkedShown(&rows[0])
		}
		return err
	})
	return out, err
}

func (o *operator) ReplayParked(ctx context.Context, q control.ParkedAct) (control.Nothing, error) {
	return control.Nothing{}, o.reopen(ctx, q, o.h.deliverer.Replay)
}

func (o *operator) DiscardParked(ctx context.Context, q control.ParkedAct) (control.Nothing, error) {
	return control.Nothing{}, o.reopen(ctx, q, o.h.deliverer.Discard)
}

func (o *operator) reopen(ctx context.Context, q control.ParkedAct, act func(context.Context, delivery.Reopen) error) error {
	if err := code(q.Reason); err != nil {
		return err
	}
	if err := o.up(ctx); err != nil {
		return err
	}
	return act(ctx, delivery.Reopen{IDs: q.IDs, Reason: q.Reason, OutOfOrder: q.OutOfOrder})
}

func (o *operator) AddKey(ctx context.Context, q control.KeyRequest) (control.System, error) {
	s := o.h.Network().System(q.System)
	if s == nil || s.Client == "" {
		return control.System{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the network has no such system, or it has no client id")
	}
	key, err := access.ParseKey(q.Key)
	if err != nil {
		return control.System{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter,
			"the key must be an RSA public key of at least 2048 bits, as JWK or PEM").Because(err)
	}
	jwk, err := key.JWK()
	if err != nil {
		return control.System{}, err
	}
	err = o.h.store.Side(ctx, func(tx store.SideTx) error {
		return tx.PutClientKey(store.ClientKey{ClientID: s.Client, System: s.ID, KeyID: key.KID, JWK: jwk, AddedAt: o.h.opt.Clock.Now().UnixMilli()})
	})
	if err != nil {
		return control.System{}, err
	}
	list, err := o.ListSystems(ctx, control.Nothing{})
	if err != nil {
		return control.System{}, err
	}
	i := slices.IndexFunc(list.Systems, func(x control.System) bool { return x.System == q.System })
	return list.Systems[i], nil
}

func (o *operator) ListSystems(ctx context.Context, _ control.Nothing) (control.Systems, error) {
	out := control.Systems{TokenEndpoint: o.h.TokenEndpoint()}
	var rows []store.ClientKey
	err := o.h.store.View(ctx, func(tx store.ReadTx) (err error) {
		rows, err = tx.ClientKeys()
		return err
	})
	for _, s := range o.h.Network().Systems() {
		x := control.System{System: s.ID, Body: s.Body.ID, Client: s.Client, Keys: []string{}, Produces: []string{},
			Receives: s.Connector.Kind, Purposes: map[string]string{}}
		for id, p := range s.Purposes {
			x.Purposes[id] = string(p)
		}
		for _, k := range rows {
			if k.System == s.ID {
				x.Keys = append(x.Keys, k.KeyID)
			}
		}
		for t := range s.Produces {
			x.Produces = append(x.Produces, string(t))
		}
		slices.Sort(x.Produces)
		out.Systems = append(out.Systems, x)
	}
	return out, err
}

func (o *operator) Checkpoint(ctx context.Context, _ control.Nothing) (control.Checkpoint, error) {
	note, err := o.h.signer.Sign(ctx)
	return control.Checkpoint{Note: string(note), Keys: o.h.keys.VerifierKeys()}, err
}

// Export writes the ledger to a directory, as of a checkpoint signed now.
func (o *operator) Export(ctx context.Context, q control.ExportRequest) (control.Exported, error) {
	if _, err := o.h.signer.Sign(ctx); err != nil {
		return control.Exported{}, err
	}
	if err := os.MkdirAll(q.Dir, 0o755); err != nil {
		return control.Exported{}, fmt.Errorf("export: %w", err)
	}
	root, err := os.OpenRoot(q.Dir)
	if err != nil {
		return control.Exported{}, fmt.Errorf("export: %w", err)
	}
	got, err := o.h.reader.Export(ctx, root)
	err = errors.Join(err, root.Close())
	vkeys := o.h.keys.VerifierKeys()
	return control.Exported{Entries: got.Entries, Key: vkeys[len(vkeys)-1]}, err
}

func (o *operator) Prove(ctx context.Context, q control.ProofRequest) (control.Proof, error) {
	p, err := o.h.reader.Prove(ctx, q.Seq, q.TreeSize, q.Row)
	if err != nil {
		return control.Proof{}, err
	}
	out := control.Proof{Seq: p.Seq, TreeSize: p.TreeSize, Leaf: p.Leaf, Hashes: hashes(p.Hashes), Checkpoint: string(p.Checkpoint)}
	if p.Row != nil {
		out.Row, out.RowHashes = p.Row.Row, hashes(p.Row.Hashes)
	}
	return out, nil
}

// RotateKeys makes new keys. A new signing key counts once its announcement,
// signed under the old one, stands in the ledger.
func (o *operator) RotateKeys(ctx context.Context, q control.RotateRequest) (control.Entry, error) {
	switch strings.TrimSpace(q.Keys) {
	case "digest":
		_, err := o.h.keys.RotateDigest()
		return control.Entry{}, err
	case "voucher":
		return control.Entry{}, o.h.rotateVoucher()
	case "signing":
	default:
		return control.Entry{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter, "keys are signing, digest or voucher")
	}
	r, err := o.h.keys.RotateSigning()
	if err != nil {
		return control.Entry{}, err
	}
	return o.h.announce(ctx, r)
}

func (h *Hub) announce(ctx context.Context, r keys.Rotation) (control.Entry, error) {
	fact, err := exchange.EncodeFact(exchange.KeyFact{Key: r.New, Announcement: r.Announcement})
	if err != nil {
		return control.Entry{}, err
	}
	res, err := h.writer.Submit(ctx, &ledger.Item{Decide: func(*ledger.State) (*ledger.Change, error) {
		return &ledger.Change{Draft: &ledger.Draft{Kind: exchange.KindSigningKey, Fact: fact}}, nil
	}})
	if err != nil {
		return control.Entry{}, err
	}
	return entry(res), h.keys.ActivateSigning(r.New)
}

// rotateVoucher makes a new voucher key; vouchers under the old one stay good
// until they expire.
func (h *Hub) rotateVoucher() error {
	if err := h.keys.RotateVoucher(); err != nil {
		return err
	}
	set, err := voucherKeyList(h)
	if err != nil || h.voucherSet == nil {
		return err
	}
	return h.voucherSet.Replace(set...)
}
