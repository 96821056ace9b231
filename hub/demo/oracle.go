package demo

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"raccordo/hub/exchange"
)

// What follows says a second time, by hand and without looking at the network's
// files, who receives what. It is what the hub's doing is held against.

// kind is what a simulated system is, and so the format it reads.
type kind int

const (
	kindNone kind = iota
	kindProvider
	kindSocial
	kindWork
	kindRegistry
	kindHealth
	kindBenefitPayer
)

// kinds are the systems that receive.
var kinds = map[exchange.SystemID]kind{
	"centro_servizi_livorno": kindProvider, "gestionale_pistoia": kindProvider, "servizi_capannori": kindProvider, "servizi_grosseto": kindProvider,
	"sisoc_livorno": kindSocial, "sociale_pistoia": kindSocial, "sociale_capannori": kindSocial, "sds_grossetana_sociale": kindSocial,
	"sds_pistoiese_sociale": kindSocial,
	"arti_livorno":          kindWork, "arti_lucca_pistoia": kindWork,
	"anagrafe_livorno": kindRegistry, "anagrafe_pistoia": kindRegistry, "anagrafe_capannori": kindRegistry,
	"sds_pistoiese_salute": kindHealth, "sds_grossetana_salute": kindHealth,
	"inps_siuss": kindBenefitPayer,
}

// area is who does what in a territory; "" where nobody does.
type area struct {
	provider, social, followUp, registry, work, health exchange.SystemID
}

var areas = map[exchange.Territory]area{
	"livorno": {provider: "centro_servizi_livorno", social: "sisoc_livorno", registry: "anagrafe_livorno", work: "arti_livorno"},
	"capannori": {provider: "servizi_capannori", social: "sociale_capannori", registry: "anagrafe_capannori",
		work: "arti_lucca_pistoia"},
	"pistoia": {provider: "gestionale_pistoia", social: "sociale_pistoia", followUp: "sds_pistoiese_sociale",
		registry: "anagrafe_pistoia", work: "arti_lucca_pistoia", health: "sds_pistoiese_salute"},
	"grosseto": {provider: "servizi_grosseto", social: "sds_grossetana_sociale", health: "sds_grossetana_salute"},
}

// receivers are the systems a request is for, each with what becomes of it if
// nothing is said about the person: no dossier, no consent.
func receivers(t exchange.Territory, service string) map[exchange.SystemID]fate {
	a := areas[t]
	out := map[exchange.SystemID]fate{}
	add := func(f fate, systems ...exchange.SystemID) {
		for _, s := range systems {
			if s != "" {
				out[s] = f
			}
		}
	}
	switch service {
	case "IGIENE", "BAGAGLI", "ACC_LEGALE", "INFORMATICA":
		add(fateDelivered, a.provider)
	case "POSTO_LETTO", "ACC_SOCIALE":
		add(fateDelivered, a.provider, a.social)
		add(fateWithheld, a.followUp)
	case "RESIDENZA":
		add(fateDelivered, a.registry, a.social)
		add(fateWithheld, a.followUp)
	case "LAVORO":
		add(fateDelivered, a.work)
	case "ACC_SANITARIO":
		add(fateDelivered, a.provider)
		add(fateHeld, a.health)
	}
	return out
}

// nobody are the roles a request is for that nobody holds in a territory.
func nobody(t exchange.Territory, service string) []exchange.Role {
	a := areas[t]
	var out []exchange.Role
	missing := func(s exchange.SystemID, role exchange.Role) {
		if s == "" {
			out = append(out, role)
		}
	}
	switch service {
	case "RESIDENZA":
		missing(a.registry, "registry_office")
	case "LAVORO":
		missing(a.work, "employment_service")
	case "ACC_SANITARIO":
		missing(a.health, "health_service")
	}
	return out
}

// fate is what must become of a request at one system.
type fate string

const (
	fateDelivered fate = "delivered" // it has it
	fateWithheld  fate = "withheld"  // it must never get it
	fateHeld      fate = "held"      // it waits, and has not got it
	fateParked    fate = "parked"    // it could not be sent, and has not got it
	fateRejected  fate = "rejected"  // it got it and refuses it
)

// arrives reports whether the system has the request in the end.
func (f fate) arrives() bool { return f == fateDelivered || f == fateRejected }

// expected is the fate of s at every system it is for.
func (s *sent) expected() map[exchange.SystemID]fate {
	out := map[exchange.SystemID]fate{}
	if s.typ == typeBenefit {
		out["inps_siuss"] = fateDelivered
	} else {
		out = receivers(s.desk.territory, s.service)
	}
	for system, f := range s.fates {
		out[system] = f
	}
	return out
}

