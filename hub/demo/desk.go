package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"raccordo/hub/client"
	"raccordo/hub/exchange"
)

const (
	typeRequest = exchange.RecordType("service_request")
	typeBenefit = exchange.RecordType("social_benefit")
)

// deskRequest is a request in the desks' own format (desk_request).
type deskRequest struct {
	Body        string       `json:"ente"`
	Number      string       `json:"numero"`
	RecordedAt  time.Time    `json:"registrata_il"`
	AskedAt     time.Time    `json:"data_ora"`
	Service     string       `json:"servizio"`
	Urgency     string       `json:"urgenza"`
	Operator    string       `json:"operatore,omitempty"`
	Persons     []deskPerson `json:"persone"`
	Bed         *deskBed     `json:"posto_letto,omitempty"`
	Luggage     *deskLuggage `json:"bagagli,omitempty"`
	Appointment *deskVisit   `json:"appuntamento,omitempty"`
	Needs       *deskNeeds   `json:"esigenze,omitempty"`
	Note        string       `json:"nota,omitempty"`
}

type deskPerson struct {
	Role   string     `json:"ruolo"`
	Codes  []deskCode `json:"codici"`
	Family string     `json:"cognome,omitempty"`
	Given  string     `json:"nome,omitempty"`
	Year   int        `json:"anno_nascita,omitempty"`

	who *someone
}

type deskCode struct {
	Kind  string `json:"tipo"`
	Value string `json:"valore"`
}

type deskBed struct {
	From   string `json:"dal"`
	Nights int    `json:"notti"`
}

type deskLuggage struct {
	Pieces int `json:"colli"`
}

type deskVisit struct {
	At    time.Time `json:"quando"`
	Where string    `json:"dove"`
}

type deskNeeds struct {
	WithMinors bool   `json:"con_minori,omitempty"`
	Area       string `json:"area,omitempty"`
}

// Ways to name a person at the desk.
func byCF(p *someone) deskCode    { return deskCode{"CF", p.CF} }
func bySTP(p *someone) deskCode   { return deskCode{"STP", p.STP} }
func byLocal(p *someone) deskCode { return deskCode{"SPORTELLO", p.Local} }

// asking is p as the one who asks.
func asking(p *someone, codes ...deskCode) deskPerson { return inRequest("RICHIEDENTE", p, codes) }

// with is p as one who is with whoever asks.
func with(p *someone, codes ...deskCode) deskPerson { return inRequest("FAMILIARE", p, codes) }

func inRequest(role string, p *someone, codes []deskCode) deskPerson {
	return deskPerson{Role: role, Codes: codes, Family: p.Family, Given: p.Given, Year: p.Born.Year(), who: p}
}

// desk is the software of one One Stop Shop desk.
type desk struct {
	caller    *caller
	territory exchange.Territory
	body      exchange.BodyID
	prefix    string
	begin     time.Time // of the first request; later ones follow by the minute
	count     int
}

// healthPlace is where accompaniments lead. It says something about health, so
// it may reach a health service only.
const healthPlace = "Ambulatorio di esempio, stanza 7"

// noteText is what the operator wrote; a social service may read it.
const noteText = "dorme in stazione, nessun posto fino a lunedi"

// request fills in what every request of the desk has.
func (d *desk) request(service, urgency string, persons ...deskPerson) *deskRequest {
	d.count++
	at := d.begin.Add(time.Duration(d.count) * time.Minute)
	r := &deskRequest{Body: string(d.body), Number: fmt.Sprintf("%s-%05d", d.prefix, d.count), RecordedAt: at, AskedAt: at,
		Service: service, Urgency: urgency, Operator: "op-" + d.prefix, Persons: persons, Note: noteText}
	switch service {
	case "POSTO_LETTO":
		r.Bed = &deskBed{at.Format(time.DateOnly), 1 + d.count%5}
		r.Needs = &deskNeeds{WithMinors: len(persons) > 1, Area: "MISTA"}
	case "BAGAGLI":
		r.Luggage = &deskLuggage{1 + d.count%3}
	case "ACC_SOCIALE", "ACC_SANITARIO", "ACC_LEGALE":
		r.Appointment = &deskVisit{at.Add(48 * time.Hour), healthPlace}
	}
	return r
}

func (r *deskRequest) encode() ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return b, nil
}

// sent is a request that was accepted.
type sent struct {
	desk        *desk // nil for benefits
	caller      *caller
	typ         exchange.RecordType
	ref         string
	service     string
	emergency   bool
	principal   string // first code of the one who asks
	record      exchange.RecordID
	noRecipient []exchange.Role
	family      []*someone                 // who is with the person
	otherCodes  []string                   // of the person, beside the first
	fates       map[exchange.SystemID]fate // where they differ from what receivers says
}

