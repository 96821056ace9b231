package api

import (
	"context"
	"net/http"
	"time"

	"raccordo/hub/exchange"
)

const (
	mostConsents    = 100
	defaultConsents = 20
)

type bodyInRoleJSON struct {
	Body exchange.BodyID `json:"body"`
	Role exchange.Role   `json:"role"`
}

type noticeJSON struct {
	Version  string `json:"version"`
	Language string `json:"language"`
}

type consentJSON struct {
	ID          exchange.ConsentID `json:"consent_id"`
	Purpose     exchange.PurposeID `json:"purpose"`
	Recipient   bodyInRoleJSON     `json:"recipient"`
	State       string             `json:"state"`
	Version     int                `json:"version"`
	Notice      noticeJSON         `json:"notice"`
	EffectiveAt time.Time          `json:"effective_at"`
	ExpiresAt   *time.Time         `json:"expires_at,omitempty"`
	Entry       uint64             `json:"ledger_entry"`
}

func consentOut(c Consent) consentJSON {
	return consentJSON{ID: c.ID, Purpose: c.Purpose, Recipient: bodyInRoleJSON{c.Body, c.Role}, State: c.State, Version: c.Version,
		Notice: noticeJSON{c.NoticeVersion, c.NoticeLanguage}, EffectiveAt: c.EffectiveAt.UTC(), ExpiresAt: optional(c.ExpiresAt), Entry: c.Entry}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (a *API) giveConsent(ctx context.Context, c *call) (*answer, error) {
	var d ConsentDecision
	err := c.decode(func(m *members) {
		d.Person = m.person()
		d.Purpose = exchange.PurposeID(m.text("purpose", true, nameShape))
		m.object("recipient", func(m *members) {
			d.Body = exchange.BodyID(m.text("body", true, nameShape))
			d.Role = exchange.Role(m.text("role", true, nameShape))
		})
		d.Given = m.oneOf("decision", true, "given", "refused") == "given"
		m.object("notice", func(m *members) {
			d.NoticeVersion = m.text("version", true, versionShape)
			d.NoticeLanguage = m.text("language", true, languageShape)
		})
		d.IndicatedBy = m.oneOf("indicated_by", true, "person", "representative")
		d.Means = m.oneOf("means", true, "written", "oral", "digital")
		d.ExpiresAt = m.time("expires_at")
		if ref := m.text("evidence_ref", false, evidenceShape); ref != "" {
			d.Evidence = exchange.NewPayload([]byte(ref))
		}
	})
	if err != nil {
		return nil, err
	}
	made, err := a.o.Consents.Decide(ctx, c.caller, d)
	if err != nil {
		return nil, err
	}
	ans, err := asJSON(http.StatusCreated, consentOut(made))
	if err != nil {
		return nil, err
	}
	ans.location = "/v1/consents/" + made.ID.String()
	return ans, nil
}

func consentID(c *call) (exchange.ConsentID, error) {
	id, err := exchange.ParseConsentID(uuidText(c.r.PathValue("consent_id")))
	if err != nil {
		return exchange.ConsentID{}, errNotFound
	}
	return id, nil
}

func (a *API) readConsent(ctx context.Context, c *call) (*answer, error) {
	id, err := consentID(c)
	if err != nil {
		return nil, err
	}
	found, err := a.o.Consents.Consent(ctx, c.caller, id)
	if err != nil {
		return nil, err
	}
	return asJSON(http.StatusOK, consentOut(found))
}

type consentEndJSON struct {
	ID             exchange.ConsentID `json:"consent_id"`
	State          string             `json:"state"`
	EffectiveAt    time.Time          `json:"effective_at"`
	Entry          uint64             `json:"ledger_entry"`
	ClaimsUnderWay int                `json:"claims_under_way"`
	EndsWithin     int                `json:"ends_within_seconds"`
}

func (a *API) withdrawConsent(ctx context.Context, c *call) (*answer, error) {
	id, err := consentID(c)
	if err != nil {
		return nil, err
	}
	var by string
	if err := c.decode(func(m *members) { by = m.oneOf("indicated_by", true, "person", "representative", "body") }); err != nil {
		return nil, err
	}
	end, err := a.o.Consents.Withdraw(ctx, c.caller, id, by)
	if err != nil {
		return nil, err
	}
	return asJSON(http.StatusOK, consentEndJSON{end.ID, end.State, end.EffectiveAt.UTC(), end.Entry, end.ClaimsUnderWay, wholeSeconds(end.EndsWithin, 0)})
}

type consentPageJSON struct {
	Items []consentJSON `json:"items"`
	Next  string        `json:"next_cursor,omitempty"`
}

func (a *API) searchConsents(ctx context.Context, c *call) (*answer, error) {
	var q ConsentQuery
	var cursor string
	err := c.decode(func(m *members) {
		q.Person = m.person()
		q.Purpose = exchange.PurposeID(m.text("purpose", false, nameShape))
		q.Limit = m.integer("limit", 1, mostConsents, defaultConsents)
		cursor = m.text("cursor", false, cursorShape)
	})
	if err != nil {
		return nil, err
	}
	binding := [][]byte{[]byte("consents"), []byte(c.caller.System), []byte(c.caller.ClientID), []byte(c.caller.PurposeID),
		[]byte(q.Person.System), q.Person.Value.Reveal(), []byte(q.Purpose)}
	if cursor != "" {
		if q.After, err = a.seal.open(cursor, binding); err != nil {
			return nil, exchange.NewError(exchange.CodeInvalid, exchange.ReasonParameter, "the cursor is not of this search, or too old",
				exchange.Fault{Pointer: "/cursor", Rule: "cursor"})
		}
	}
	page, err := a.o.Consents.Search(ctx, c.caller, q)
	if err != nil {
		return nil, err
	}
	out := consentPageJSON{Items: make([]consentJSON, len(page.Items))}
	for i, item := range page.Items {
		out.Items[i] = consentOut(item)
	}
	if page.Next != "" {
		if out.Next, err = a.seal.seal(page.Next, binding); err != nil {
			return nil, err
		}
	}
	return asJSON(http.StatusOK, out)
}
