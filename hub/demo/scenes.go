package demo

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

// territories in the order in which scenes visit them.
func territories() []exchange.Territory {
	return []exchange.Territory{"livorno", "capannori", "pistoia", "grosseto"}
}

// services a desk can be asked for, in the desks' own codes.
func services() []string {
	return []string{"POSTO_LETTO", "IGIENE", "RESIDENZA", "LAVORO", "BAGAGLI", "ACC_SOCIALE", "ACC_SANITARIO", "ACC_LEGALE", "INFORMATICA"}
}

// met is a person at a desk for the first time, and the code that is known:
// often nothing but the desk's own.
func (w *world) met(d *desk, n int) (*someone, deskCode) {
	p := w.cast.next(d.prefix)
	return p, []deskCode{byCF(p), byLocal(p), bySTP(p)}[n%3]
}

func (w *world) everyService(ctx context.Context) error {
	var mine []*sent
	for _, t := range territories() {
		d := w.desks[t]
		for i, service := range services() {
			if len(receivers(t, service)) == 0 {
				continue // refused: see the scene of refusals
			}
			if areas[t].health != "" && service == "ACC_SANITARIO" {
				continue // see the scene of consents
			}
			p, code := w.met(d, i)
			s, err := w.ask(ctx, d, service, "ORDINARIA", asking(p, code))
			if err != nil {
				return err
			}
			if !slices.Equal(s.noRecipient, nobody(t, service)) {
				return fmt.Errorf("request %s: the acknowledgement names %v as roles nobody holds", s.ref, s.noRecipient)
			}
			mine = append(mine, s)
		}
	}
	return w.arrived(ctx, mine...)
}

func (w *world) manyAtOnce(ctx context.Context) error {
	var all []*sent
	for _, t := range territories() {
		d := w.desks[t]
		var lines []*deskRequest
		for i := range 24 {
			p, code := w.met(d, i)
			lines = append(lines, d.request([]string{"IGIENE", "BAGAGLI", "POSTO_LETTO", "ACC_SOCIALE"}[i%4], "URGENTE", asking(p, code)))
		}
		bad := map[int]string{}
		if t == "livorno" {
			lines[6].Persons[0].Codes[0] = deskCode{"CF", wrongCheck(lines[6].Persons[0].who.CF)}
			lines[17].Service = "ELICOTTERO"
			bad = map[int]string{7: "tax_code_check", 18: ""}
		}
		sent, refused, err := d.pushLines(ctx, "night-"+string(t), lines)
		if err != nil {
			return err
		}
		if len(refused) != len(bad) {
			return fmt.Errorf("%s: %d lines refused, %d are bad", t, len(refused), len(bad))
		}
		for line, rule := range bad {
			faults := refused[line]
			if len(faults) == 0 || rule != "" && faults[0].Rule != rule || rule != "" && faults[0].Pointer == "" {
				return fmt.Errorf("%s: line %d is refused with %v", t, line, faults)
			}
			w.refusedLines++
		}
		for _, s := range sent {
			w.sent = append(w.sent, s)
			all = append(all, s)
		}
	}
	return w.arrived(ctx, all...)
}

func (w *world) motherAndChildren(ctx context.Context) error {
	d := w.desks["livorno"]
	mother, son, daughter := w.cast.next(d.prefix), w.cast.next(d.prefix), w.cast.next(d.prefix)
	family := []deskPerson{asking(mother, byLocal(mother), byCF(mother)), with(son, byLocal(son)), with(daughter, byLocal(daughter))}
	bed, err := w.ask(ctx, d, "POSTO_LETTO", "EMERGENZA", family...)
	if err != nil {
		return err
	}
	work, err := w.ask(ctx, d, "LAVORO", "ORDINARIA", family...)
	if err != nil {
		return err
	}
	home, err := w.ask(ctx, d, "RESIDENZA", "ORDINARIA", family...)
	if err != nil {
		return err
	}
	return w.arrived(ctx, bed, work, home)
}

// consents plays the four ways a request that says something about health can
// go: consent comes later, is refused, is withdrawn, never comes.
func (w *world) consents(ctx context.Context) error {
	for _, play := range []func(context.Context) error{w.consentLater, w.consentRefused, w.consentWithdrawn, w.consentNever} {
		if err := play(ctx); err != nil {
			return err
		}
	}
	return nil
}

