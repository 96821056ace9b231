package hub

import (
	"context"
	"strconv"
	"strings"
	"time"

	"raccordo/consent"
	"raccordo/hub/api"
	"raccordo/hub/exchange"
	"raccordo/hub/officer"
	"raccordo/hub/person"
)

// by is a calling system as an officer's act names it.
func by(c api.Caller) officer.By { return officer.By{System: c.System, Body: c.Body} }

// identified reads one identifier of a request.
func identified(p api.PersonIdentifier, body exchange.BodyID) (officer.Person, error) {
	var id person.Identifier
	var err error
	if person.System(p.System) == person.SystemLocal {
		id, err = person.NewLocal(body, string(p.Value.Reveal()))
	} else {
		id, err = person.New(person.System(p.System), string(p.Value.Reveal()))
	}
	if err != nil {
		return officer.Person{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonBadIdentifier, "the identifier cannot be used",
			exchange.Fault{Pointer: "/person/value", Rule: string(person.RuleOf(err))})
	}
	return officer.Person{Identifiers: []person.Identifier{id}}, nil
}

type consents struct{ h *Hub }

func (s consents) Decide(ctx context.Context, c api.Caller, d api.ConsentDecision) (api.Consent, error) {
	if err := s.h.Ready(ctx); err != nil {
		return api.Consent{}, err
	}
	p, err := identified(d.Person, c.Body)
	if err != nil {
		return api.Consent{}, err
	}
	made, err := s.h.register.Decide(ctx, by(c), officer.Decision{Person: p, Purpose: d.Purpose, Body: d.Body, Role: d.Role,
		Given: d.Given, Notice: noticeNumber(d.NoticeVersion), Language: d.NoticeLanguage, Indicated: indicated(d.IndicatedBy),
		Method: method(d.Means), ExpiresAt: d.ExpiresAt, Evidence: d.Evidence})
	if err != nil {
		return api.Consent{}, err
	}
	return consentOut(made), nil
}

func indicated(by string) consent.By {
	switch by {
	case "person":
		return consent.BySubject
	case "representative":
		return consent.ByRepresentative
	}
	return consent.ByOperator
}

// method is how a decision was told, in the words of ISO/IEC TS 27560 records.
func method(means string) consent.Method {
	switch means {
	case "written":
		return consent.MethodPaper
	case "digital":
		return consent.MethodSPID
	}
	return consent.MethodVerbalRecorded
}

// noticeSuffix: a network numbers its notices 1, 2, 3; the API writes every
// version with three numbers.
const noticeSuffix = ".0.0"

func noticeNumber(version string) string { return strings.TrimSuffix(version, noticeSuffix) }

func consentOut(c officer.Consent) api.Consent {
	out := api.Consent{ID: c.ID, Purpose: c.Purpose, Body: c.Body, Role: c.Role, State: string(c.Status), Version: int(c.Seq),
		NoticeVersion: c.Notice.Version + noticeSuffix, NoticeLanguage: c.Notice.Language, EffectiveAt: time.UnixMilli(max(c.Time, c.At)).UTC(), Entry: c.Seq}
	if c.ExpiresAt != 0 {
		out.ExpiresAt = time.UnixMilli(c.ExpiresAt).UTC()
	}
	return out
}

func (s consents) Withdraw(ctx context.Context, c api.Caller, id exchange.ConsentID, who string) (api.ConsentEnd, error) {
	if err := s.h.writable(); err != nil {
		return api.ConsentEnd{}, err
	}
	end, err := s.h.register.Withdraw(ctx, by(c), id, indicated(who), consent.MethodVerbalRecorded)
	if err != nil {
		return api.ConsentEnd{}, err
	}
	return api.ConsentEnd{ID: end.ID, State: string(end.Status), EffectiveAt: time.UnixMilli(end.Time).UTC(), Entry: end.Seq,
		ClaimsUnderWay: end.UnderWay, EndsWithin: end.Within}, nil
}

func (s consents) Consent(ctx context.Context, c api.Caller, id exchange.ConsentID) (api.Consent, error) {
	got, err := s.h.register.Consent(ctx, by(c), id)
	if err != nil {
		return api.Consent{}, err
	}
	return consentOut(got), nil
}

func (s consents) Search(ctx context.Context, c api.Caller, q api.ConsentQuery) (api.ConsentPage, error) {
	p, err := identified(q.Person, c.Body)
	if err != nil {
		return api.ConsentPage{}, err
	}
	all, err := s.h.register.Search(ctx, by(c), p, q.Purpose)
	if err != nil {
		return api.ConsentPage{}, err
	}
	var page api.ConsentPage
	after := uint64(1<<63 - 1)
	if q.After != "" {
		if after, err = strconv.ParseUint(q.After, 10, 63); err != nil {
			return page, exchange.NewError(exchange.CodeMalformed, exchange.ReasonParameter, "the cursor cannot be used")
		}
	}
	for _, x := range all { // newest first
		if x.Seq >= after {
			continue
		}
		if len(page.Items) == q.Limit {
			page.Next = strconv.FormatUint(page.Items[len(page.Items)-1].Entry, 10)
			break
		}
		page.Items = append(page.Items, consentOut(x))
	}
	return page, nil
}

type dossiers struct{ h *Hub }

func (s dossiers) Open(ctx context.Context, c api.Caller, d api.DossierOpening) (api.Dossier, error) {
	if err := s.h.Ready(ctx); err != nil {
		return api.Dossier{}, err
	}
	p, err := identified(d.Person, c.Body)
	if err != nil {
		return api.Dossier{}, err
	}
	until, err := endOfDay(d.EndsOn)
	if err != nil {
		return api.Dossier{}, err
	}
	got, err := s.h.register.OpenDossier(ctx, by(c), officer.Opening{Person: p, Body: c.Body, Role: d.Role, Capacity: d.Capacity, Until: until})
	if err != nil {
		return api.Dossier{}, err
	}
	out := dossierOut(got)
	out.OpenedAt = time.UnixMilli(got.Time).UTC()
	return out, nil
}

// endOfDay is the first instant after a day in Europe/Rome.
func endOfDay(day string) (time.Time, error) {
	if day == "" {
		return time.Time{}, nil
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.ParseInLocation(time.DateOnly, day, rome)
	if err != nil {
		return time.Time{}, exchange.NewError(exchange.CodeInvalid, exchange.ReasonSemantic, "not a day",
			exchange.Fault{Pointer: "/ends_on", Rule: "date"})
	}
	return t.AddDate(0, 0, 1), nil
}

func dossierOut(d officer.Dossier) api.Dossier {
	return api.Dossier{ID: d.Dossier, Role: d.Role, Capacity: d.Capacity, Entry: d.Seq}
}

func (s dossiers) Close(ctx context.Context, c api.Caller, id exchange.DossierID, _ string) (api.Dossier, error) {
	if err := s.h.writable(); err != nil {
		return api.Dossier{}, err
	}
	got, err := s.h.register.CloseDossier(ctx, by(c), id)
	if err != nil {
		return api.Dossier{}, err
	}
	out := dossierOut(got)
	out.ClosedAt = time.UnixMilli(got.Time).UTC()
	return out, nil
}
