package gate

import (
	"time"

	"raccordo/hub/exchange"
)

// LegalBasis is a PDND code (risk-analysis form v3.1).
type LegalBasis string

// The legal bases. Public interest is split as on PDND.
const (
	BasisConsent            LegalBasis = "CONSENT"
	BasisContract           LegalBasis = "CONTRACT"
	BasisLegalObligation    LegalBasis = "LEGAL_OBLIGATION"
	BasisSafeguard          LegalBasis = "SAFEGUARD" // vital interest, GDPR 6(1)(d)
	BasisRuleOfLaw          LegalBasis = "RULE_OF_LAW"
	BasisAdministrativeAct  LegalBasis = "ADMINISTRATIVE_ACT"
	BasisPublicInterestTask LegalBasis = "PUBLIC_INTEREST_TASK"
)

// IsValid reports whether b is a known code.
func (b LegalBasis) IsValid() bool {
	switch b {
	case BasisConsent, BasisContract, BasisLegalObligation, BasisSafeguard,
		BasisRuleOfLaw, BasisAdministrativeAct, BasisPublicInterestTask:
		return true
	}
	return false
}

// Period is a span of time; a zero From never began, a zero Until is open.
// Days of agreements are days in Europe/Rome: From is the first instant of the
// first day, Until the first instant after the last.
type Period struct {
	From  time.Time
	Until time.Time
}

// Contains reports whether t is in the period.
func (p Period) Contains(t time.Time) bool {
	return !p.From.IsZero() && !t.Before(p.From) && (p.Until.IsZero() || t.Before(p.Until))
}

// Clause is what the gate needs of a clause (hub/network compiles it).
type Clause struct {
	ID         exchange.ClauseID
	Number     exchange.Number
	InForce    Period // of its agreement, cut at its end; empty unless every party has signed
	Basis      LegalBasis
	Purpose    exchange.PurposeID
	Categories exchange.CategorySet
	Dossier    string        // capacity of the open dossier the recipient must have, "" if none
	Hold       time.Duration // how long a record waits for a missing consent; 0: withheld at once. A missing dossier is never waited for
}

// NeedsConsent reports whether each person's consent is the basis.
func (c *Clause) NeedsConsent() bool { return c.Basis == BasisConsent }

// Recipient is who would learn it, in which role.
type Recipient struct {
	System    exchange.SystemID
	Body      exchange.BodyID
	Role      exchange.Role
	Territory exchange.Territory
	Held      []Period // when the body holds the role in that territory
}

// Holds reports whether the role is held at t.
func (r *Recipient) Holds(t time.Time) bool {
	for _, p := range r.Held {
		if p.Contains(t) {
			return true
		}
	}
	return false
}
