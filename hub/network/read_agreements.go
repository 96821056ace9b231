package network

import (
	"slices"
	"strconv"

	"raccordo/hub/exchange"
	"raccordo/hub/gate"
)

// readPurposes reads purposes.yaml.
func (l *loader) readPurposes(v value) {
	for _, item := range v.object("purposes").need("purposes").list() {
		o := item.object("id", "title", "pdnd", "dpv", "law_ref", "notice")
		id := o.need("id")
		d := &purposeDecl{at: id.at, Purpose: &Purpose{
			ID: name[exchange.PurposeID](id), Title: readTexts(o.need("title")), LawRef: o.need("law_ref").text(),
		}}
		for _, iri := range o.need("dpv").list() {
			d.DPV = append(d.DPV, iri.shaped(iriShape, "an IRI"))
		}
		d.readRisk(o.need("pdnd"))
		if n := o.opt("notice"); n.given() {
			d.readNotice(n)
		}
		l.decl.purposes = append(l.decl.purposes, d)
	}
}

// readRisk reads option codes of PDND's risk-analysis form v3.1 for public
// administrations (pagopa/interop-be-monorepo, rules/PA/3.1.ts).
func (d *purposeDecl) readRisk(v value) {
	o := v.object("purpose", "institutional_purpose", "personal_data_types", "delivery_method", "purpose_pursuit")
	d.PDND = RiskAnalysis{
		Purpose:       o.need("purpose").oneOf("INSTITUTIONAL", "OTHER"),
		Institutional: o.opt("institutional_purpose").text(),
		Delivery:      o.need("delivery_method").oneOf("CLEARTEXT", "PSEUDOANONYMOUS", "AGGREGATE", "ANONYMOUS"),
		Pursuit:       o.need("purpose_pursuit").oneOf("MERE_CORRECTNESS", "NEW_PERSONAL_DATA"),
	}
	if d.PDND.Purpose == "INSTITUTIONAL" && d.PDND.Institutional == "" {
		v.fault("say it in one sentence", "an institutional purpose needs institutional_purpose")
	}
	for _, item := range o.need("personal_data_types").list() {
		t := item.oneOf("WITH_NON_IDENTIFYING_DATA", "WITH_IDENTIFYING_DATA", "GDPR_ART_8", "GDPR_ART_9", "GDPR_ART_10", "OTHER")
		d.PDND.DataTypes = append(d.PDND.DataTypes, t)
		d.types = append(d.types, place(item, t))
	}
}

func (d *purposeDecl) readNotice(v value) {
	o := v.object("id", "version", "text")
	n := &Notice{ID: name[string](o.need("id")), Version: o.need("version").number(1, 10_000), Text: readTexts(o.need("text"))}
	d.Notice, d.notice = n, v.at
	langs := make([]string, 0, len(n.Text))
	for lang := range n.Text {
		langs = append(langs, lang)
	}
	slices.Sort(langs)
	b := []byte("raccordo/notice/1\x00" + n.ID + "\x00" + strconv.Itoa(n.Version))
	for _, lang := range langs {
		b = append(b, "\x00"+lang+"\x00"+n.Text[lang]...)
	}
	n.Digest = exchange.DigestOf(b)
}

// readAgreement reads one file of agreements/.
func (l *loader) readAgreement(v value) {
	o := v.object("id", "title", "valid", "ended", "parties", "clauses")
	id := o.need("id")
	d := &agreementDecl{at: id.at, Agreement: &Agreement{
		ID: name[exchange.AgreementID](id), Title: readTexts(o.need("title")), Ended: o.opt("ended").day(),
	}}
	valid := o.need("valid").object("from", "until")
	d.From, d.Until = valid.need("from").day(), valid.opt("until").day()
	readPeriod(l.cal, valid, d.From, d.Until)
	if d.Ended != "" && (d.Ended < d.From || d.Until != "" && d.Ended > d.Until) {
		o.opt("ended").fault("", "ends outside of its validity")
	}
	for _, item := range o.need("parties").list() {
		p := item.object("body", "signed")
		body, signed := p.need("body"), p.opt("signed")
		party := Party{Body: name[exchange.BodyID](body), Signed: signed.day()}
		if party.Signed != "" && !l.opts.Now.IsZero() && party.Signed > l.opts.Now.In(l.cal.zone).Format("2006-01-02") {
			signed.fault("leave it out until it is signed", "signed on a day that has not come yet")
		}
		if slices.ContainsFunc(d.Parties, func(q Party) bool { return q.Body == party.Body }) {
			body.fault("remove one of them", "%q is there twice", party.Body)
		}
		d.Parties = append(d.Parties, party)
		d.parties = append(d.parties, place(body, party.Body))
		d.signed = append(d.signed, signed.at)
	}
	d.InForce = d.inForce(l.cal)
	for _, item := range o.need("clauses").list() {
		c := readClause(item)
		c.agreement, c.Agreement, c.InForce = d, d.Agreement, d.InForce
		d.clauses = append(d.clauses, c)
	}
	l.decl.agreements = append(l.decl.agreements, d)
}