// at says what becomes of the request at one system.
func (s *sent) at(system exchange.SystemID, f fate) *sent {
	s.fates[system] = f
	return s
}

// push sends one request and expects it to be accepted.
func (d *desk) push(ctx context.Context, r *deskRequest) (*sent, error) {
	body, err := r.encode()
	if err != nil {
		return nil, err
	}
	ack, err := d.caller.push(ctx, typeRequest, d.key(r), "application/json", body)
	if err != nil {
		return nil, err
	}
	return d.sent(r, &ack.Lines[0]), nil
}

func (d *desk) key(r *deskRequest) string { return "desk-" + r.Number }

func (d *desk) sent(r *deskRequest, l *client.Line) *sent {
	s := &sent{desk: d, caller: d.caller, typ: typeRequest, ref: r.Number, service: r.Service, emergency: r.Urgency == "EMERGENZA",
		principal: r.Persons[0].Codes[0].Value, record: *l.Record, noRecipient: l.NoRecipient, fates: map[exchange.SystemID]fate{}}
	for _, c := range r.Persons[0].Codes[1:] {
		s.otherCodes = append(s.otherCodes, c.Value)
	}
	for _, p := range r.Persons[1:] {
		s.family = append(s.family, p.who)
	}
	return s
}

// refused sends one request that must be refused, and gives the reason and the
// faults that were named.
func (d *desk) refused(ctx context.Context, r *deskRequest, key string) (exchange.Reason, []exchange.Fault, error) {
	body, err := r.encode()
	if err != nil {
		return "", nil, err
	}
	_, err = d.caller.push(ctx, typeRequest, key, "application/json", body)
	if err == nil {
		return "", nil, fmt.Errorf("%s: request %s was accepted and had to be refused", d.caller.system, r.Number)
	}
	e := exchange.AsError(err)
	if e.Code != exchange.CodeInvalid && e.Code != exchange.CodeMalformed && e.Code != exchange.CodeConflict {
		return "", nil, err
	}
	return e.Reason, e.Faults, nil
}

// pushLines sends many requests at once and gives what was accepted, and the
// faults per refused line.
func (d *desk) pushLines(ctx context.Context, key string, rs []*deskRequest) ([]*sent, map[int][]exchange.Fault, error) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	for _, r := range rs {
		if err := e.Encode(r); err != nil {
			return nil, nil, fmt.Errorf("encode request: %w", err)
		}
	}
	ack, err := d.caller.push(ctx, typeRequest, key, client.MediaNDJSON, body.Bytes())
	if err != nil {
		return nil, nil, err
	}
	var out []*sent
	refused := map[int][]exchange.Fault{}
	for i := range ack.Lines {
		l := &ack.Lines[i]
		if l.Line < 1 || l.Line > len(rs) {
			return nil, nil, fmt.Errorf("%s: the acknowledgement names line %d of %d", d.caller.system, l.Line, len(rs))
		}
		if l.Record == nil {
			refused[l.Line] = l.Errors
			continue
		}
		out = append(out, d.sent(rs[l.Line-1], l))
	}
	if len(out) != ack.Accepted || len(refused) != ack.Refused || len(out)+len(refused) != len(rs) {
		return nil, nil, fmt.Errorf("%s: the acknowledgement does not count its lines", d.caller.system)
	}
	return out, refused, nil
}

// consentAnswer is a consent as the API shows it.
type consentAnswer struct {
	ID       exchange.ConsentID `json:"consent_id"`
	State    string             `json:"state"`
	UnderWay int                `json:"claims_under_way"`
}

// decide records a person's decision at the desk: given or refused.
func (d *desk) decide(ctx context.Context, code deskCode, recipient exchange.BodyID, decision string) (consentAnswer, error) {
	var out consentAnswer
	err := d.caller.call(ctx, http.MethodPost, "/v1/consents", "record a consent", map[string]any{
		"person":       code.identifier(),
		"purpose":      "health_accompaniment",
		"recipient":    map[string]string{"body": string(recipient), "role": "health_service"},
		"decision":     decision,
		"notice":       map[string]string{"version": "1.0.0", "language": "it"},
		"indicated_by": "person",
		"means":        "oral",
	}, &out)
	return out, err
}

// withdraw ends a consent at the person's word.
func (d *desk) withdraw(ctx context.Context, id exchange.ConsentID) (consentAnswer, error) {
	var out consentAnswer
	err := d.caller.call(ctx, http.MethodPost, "/v1/consents/"+id.String()+"/withdrawal", "withdraw a consent",
		map[string]string{"indicated_by": "person"}, &out)
	return out, err
}

// identifier is the code as the API names it.
func (c deskCode) identifier() map[string]string {
	system := map[string]string{"CF": "CF", "STP": "STP", "SPORTELLO": "LOCAL"}[c.Kind]
	return map[string]string{"system": system, "value": c.Value}
}