// oracle judges what the simulated systems got.
type oracle struct {
	sent     []*sent // in the order in which they were sent
	got      []*parcelled
	findings []string
}

func (o *oracle) find(format string, args ...any) {
	o.findings = append(o.findings, fmt.Sprintf(format, args...))
}

// judge holds everything that was received against everything that was sent.
// Findings name systems and numbers of requests, never a person.
func (o *oracle) judge() []string {
	byRef := map[string]*sent{}
	for _, s := range o.sent {
		byRef[s.ref] = s
	}
	o.arrivals(byRef)
	for _, p := range o.got {
		s := byRef[p.Ref]
		if s == nil {
			o.find("%s got request %s, which nobody sent", p.System, p.Ref)
			continue
		}
		o.content(p, s)
	}
	o.order(byRef)
	return o.findings
}

// arrivals: whoever is to have a request has it once, nobody else has it.
func (o *oracle) arrivals(byRef map[string]*sent) {
	type at struct {
		system exchange.SystemID
		ref    string
	}
	got := map[at]int{}
	for _, p := range o.got {
		got[at{p.System, p.Ref}]++
	}
	for _, s := range o.sent {
		for system, f := range s.expected() {
			n := got[at{system, s.ref}]
			if want := f.arrives(); want && n != 1 || !want && n != 0 {
				o.find("request %s (%s): %s has it %d times, and it is %s there", s.ref, s.service, system, n, f)
			}
			delete(got, at{system, s.ref})
		}
	}
	for a := range got {
		if byRef[a.ref] != nil {
			o.find("request %s reached %s, which it is not for", a.ref, a.system)
		}
	}
}

// healthWords must not reach anybody but a health service (and INPS, by law).
var healthWords = []string{"sanitar", "ambulator", "salute", "medic", "accomp_health", "health"}

// content: no system gets what its role may not know.
func (o *oracle) content(p *parcelled, s *sent) {
	k := kinds[p.System]
	if k == kindBenefitPayer {
		return // the official format; its schema is held by the tests
	}
	low := bytes.ToLower(p.Content)
	if k != kindHealth {
		for _, w := range healthWords {
			if bytes.Contains(low, []byte(w)) {
				o.find("request %s: %s reads %q", s.ref, p.System, w)
			}
		}
	}
	if k != kindSocial && bytes.Contains(p.Content, []byte(noteText)) {
		o.find("request %s: %s reads the desk's note", s.ref, p.System)
	}
	if k != kindSocial && bytes.Contains(p.Content, []byte("op-"+s.desk.prefix)) {
		o.find("request %s: %s reads who took the request", s.ref, p.System)
	}
	if s.emergency && bytes.Contains(p.Content, []byte(noteText)) {
		o.find("request %s: an emergency carries the desk's note to %s", s.ref, p.System)
	}
	if p.System == "sds_pistoiese_sociale" && bytes.Contains(p.Content, []byte(noteText)) {
		o.find("request %s: the follow-up carries the desk's note", s.ref)
	}
	if k == kindWork || k == kindHealth {
		for _, f := range s.family {
			if bytes.Contains(p.Content, []byte(f.Family)) || bytes.Contains(p.Content, []byte(f.Local)) {
				o.find("request %s: %s reads who is with the person", s.ref, p.System)
			}
		}
	}
	if k == kindProvider {
		for _, second := range s.otherCodes {
			if bytes.Contains(p.Content, []byte(second)) {
				o.find("request %s: %s reads more codes than the one it needs", s.ref, p.System)
			}
		}
	}
}

// order: what is about one person arrives, flow by flow, in the order in which
// it was sent.
func (o *oracle) order(byRef map[string]*sent) {
	turn := map[*sent]int{}
	for i, s := range o.sent {
		turn[s] = i + 1
	}
	type lane struct {
		system    exchange.SystemID
		flow      exchange.FlowID
		principal string
	}
	sequences := map[lane]uint64{}
	last := map[lane]int{}
	for _, p := range o.got {
		s := byRef[p.Ref]
		if s == nil || s.typ == typeBenefit {
			continue
		}
		l := lane{p.System, p.Flow, s.principal}
		if p.Sequence <= sequences[l] && sequences[l] != 0 {
			o.find("request %s: its sequence at %s does not rise", s.ref, p.System)
		}
		at := turn[s]
		if at < last[l] {
			o.find("request %s came to %s after a later one about the same person", s.ref, p.System)
		}
		sequences[l], last[l] = p.Sequence, at
	}
}

// sorted findings read the same at every run.
func sorted(findings []string) []string {
	slices.SortFunc(findings, strings.Compare)
	return findings
}