// inForce is the validity from the day the last party signed, cut at the day
// the agreement ended; empty while a signature is missing.
func (d *agreementDecl) inForce(cal calendar) gate.Period {
	from, until := d.From, d.Until
	for _, p := range d.Parties {
		if p.Signed == "" {
			return gate.Period{}
		}
		from = max(from, p.Signed)
	}
	if d.Ended != "" {
		until = d.Ended
	}
	if len(d.Parties) == 0 || d.From == "" {
		return gate.Period{}
	}
	return cal.period(from, until)
}

func readClause(v value) *clauseDecl {
	o := v.object("id", "record_type", "from", "to", "purpose", "basis", "special_basis", "law_ref", "categories", "when",
		"hold", "dossier", "urgent", "sender_sees", "consent_recorders", "retention", "eservice")
	id := o.need("id")
	c := &clauseDecl{at: id.at, Clause: &Clause{LawRef: o.need("law_ref").text(), Retention: o.need("retention").span()}}
	c.ID = name[exchange.ClauseID](id)
	c.Number = exchange.ClauseNumber(c.ID)
	rt, purpose, basis := o.need("record_type"), o.need("purpose"), o.need("basis")
	c.recordType = place(rt, name[exchange.RecordType](rt))
	c.RecordType = c.recordType.v
	c.from, c.to = readRoles(o.need("from")), readRoles(o.need("to"))
	c.From, c.To = plain(c.from), plain(c.to)
	c.purpose = place(purpose, name[exchange.PurposeID](purpose))
	c.Clause.Purpose = c.purpose.v
	c.Basis, c.basis = gate.LegalBasis(basis.text()), basis.at
	if c.Basis != "" && !c.Basis.IsValid() {
		basis.fault("CONSENT, CONTRACT, LEGAL_OBLIGATION, SAFEGUARD, RULE_OF_LAW, ADMINISTRATIVE_ACT or PUBLIC_INTEREST_TASK",
			"%q is not a legal basis", clip(string(c.Basis)))
	}
	if s := o.opt("special_basis"); s.given() {
		c.special = place(s, s.shaped(iriShape, "an IRI"))
		c.SpecialBasis = c.special.v
	}
	for _, item := range o.need("categories").list() {
		c.categories = append(c.categories, place(item, item.text()))
	}
	if w := o.opt("when"); w.given() {
		c.when = place(w, w.text())
	}
	c.readTerms(o)
	return c
}

// readTerms reads what a clause asks for beside basis and categories.
func (c *clauseDecl) readTerms(o object) {
	hold, dossier, urgent := o.opt("hold"), o.opt("dossier"), o.opt("urgent")
	c.Hold, c.hold = hold.span(), hold.at
	if dossier.given() {
		c.Dossier = name[string](dossier)
	}
	c.dossier = dossier.at
	c.Urgent, c.urgent = urgent.truth(), urgent.at
	for _, item := range o.opt("sender_sees").list() {
		r := exchange.Reason(item.text())
		if r != "" && r.Number() == 0 {
			item.fault("for example consent_missing", "%q is not the reason of a decision", clip(string(r)))
		}
		c.SenderSees = append(c.SenderSees, r)
	}
	c.recorders = readRoles(o.opt("consent_recorders"))
	c.ConsentRecorders = plain(c.recorders)
	if e := o.opt("eservice"); e.given() {
		eo := e.object("id", "descriptor")
		c.EserviceID = eo.need("id").shaped(uuidShape, "a lower-case UUID")
		c.DescriptorID = eo.need("descriptor").shaped(uuidShape, "a lower-case UUID")
	}
}
