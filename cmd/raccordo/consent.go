package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"raccordo/consent"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

func (p *process) consent(ctx context.Context, args []string) error {
	return p.acts(ctx, args, "Persons' decisions, as an officer records them. The person is named on standard input or in a file, never in an argument.",
		act{"give", p.consentGive}, act{"withdraw", p.consentWithdraw}, act{"show", p.consentShow})
}

// scope are the flags that say what a consent is about.
type scope struct{ purpose, body, role string }

func (o *operator) scope() *scope {
	s := &scope{}
	o.flags.StringVar(&s.purpose, "purpose", "", "`PURPOSE` of the network")
	o.flags.StringVar(&s.body, "body", "", "`BODY` that may receive")
	o.flags.StringVar(&s.role, "role", "", "`ROLE` in which it may receive")
	return s
}

func (p *process) consentGive(ctx context.Context, args []string) error {
	o := p.operator("consent give", "--purpose PURPOSE --body BODY --role ROLE",
		`Records that a person permits (or, with --refused, refuses) that a body learns of them, in a role, for a purpose. One decision is in
		force for each of these; giving again renews it. It is durable in the ledger when the command answers, and records that
		waited for it go their way.`,
		`echo "LOCAL co_so P-0001" | raccordo consent give --purpose health_accompaniment --body sds_pistoiese --role health_service`).person()
	s := o.scope()
	var refused bool
	var language, method, expires string
	o.flags.BoolVar(&refused, "refused", false, "the person refuses")
	o.flags.StringVar(&language, "language", "it", "`LANGUAGE` of the notice that was shown or read out")
	o.flags.StringVar(&method, "method", "", "`METHOD` by which it was told: "+methodNames()+"; default VERBAL_RECORDED")
	o.flags.StringVar(&expires, "expires", "", "`DAY` (YYYY-MM-DD) on which it ends by itself")
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	if err := o.required("purpose", "body", "role"); err != nil {
		return err
	}
	told, err := methodOf(method)
	if err != nil {
		return err
	}
	until, err := endOf(expires)
	if err != nil {
		return err
	}
	who, err := o.persons(1)
	if err != nil {
		return err
	}
	got, err := ask[control.Consent](ctx, o, "consent/give", control.ConsentRequest{Person: who[0], Purpose: exchange.PurposeID(s.purpose),
		Body: exchange.BodyID(s.body), Role: exchange.Role(s.role), Refused: refused, Language: language, Method: told, Expires: until})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) { consentTable(w, []control.Consent{got}) })
}

// methods are in which ways a decision can be told.
func methods() []consent.Method {
	return []consent.Method{consent.MethodPaper, consent.MethodSPID, consent.MethodCIE, consent.MethodVerbalRecorded, consent.MethodSignatureTablet}
}

func methodNames() string {
	names := make([]string, len(methods()))
	for i, m := range methods() {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}

// methodOf reads a method in any case; none is left to the hub.
func methodOf(s string) (string, error) {
	m := consent.Method(strings.ToUpper(s))
	if s != "" && !m.IsValid() {
		return "", usagef("--method must be one of %s", methodNames())
	}
	return string(m), nil
}

// endOf is the first instant after a day in Europe/Rome; zero for no day.
func endOf(day string) (time.Time, error) {
	if day == "" {
		return time.Time{}, nil
	}
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.ParseInLocation(time.DateOnly, day, rome)
	if err != nil {
		return time.Time{}, usagef("a day is written YYYY-MM-DD")
	}
	return t.AddDate(0, 0, 1), nil
}

func (p *process) consentWithdraw(ctx context.Context, args []string) error {
	o := p.operator("consent withdraw", "[CONSENT | --purpose PURPOSE --body BODY --role ROLE]",
		`Ends a consent, named by its id, or by purpose, body and role with the person on standard input. Once the command answers,
		nothing that relies on it is claimed any more; the answer says how many sends that were claimed before are still under way and
		within what time each ends.`,
		`echo "LOCAL co_so P-0001" | raccordo consent withdraw --purpose health_accompaniment --body sds_pistoiese --role health_service`).person()
	s := o.scope()
	var revoked bool
	var method string
	o.flags.BoolVar(&revoked, "revoked", false, "not the person ends it, but someone else")
	o.flags.StringVar(&method, "method", "", "`METHOD` by which it was told: "+methodNames()+"; default VERBAL_RECORDED")
	if err := o.parse(args, 0, 1); err != nil {
		return err
	}
	told, err := methodOf(method)
	if err != nil {
		return err
	}
	id, err := o.whichConsent(ctx, s)
	if err != nil {
		return err
	}
	end, err := ask[control.ConsentEnd](ctx, o, "consent/withdraw", control.WithdrawRequest{Consent: id, Revoked: revoked, Method: told})
	if err != nil {
		return err
	}
	return o.show(end, func(w io.Writer) {
		consentTable(w, []control.Consent{end.Consent})
		fmt.Fprintf(w, "sends still under way: %d, each ends within %s\n", end.UnderWay, end.Within)
	})
}

// whichConsent is the one named by id, or the one in force in a scope.
func (o *operator) whichConsent(ctx context.Context, s *scope) (exchange.ConsentID, error) {
	if len(o.args) == 1 {
		id, err := exchange.ParseConsentID(o.args[0])
		if err != nil {
			return id, usagef("a consent is named by its id; persons are never named in an argument")
		}
		return id, nil
	}
	if err := o.required("purpose", "body", "role"); err != nil {
		return exchange.ConsentID{}, err
	}
	who, err := o.persons(1)
	if err != nil {
		return exchange.ConsentID{}, err
	}
	all, err := ask[control.Consents](ctx, o, "consent/show", control.ConsentQuery{Person: who[0]})
	if err != nil {
		return exchange.ConsentID{}, err
	}
	for _, c := range all.Consents { // newest first
		if string(c.Purpose) == s.purpose && string(c.Body) == s.body && string(c.Role) == s.role {
			return c.ID, nil
		}
	}
	return exchange.ConsentID{}, exchange.NewError(exchange.CodeNotFound, exchange.ReasonNotFound, "the person has no such consent")
}

func (p *process) consentShow(ctx context.Context, args []string) error {
	o := p.operator("consent show", "[CONSENT]",
		`Shows a consent by its id, or all consents of the person on standard input, newest first.`,
		`echo "LOCAL co_so P-0001" | raccordo consent show`).person()
	if err := o.parse(args, 0, 1); err != nil {
		return err
	}
	var q control.ConsentQuery
	var err error
	if len(o.args) == 1 {
		if q.Consent, err = exchange.ParseConsentID(o.args[0]); err != nil {
			return usagef("a consent is named by its id; persons are never named in an argument")
		}
	} else {
		who, err := o.persons(1)
		if err != nil {
			return err
		}
		q.Person = who[0]
	}
	got, err := ask[control.Consents](ctx, o, "consent/show", q)
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) { consentTable(w, got.Consents) })
}

func consentTable(w io.Writer, list []control.Consent) {
	rows := [][]string{{"CONSENT", "STATUS", "PURPOSE", "BODY", "ROLE", "EXPIRES", "ENTRY"}}
	for _, c := range list {
		rows = append(rows, []string{c.ID.String(), c.Status, string(c.Purpose), string(c.Body), string(c.Role), instant(c.Expires), fmt.Sprint(c.Seq)})
	}
	table(w, rows)
}
