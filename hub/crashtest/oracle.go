package crashtest

import (
	"encoding/json"
	"fmt"
	"reflect"

	"raccordo/hub/exchange"
)

// Flows are where a record must go: written down here a second time, from what
// the bodies of Livorno agreed, and not from the network's files.
func (s Sent) Flows() []exchange.FlowID {
	switch s.Service {
	case "IGIENE", "BAGAGLI", "INFORMATICA":
		return []exchange.FlowID{"livorno_provider"}
	case "ACC_SOCIALE":
		return []exchange.FlowID{"livorno_provider", "livorno_social"}
	case "RESIDENZA":
		return []exchange.FlowID{"livorno_registry", "livorno_social"}
	case "LAVORO":
		return []exchange.FlowID{"livorno_work"}
	case HealthService: // asked for in Pistoia only
		return []exchange.FlowID{"pistoia_provider", HealthFlow}
	case "POSTO_LETTO":
		if s.Urgency == "EMERGENZA" {
			return []exchange.FlowID{"livorno_provider_bed_emergency", "livorno_social_bed_emergency"}
		}
		return []exchange.FlowID{"livorno_provider_bed", "livorno_social_bed"}
	}
	return nil
}

// recipients are the systems that flows lead to.
var recipients = map[exchange.FlowID]exchange.SystemID{
	"livorno_provider": "centro_servizi_livorno", "livorno_provider_bed": "centro_servizi_livorno",
	"livorno_provider_bed_emergency": "centro_servizi_livorno",
	"livorno_social":                 "sisoc_livorno", "livorno_social_bed": "sisoc_livorno", "livorno_social_bed_emergency": "sisoc_livorno",
	"livorno_work": "arti_livorno", "livorno_registry": "anagrafe_livorno",
	"pistoia_provider": "gestionale_pistoia", HealthFlow: "sds_pistoiese_salute",
}

// What is asked for in Pistoia, and the flow that rests on consent alone.
const (
	HealthService = "ACC_SANITARIO"
	HealthFlow    = exchange.FlowID("pistoia_health")
)

// fetched are the flows whose recipient comes and gets its records.
var fetched = map[exchange.FlowID]bool{"livorno_work": true, "livorno_registry": true, HealthFlow: true}

// Expected is what the recipient of a flow may get of s, and nothing else.
func (s Sent) Expected(flow exchange.FlowID) map[string]any {
	priority := map[string]string{"EMERGENZA": "1", "URGENTE": "2", "ORDINARIA": "3"}[s.Urgency]
	switch recipients[flow] {
	case "centro_servizi_livorno", "gestionale_pistoia":
		label := map[string]string{"IGIENE": "DOCCIA", "BAGAGLI": "BAGAGLI", "INFORMATICA": "POSTAZIONE_PC",
			"ACC_SOCIALE": "ACCOMPAGNAMENTO", HealthService: "ACCOMPAGNAMENTO", "POSTO_LETTO": "LETTO"}[s.Service]
		guest := func(p Person) map[string]any {
			return named(map[string]any{"codice": p.Code, "tipo_codice": "LOCAL"}, p)
		}
		guests := []any{guest(s.Person)}
		if s.Child != nil {
			guests = append(guests, guest(*s.Child))
		}
		return map[string]any{"riferimento": s.Number, "servizio": label, "priorita": priority, "richiesto_il": moment, "ospiti": guests}
	case "sisoc_livorno":
		return s.social(flow, priority)
	case "sds_pistoiese_salute":
		return map[string]any{"riferimento": s.Number, "richiesto_il": moment, "tipo": "accompagnamento e supporto sanitario",
			"assistito": named(map[string]any{"codici": []any{map[string]any{"tipo": "LOCAL", "valore": s.Person.Code}}}, s.Person)}
	}
	out := map[string]any{"riferimento": s.Number, "richiesto_il": moment, "oggetto": "ORIENTAMENTO_LAVORO",
		"persona": named(map[string]any{"codice": s.Person.Code}, s.Person)}
	if flow == "livorno_registry" {
		out["oggetto"] = "ISCRIZIONE_ANAGRAFICA"
		if s.Child != nil {
			out["familiari"] = []any{named(map[string]any{"codice": s.Child.Code}, *s.Child)}
		}
	}
	return out
}

func (s Sent) social(flow exchange.FlowID, priority string) map[string]any {
	label := map[string]string{"ACC_SOCIALE": "accompagnamento e supporto servizio sociale",
		"RESIDENZA": "orientamento residenza anagrafica", "POSTO_LETTO": "richiesta posto letto"}[s.Service]
	code := map[string]string{"ACC_SOCIALE": "A2.17", "RESIDENZA": "A2.17", "POSTO_LETTO": "A2.18"}[s.Service]
	member := func(p Person) map[string]any {
		return named(map[string]any{"identificativi": []any{map[string]any{"sistema": "LOCAL", "valore": p.Code}}}, p)
	}
	out := map[string]any{"protocollo_mittente": s.Number, "data_segnalazione": moment, "prestazione": label, "codice_siuss": code,
		"urgenza": priority, "richiedente": member(s.Person)}
	if s.Child != nil {
		out["nucleo"] = []any{member(*s.Child)}
	}
	if flow != "livorno_social_bed_emergency" { // an emergency says nothing of the desk's words
		out["bisogno"], out["operatore"] = s.Note, "op-7"
	}
	return out
}

func named(out map[string]any, p Person) map[string]any {
	out["nome"] = p.Given
	if p.Family != "" {
		out["cognome"] = p.Family
	}
	if p.Born != 0 {
		out["anno_nascita"] = float64(p.Born)
	}
	return out
}

// Matches holds what arrived to what may arrive. The error names keys, not
// values.
func (s Sent) Matches(flow exchange.FlowID, content []byte) error {
	var got map[string]any
	if err := json.Unmarshal(content, &got); err != nil {
		return fmt.Errorf("record %s for %s: no JSON object", s.Number, flow)
	}
	want := s.Expected(flow)
	for k := range got {
		if _, ok := want[k]; !ok {
			return fmt.Errorf("record %s for %s: %s was passed on", s.Number, flow, k)
		}
	}
	for k := range want {
		if !reflect.DeepEqual(got[k], want[k]) {
			return fmt.Errorf("record %s for %s: %s differs", s.Number, flow, k)
		}
	}
	return nil
}
