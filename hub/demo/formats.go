package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The formats in which the simulated systems get requests. Every one is read
// strictly: a member it does not have would be a leak.

type providerRequest struct {
	Ref      string  `json:"riferimento"`
	Service  string  `json:"servizio"`
	Priority string  `json:"priorita"`
	AskedAt  string  `json:"richiesto_il"`
	Guests   []guest `json:"ospiti"`
	Minors   *bool   `json:"con_minori"`
	Area     string  `json:"area"`
	Pets     *bool   `json:"animali"`
	Bed      *struct {
		From   string `json:"dal"`
		Nights int    `json:"notti"`
	} `json:"letto"`
	Luggage *struct {
		Pieces int    `json:"colli"`
		Until  string `json:"fino_al"`
	} `json:"bagagli"`
	When string `json:"quando"`
}

type guest struct {
	Code   string `json:"codice"`
	Kind   string `json:"tipo_codice"`
	Family string `json:"cognome"`
	Given  string `json:"nome"`
	Year   int    `json:"anno_nascita"`
}

type socialRequest struct {
	Ref      string         `json:"protocollo_mittente"`
	AskedAt  string         `json:"data_segnalazione"`
	Service  string         `json:"prestazione"`
	Code     string         `json:"codice_siuss"`
	Urgency  string         `json:"urgenza"`
	Person   socialPerson   `json:"richiedente"`
	Family   []socialPerson `json:"nucleo"`
	Minors   *bool          `json:"con_minori"`
	Nights   int            `json:"notti"`
	From     string         `json:"dal"`
	Need     string         `json:"bisogno"`
	Operator string         `json:"operatore"`
}

type socialPerson struct {
	Codes []struct {
		System string `json:"sistema"`
		Value  string `json:"valore"`
	} `json:"identificativi"`
	Family string `json:"cognome"`
	Given  string `json:"nome"`
	Year   int    `json:"anno_nascita"`
}

type appointmentRequest struct {
	Ref     string              `json:"riferimento"`
	AskedAt string              `json:"richiesto_il"`
	Subject string              `json:"oggetto"`
	Person  appointmentPerson   `json:"persona"`
	Family  []appointmentPerson `json:"familiari"`
}

type appointmentPerson struct {
	Code   string `json:"codice"`
	Family string `json:"cognome"`
	Given  string `json:"nome"`
	Year   int    `json:"anno_nascita"`
}

type healthRequest struct {
	Ref     string `json:"riferimento"`
	AskedAt string `json:"richiesto_il"`
	Kind    string `json:"tipo"`
	When    string `json:"appuntamento"`
	Where   string `json:"luogo"`
	Person  struct {
		Codes []struct {
			Kind  string `json:"tipo"`
			Value string `json:"valore"`
		} `json:"codici"`
		Family string `json:"cognome"`
		Given  string `json:"nome"`
		Year   int    `json:"anno_nascita"`
	} `json:"assistito"`
}

// strictly reads JSON that has no member the format has not.
func strictly(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// read reads the content in the format of the system that got it, and notes
// whose and which request it is. The error shows nothing of the content.
func (p *parcelled) read() error {
	var err error
	switch kinds[p.System] {
	case kindProvider:
		var r providerRequest
		err = strictly(p.Content, &r)
		p.Ref = r.Ref
		if len(r.Guests) > 0 {
			p.Principal = r.Guests[0].Code
		}
	case kindSocial:
		var r socialRequest
		err = strictly(p.Content, &r)
		p.Ref = r.Ref
		if len(r.Person.Codes) > 0 {
			p.Principal = r.Person.Codes[0].Value
		}
	case kindWork, kindRegistry:
		var r appointmentRequest
		err = strictly(p.Content, &r)
		p.Ref, p.Principal = r.Ref, r.Person.Code
	case kindHealth:
		var r healthRequest
		err = strictly(p.Content, &r)
		p.Ref = r.Ref
		if len(r.Person.Codes) > 0 {
			p.Principal = r.Person.Codes[0].Value
		}
	default:
		return fmt.Errorf("%s got a disclosure and receives none", p.System)
	}
	if err != nil || p.Ref == "" || p.Principal == "" {
		return fmt.Errorf("%s: a record that is not of its format", p.System)
	}
	return nil
}