// held asks for an accompaniment to a health appointment and waits until it is
// held for consent: the desk is told so, and the provider has it all the same.
func (w *world) held(ctx context.Context, d *desk, p *someone, code deskCode) (*sent, error) {
	s, err := w.ask(ctx, d, "ACC_SANITARIO", "ORDINARIA", asking(p, code))
	if err != nil {
		return nil, err
	}
	if err := w.arrived(ctx, s); err != nil {
		return nil, err
	}
	err = w.until(ctx, "the desk is told that the consent is missing", func(ctx context.Context) (bool, error) {
		why, err := w.reasonShown(ctx, s)
		return why == exchange.ReasonConsentMissing, err
	})
	return s, err
}

func (w *world) consentLater(ctx context.Context) error {
	for _, t := range []exchange.Territory{"pistoia", "grosseto"} {
		d, sds := w.desks[t], w.shelf.bodies[areas[t].health]
		p := w.cast.next(d.prefix)
		s, err := w.held(ctx, d, p, byCF(p))
		if err != nil {
			return err
		}
		if _, err := d.decide(ctx, byCF(p), sds, "given"); err != nil {
			return err
		}
		if err := w.arrived(ctx, s.at(areas[t].health, fateDelivered)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) consentRefused(ctx context.Context) error {
	d := w.desks["grosseto"]
	p := w.cast.next(d.prefix)
	s, err := w.held(ctx, d, p, byLocal(p))
	if err != nil {
		return err
	}
	if _, err := d.decide(ctx, byLocal(p), "sds_grossetana", "refused"); err != nil {
		return err
	}
	if err := w.arrived(ctx, s.at("sds_grossetana_salute", fateWithheld)); err != nil {
		return err
	}
	// The service itself is given the next time too.
	next, err := w.ask(ctx, d, "ACC_SANITARIO", "ORDINARIA", asking(p, byLocal(p)))
	if err != nil {
		return err
	}
	return w.arrived(ctx, next.at("sds_grossetana_salute", fateWithheld))
}

func (w *world) consentWithdrawn(ctx context.Context) error {
	d := w.desks["pistoia"]
	p := w.cast.next(d.prefix)
	c, err := d.decide(ctx, byLocal(p), "sds_pistoiese", "given")
	if err != nil {
		return err
	}
	first, err := w.ask(ctx, d, "ACC_SANITARIO", "ORDINARIA", asking(p, byLocal(p)))
	if err != nil {
		return err
	}
	if err := w.arrived(ctx, first.at("sds_pistoiese_salute", fateDelivered)); err != nil {
		return err
	}
	end, err := d.withdraw(ctx, c.ID)
	if err != nil {
		return err
	}
	if end.State != "withdrawn" || end.UnderWay != 0 {
		return fmt.Errorf("the withdrawal is answered %q with %d sends under way", end.State, end.UnderWay)
	}
	second, err := w.ask(ctx, d, "ACC_SANITARIO", "ORDINARIA", asking(p, byLocal(p)))
	if err != nil {
		return err
	}
	return w.arrived(ctx, second.at("sds_pistoiese_salute", fateWithheld))
}

// consentNever leaves a request waiting until the end.
func (w *world) consentNever(ctx context.Context) error {
	d := w.desks["grosseto"]
	p := w.cast.next(d.prefix)
	_, err := w.held(ctx, d, p, bySTP(p))
	return err
}

func (w *world) emergency(ctx context.Context) error {
	d := w.desks["pistoia"]
	p := w.cast.next(d.prefix)
	if _, err := w.held(ctx, d, p, byLocal(p)); err != nil {
		return err
	}
	bed, err := w.ask(ctx, d, "POSTO_LETTO", "EMERGENZA", asking(p, byLocal(p)))
	if err != nil {
		return err
	}
	beds := []*sent{bed}
	for _, t := range []exchange.Territory{"capannori", "grosseto"} {
		d := w.desks[t]
		p := w.cast.next(d.prefix)
		bed, err := w.ask(ctx, d, "POSTO_LETTO", "EMERGENZA", asking(p, bySTP(p)))
		if err != nil {
			return err
		}
		beds = append(beds, bed)
	}
	return w.arrived(ctx, beds...)
}

func (w *world) refusals(ctx context.Context) error {
	d := w.desks["livorno"]
	p := w.cast.next(d.prefix)
	spoilt := []struct {
		spoil   func(*deskRequest)
		why     exchange.Reason
		pointer bool
	}{
		{func(r *deskRequest) { r.Persons[0].Codes[0].Value = wrongCheck(p.CF) }, "", true},
		{func(r *deskRequest) { r.Urgency = "SUBITO" }, exchange.ReasonSchema, true},
		{func(r *deskRequest) { r.Persons = nil }, exchange.ReasonSchema, true},
	}
	for _, x := range spoilt {
		r := d.request("IGIENE", "ORDINARIA", asking(p, byCF(p)))
		x.spoil(r)
		why, faults, err := d.refused(ctx, r, d.key(r))
		if err != nil {
			return err
		}
		if x.why != "" && why != x.why || len(faults) == 0 || faults[0].Pointer == "" || faults[0].Rule == "" {
			return fmt.Errorf("request %s is refused for %s with %v", r.Number, why, faults)
		}
		w.refusing(why)
	}
	// Nobody in Grosseto does job guidance: nothing is left to accept.
	g := w.desks["grosseto"]
	r := g.request("LAVORO", "ORDINARIA", asking(p, byCF(p)))
	why, _, err := g.refused(ctx, r, g.key(r))
	if err != nil {
		return err
	}
	if why != exchange.ReasonNoRecipient {
		return fmt.Errorf("request %s is refused for %s", r.Number, why)
	}
	w.refusing(why)
	return nil
}

func (w *world) repetition(ctx context.Context) error {
	d := w.desks["capannori"]
	p := w.cast.next(d.prefix)
	r := d.request("IGIENE", "ORDINARIA", asking(p, byCF(p)))
	body, err := r.encode()
	if err != nil {
		return err
	}
	first, err := d.caller.push(ctx, typeRequest, d.key(r), "application/json", body)
	if err != nil {
		return err
	}
	again, err := d.caller.push(ctx, typeRequest, d.key(r), "application/json", body)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(first, again) {
		return fmt.Errorf("request %s: the repeated push is answered otherwise", r.Number)
	}
	w.repeats++
	s, err := w.sending(d.sent(r, &first.Lines[0]), nil)
	if err != nil {
		return err
	}
	other := d.request("BAGAGLI", "ORDINARIA", asking(p, byCF(p)))
	why, _, err := d.refused(ctx, other, d.key(r))
	if err != nil {
		return err
	}
	if why != exchange.ReasonKeyReused {
		return fmt.Errorf("another body under the key of %s is refused for %s", r.Number, why)
	}
	w.refusing(why)
	return w.arrived(ctx, s)
}

// dossiers: the SdS of Pistoia learns of a request only while it has a case.
func (w *world) dossiers(ctx context.Context) error {
	d := w.desks["pistoia"]
	sds := w.callers["sds_pistoiese_sociale"]
	p := w.cast.next(d.prefix)
	ask := func(f fate) error {
		s, err := w.ask(ctx, d, "ACC_SOCIALE", "ORDINARIA", asking(p, byCF(p)))
		if err != nil {
			return err
		}
		return w.arrived(ctx, s.at("sds_pistoiese_sociale", f))
	}
	if err := ask(fateWithheld); err != nil {
		return err
	}
	var dossier struct {
		ID exchange.DossierID `json:"dossier_id"`
	}
	err := sds.call(ctx, http.MethodPost, "/v1/dossiers", "open a dossier", map[string]any{"person": byCF(p).identifier(),
		"role": "social_service", "capacity": "case_manager"}, &dossier)
	if err != nil {
		return err
	}
	if err := ask(fateDelivered); err != nil {
		return err
	}
	err = sds.call(ctx, http.MethodPost, "/v1/dossiers/"+dossier.ID.String()+"/closure", "close a dossier",
		map[string]string{"reason": "concluded"}, nil)
	if err != nil {
		return err
	}
	return ask(fateWithheld)
}

// linked: known by STP yesterday and codice fiscale today. Once an officer has
// linked both, what was decided under one counts for the other.
func (w *world) linked(ctx context.Context) error {
	d := w.desks["pistoia"]
	p := w.cast.next(d.prefix)
	c, err := d.decide(ctx, bySTP(p), "sds_pistoiese", "given")
	if err != nil {
		return err
	}
	first, err := w.ask(ctx, d, "ACC_SANITARIO", "ORDINARIA", asking(p, bySTP(p)))
	if err != nil {
		return err
	}
	if err := w.arrived(ctx, first.at("sds_pistoiese_salute", fateDelivered)); err != nil {
		return err
	}
	second, err := w.held(ctx, d, p, byCF(p)) // nobody knows yet that it is the same person
	if err != nil {
		return err
	}
	if err := w.link(ctx, control.Person{System: "STP", Value: p.STP}, control.Person{System: "CF", Value: p.CF}); err != nil {
		return err
	}
	if err := w.arrived(ctx, second.at("sds_pistoiese_salute", fateDelivered)); err != nil {
		return err
	}
	if _, err := d.withdraw(ctx, c.ID); err != nil {
		return err
	}
	third, err := w.ask(ctx, d, "ACC_SANITARIO", "ORDINARIA", asking(p, byCF(p)))
	if err != nil {
		return err
	}
	return w.arrived(ctx, third.at("sds_pistoiese_salute", fateWithheld))
}

func (w *world) benefits(ctx context.Context) error {
	var mine []*sent
	add := func(s *sent, err error) (*sent, error) {
		if s, err = w.sending(s, err); err == nil {
			mine = append(mine, s)
		}
		return s, err
	}
	for _, body := range []exchange.BodyID{"comune_livorno", "comune_pistoia", "sds_grossetana"} {
		for range 5 { // more than a page
			if _, err := add(w.offices[body].pushXML(ctx, w.cast.next("PS"), "")); err != nil {
				return err
			}
		}
	}
	for _, body := range []exchange.BodyID{"comune_capannori", "sds_pistoiese"} {
		p := w.cast.next("PS")
		if _, err := add(w.offices[body].pushJSON(ctx, p, "CF", p.CF, "")); err != nil {
			return err
		}
	}
	invalid, err := add(w.offices["comune_livorno"].pushXML(ctx, w.cast.next("PS"), refInvalid))
	if err != nil {
		return err
	}
	invalid.at("inps_siuss", fateRejected)
	if _, err := add(w.offices["comune_pistoia"].pushXML(ctx, w.cast.next("PS"), refUncertain)); err != nil {
		return err
	}
	// INPS's pattern takes neither an omocodia in the year nor an STP code.
	p := w.cast.next("PS")
	omocode, err := omocodeInYear(p.CF)
	if err != nil {
		return err
	}
	for _, code := range [][2]string{{"CF", omocode}, {"STP", p.STP}} {
		s, err := add(w.offices["comune_capannori"].pushJSON(ctx, p, code[0], code[1], ""))
		if err != nil {
			return err
		}
		s.at("inps_siuss", fateParked)
	}
	return w.arrived(ctx, mine...)
}

// outage: the social record of Livorno is down; everybody else goes on, and
// when it is back each person's requests come in their order.
func (w *world) outage(ctx context.Context) error {
	d, down := w.desks["livorno"], w.servers["sisoc_livorno"]
	down.down.Store(true)
	one, two := w.cast.next(d.prefix), w.cast.next(d.prefix)
	var mine []*sent
	for i := range 8 {
		p := []*someone{one, two}[i%2]
		s, err := w.ask(ctx, d, "ACC_SOCIALE", "URGENTE", asking(p, byCF(p)))
		if err != nil {
			return err
		}
		mine = append(mine, s)
	}
	err := w.until(ctx, "the provider goes on while the social record is down", func(context.Context) (bool, error) {
		for _, s := range mine {
			if !w.shelf.has("centro_servizi_livorno", s.ref) {
				return false, nil
			}
		}
		return down.refused.Load() >= 2, nil
	})
	if err != nil {
		return err
	}
	for _, s := range mine {
		if w.shelf.has("sisoc_livorno", s.ref) {
			return fmt.Errorf("request %s reached a system that is down", s.ref)
		}
	}
	down.down.Store(false)
	return w.arrived(ctx, mine...)
}
