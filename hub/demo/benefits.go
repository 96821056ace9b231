package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strconv"

	"raccordo/hub/exchange"
)

// siussFlow is the official SIUSS document (PS_PSA_SINA201812) as benefits
// software exports it and as INPS reads it.
type siussFlow struct {
	XMLName     xml.Name         `xml:"http://inps.it/Casellario Flusso"`
	Head        siussHead        `xml:"IdentificazioneFlusso"`
	Beneficiary siussBeneficiary `xml:"Beneficiario"`
}

type siussHead struct {
	Name string    `xml:"Nome,attr"`
	Body siussBody `xml:"Ente"`
}

type siussBody struct {
	Code     string `xml:"Codice,attr"`
	Name     string `xml:"Denominazione,attr"`
	Address  string `xml:"Indirizzo,attr"`
	Operator string `xml:"CFOperatore,attr"`
}

type siussBeneficiary struct {
	TaxCode string        `xml:"CodiceFiscale,attr"`
	Person  siussPerson   `xml:"Anagrafica"`
	Address siussAddress  `xml:"Indirizzo"`
	Benefit siussBenefits `xml:"PrestazioniSociali"`
}

type siussPerson struct {
	Family      string `xml:"Cognome,attr"`
	Given       string `xml:"Nome,attr"`
	Year        string `xml:"AnnoNascita,attr"`
	Place       string `xml:"LuogoNascita,attr"`
	Sex         string `xml:"Genere,attr"`
	Citizenship string `xml:"CodiceCittadinanza,attr"`
}

type siussAddress struct {
	Region  string `xml:"CodiceRegione,attr"`
	Comune  string `xml:"CodiceComune,attr"`
	Country string `xml:"CodiceNazione,attr"`
}

type siussBenefits struct {
	Operation string `xml:"TipoOperazione,attr"`
	Means     string `xml:"PresenzaProvaMezzi,attr"`
	Character string `xml:"CaratterePrestazione,attr"`
	Code      string `xml:"CodicePrestazione,attr"`
	Name      string `xml:"DenominazionePrestazione,attr"`
	Ref       string `xml:"ProtocolloDomanda,attr"`
	Start     string `xml:"DataInizioPrestazione,attr"`
	Months    string `xml:"PeriodoErogazione,attr"`
	Monthly   string `xml:"ImportoMensile,attr"`
	InCharge  string `xml:"PresaCarico,attr"`
}

// benefitsOffice is the software in which a Comune or SdS keeps the benefits it
// grants.
type benefitsOffice struct {
	caller   *caller
	prefix   string
	belfiore string // of its seat
	istat    string
	name     string
	operator string // tax code of who enters the benefits
	count    int
}

func (o *benefitsOffice) next(kind string) string {
	o.count++
	return fmt.Sprintf("DOM-%s-%04d%s", o.prefix, o.count, kind)
}

func (o *benefitsOffice) monthly() string { return fmt.Sprintf("%d.50", 100+10*o.count) }

// exportXML is a benefit as the office's software exports it for the SIUSS.
func (o *benefitsOffice) exportXML(p *someone, ref string) ([]byte, error) {
	sex := "1"
	if p.Female {
		sex = "2"
	}
	f := siussFlow{
		Head: siussHead{Name: "EXPORT." + ref, Body: siussBody{Code: o.belfiore, Name: o.name, Address: o.belfiore, Operator: o.operator}},
		Beneficiary: siussBeneficiary{TaxCode: p.CF,
			Person: siussPerson{Family: p.Family, Given: p.Given, Year: strconv.Itoa(p.Born.Year()), Place: p.Place, Sex: sex,
				Citizenship: "380"},
			Address: siussAddress{"09", o.istat, "380"},
			Benefit: siussBenefits{Operation: "I", Means: "1", Character: "1", Code: "A1.05",
				Name: "Contributi economici per alloggio", Ref: ref, Start: "2026-02-01", Months: "6", Monthly: o.monthly(), InCharge: "1"}},
	}
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(f); err != nil {
		return nil, fmt.Errorf("encode benefit: %w", err)
	}
	return b.Bytes(), nil
}

// exportJSON is a benefit as software without the SIUSS export gives it: the
// canonical record.
func (o *benefitsOffice) exportJSON(p *someone, system, value, ref string) ([]byte, error) {
	sex := "M"
	if p.Female {
		sex = "F"
	}
	b, err := json.Marshal(map[string]any{
		"record_type": "social_benefit", "schema_version": "1.0.0", "recorded_at": "2026-03-02T10:00:00+01:00",
		"source":      map[string]string{"system": "prestazioni", "ref": ref},
		"subject":     []map[string]string{{"system": system, "value": value}},
		"family_name": p.Family, "given_name": p.Given, "sex": sex, "birth_year": p.Born.Year(), "birth_place": p.Place,
		"citizenship_num": "380", "address": map[string]string{"region": "09", "municipality_istat": o.istat, "country_num": "380"},
		"operator_tax_code": o.operator, "operation": "I", "siuss_code": "A1.05", "name": "Contributi economici per alloggio",
		"application_ref": ref, "means_test": "1", "character": "1", "taken_in_charge": true, "start": "2026-02-01",
		"amounts": map[string]any{"monthly": map[string]string{"amount": o.monthly(), "currency": "EUR"}}, "period_months": 6,
	})
	if err != nil {
		return nil, fmt.Errorf("encode benefit: %w", err)
	}
	return b, nil
}

// push sends one export and expects it to be accepted.
func (o *benefitsOffice) push(ctx context.Context, ref, mediaType string, body []byte) (*sent, error) {
	ack, err := o.caller.push(ctx, typeBenefit, "benefit-"+ref, mediaType, body)
	if err != nil {
		return nil, err
	}
	return &sent{caller: o.caller, typ: typeBenefit, ref: ref, service: "R06", record: *ack.Lines[0].Record,
		noRecipient: ack.Lines[0].NoRecipient, fates: map[exchange.SystemID]fate{}}, nil
}

// pushXML exports and sends a benefit of p.
func (o *benefitsOffice) pushXML(ctx context.Context, p *someone, kind string) (*sent, error) {
	ref := o.next(kind)
	b, err := o.exportXML(p, ref)
	if err != nil {
		return nil, err
	}
	return o.push(ctx, ref, "application/xml", b)
}

// pushJSON sends a benefit of p, named by one identifier.
func (o *benefitsOffice) pushJSON(ctx context.Context, p *someone, system, value, kind string) (*sent, error) {
	ref := o.next(kind)
	b, err := o.exportJSON(p, system, value, ref)
	if err != nil {
		return nil, err
	}
	return o.push(ctx, ref, "application/json", b)
}
