package hub

import (
	"context"
	"time"

	"raccordo/consent"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
	"raccordo/hub/officer"
	"raccordo/hub/person"
)

// personOf reads who is meant. A local code is of a body of the network: a
// misspelt one would name a person nobody knows, and the decision be lost.
func (o *operator) personOf(p control.Person) (officer.Person, error) {
	if p.Subject != (exchange.SubjectID{}) {
		return officer.Person{Subject: p.Subject}, nil
	}
	var id person.Identifier
	var err error
	if person.System(p.System) == person.SystemLocal {
		if o.h.Network().Body(p.Body) == nil {
			return officer.Person{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonBadIdentifier,
				"no body of the network has that name; a local code belongs to the body that issued it", exchange.Fault{Pointer: "/person/body", Rule: "unknown_body"})
		}
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
	p, err := o.personOf(q.Person)
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
	if err := o.h.writable(); err != nil {
		return control.ConsentEnd{}, err
	}
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
	p, err := o.personOf(q.Person)
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
	p, err := o.personOf(q.Person)
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
	if err := o.h.writable(); err != nil {
		return control.Dossier{}, err
	}
	d, err := o.h.register.CloseDossier(ctx, byOperator, q.Dossier)
	return dossierShown(d), err
}

func (o *operator) ListDossiers(ctx context.Context, q control.Person) (control.Dossiers, error) {
	out := control.Dossiers{Dossiers: []control.Dossier{}}
	p, err := o.personOf(q)
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
	if err := o.h.writable(); err != nil {
		return control.Entry{}, err
	}
	a, err := o.personOf(q.A)
	if err != nil {
		return control.Entry{}, err
	}
	b, err := o.personOf(q.B)
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
