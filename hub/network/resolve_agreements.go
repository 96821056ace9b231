package network

import (
	"slices"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
	"raccordo/schemas/catalog"
)

func (l *loader) resolveAgreements() {
	for _, d := range l.decl.agreements {
		if d.Agreement.ID == "" {
			continue
		}
		if slices.ContainsFunc(l.n.agreements, func(a *Agreement) bool { return a.ID == d.Agreement.ID }) {
			l.addAt(d.at, "one file per agreement", "agreement %q is there twice", d.Agreement.ID)
			continue
		}
		l.n.agreements = append(l.n.agreements, d.Agreement)
		l.languages(d.at, d.Title, "the title")
		if len(d.Parties) < 1 {
			l.addAt(d.at, "name who signs it", "agreement %q has no party", d.Agreement.ID)
		}
		for _, p := range d.parties {
			if p.v != "" && l.n.bodyByID[p.v] == nil {
				l.unknown(kindBody, p.at, "bodies are files of bodies/", "body %q is not known", p.v)
			}
		}
		for i, p := range d.Parties {
			if p.Signed != "" && d.Until != "" && p.Signed > d.Until {
				l.addAt(d.signed[i], "", "signed after the agreement is over")
			}
		}
		for _, c := range d.clauses {
			l.resolveClause(c)
		}
	}
}

func (l *loader) resolveClause(c *clauseDecl) {
	if c.ID == "" {
		return
	}
	if l.n.clauseByID[c.ID] != nil {
		l.addAt(c.at, "names of clauses are unique in the network", "clause %q is there twice", c.ID)
		return
	}
	if other := l.n.clauseByNo[c.Number]; other != nil {
		l.addAt(c.at, "rename one of them", "clauses %s and %s have the same number in ledger rows", c.ID, other.ID)
		return
	}
	l.n.clauseByID[c.ID], l.n.clauseByNo[c.Number] = c.Clause, c.Clause
	l.n.clauses = append(l.n.clauses, c.Clause)
	l.clauses[c.ID] = c
	c.Agreement.Clauses = append(c.Agreement.Clauses, c.Clause)
	l.needType(c.recordType)
	c.Categories = l.categorySet(c.categories)
	if len(c.From) == 0 || len(c.To) == 0 {
		l.addAt(c.at, "name the roles", "a clause needs roles in from and in to")
	}
	for _, r := range slices.Concat(c.from, c.to, c.recorders) {
		if !l.partyHolds(c.agreement, r.v) {
			l.addAt(r.at, "add the party, or the role to the body of a party", "no party of the agreement holds the role %s anywhere", r.v)
		}
	}
	l.clauseBasis(c)
	l.clauseTerms(c)
}

func (l *loader) partyHolds(a *agreementDecl, role exchange.Role) bool {
	if l.unread[kindBody] {
		return true // by a body that could not be read, for all that is known
	}
	for _, p := range a.Parties {
		if b := l.n.bodyByID[p.Body]; b != nil {
			for _, h := range b.Roles {
				if h.Role == role {
					return true
				}
			}
		}
	}
	return false
}

// clauseBasis holds the clause to GDPR articles 6, 9 and 10 as PDND's risk
// analysis reads them (domain.md 7.1, 7.2).
func (l *loader) clauseBasis(c *clauseDecl) {
	purpose := l.needPurpose(c.purpose)
	special := l.special(c.Categories, catalog.Article9)
	criminal := l.special(c.Categories, catalog.Criminal)
	if special != "" && c.Basis == gate.BasisPublicInterestTask {
		l.addAt(c.basis, "RULE_OF_LAW or ADMINISTRATIVE_ACT where one exists, else CONSENT; or leave the category out",
			"%s is a special category (article 9 GDPR), which PUBLIC_INTEREST_TASK does not cover", special)
	}
	if special != "" && c.SpecialBasis == "" {
		l.addAt(c.at, "add it, for example https://w3id.org/dpv/legal/eu/gdpr#A9-2-a",
			"%s is a special category (article 9 GDPR) and special_basis is missing", special)
	}
	if criminal != "" && c.Basis != gate.BasisLegalObligation && c.Basis != gate.BasisRuleOfLaw {
		l.addAt(c.basis, "LEGAL_OBLIGATION or RULE_OF_LAW; or leave the category out", "%s falls under article 10 GDPR", criminal)
	}
	if purpose == nil {
		return
	}
	if special != "" && !slices.Contains(purpose.PDND.DataTypes, "GDPR_ART_9") {
		l.addAt(c.purpose.at, "add GDPR_ART_9 to its personal_data_types, or leave the category out",
			"purpose %s does not declare special categories, and the clause permits %s", purpose.ID, special)
	}
	if criminal != "" && !slices.Contains(purpose.PDND.DataTypes, "GDPR_ART_10") {
		l.addAt(c.purpose.at, "add GDPR_ART_10 to its personal_data_types, or leave the category out",
			"purpose %s does not declare data of article 10, and the clause permits %s", purpose.ID, criminal)
	}
	if c.NeedsConsent() && purpose.Notice == nil {
		l.addAt(c.purpose.at, "add the notice to the purpose in purposes.yaml", "consent is asked for purpose %s, which has no notice text", purpose.ID)
	}
}

func (l *loader) clauseTerms(c *clauseDecl) {
	switch {
	case c.NeedsConsent() && len(c.recorders) == 0:
		l.addAt(c.at, "add consent_recorders", "nobody may record the consent that the clause needs")
	case !c.NeedsConsent() && len(c.recorders) > 0:
		l.addAt(c.recorders[0].at, "remove consent_recorders", "the clause needs no consent")
	}
	for _, r := range c.recorders {
		if c.NeedsConsent() && !l.partySystem(c, []exchange.Role{r.v}, func(s *System) bool { return s.RecordsConsents }) {
			l.addAt(r.at, "set records_consents on a system of a party in that role", "no system of a party records consents as %s", r.v)
		}
	}
	if c.Hold > 0 && !c.NeedsConsent() {
		l.addAt(c.hold, "remove hold", "there is nothing to wait for: the clause needs no consent")
	}
	if c.Urgent && (c.Hold > 0 || c.NeedsConsent() || c.Dossier != "") {
		l.addAt(c.urgent, "put what must wait into a clause of its own", "an urgent clause cannot wait for a consent or a dossier")
	}
	if c.Dossier != "" && len(c.To) > 0 && !l.partySystem(c, c.To, func(s *System) bool { return s.OpensDossiers }) {
		l.addAt(c.dossier, "set opens_dossiers on a system of a party in that role", "no system of a party that may receive this opens dossiers")
	}
}

// partySystem reports whether a party of the clause's agreement has a system
// that acts in one of roles and does what is asked.
func (l *loader) partySystem(c *clauseDecl, roles []exchange.Role, does func(*System) bool) bool {
	if l.unread[kindBody] {
		return true
	}
	for _, p := range c.agreement.Parties {
		b := l.n.bodyByID[p.Body]
		if b == nil {
			continue
		}
		for _, s := range b.Systems {
			if does(s) && slices.ContainsFunc(roles, s.ActsIn) {
				return true
			}
		}
	}
	return false
}
