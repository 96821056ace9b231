package catalog

import (
	"strings"

	"raccordo/hub/person"
	"raccordo/schemas"
)

// RuleTaxCode is the rule a tax code breaks whose check character is wrong.
const RuleTaxCode = "tax_code_check"

// Checks are what schemas may name in x-semantic:
//
//	tax_code           a codice fiscale of 16 characters or 11 digits: an error if
//	                   it is none (tax_code_check, identifier_*), a warning if its
//	                   day or place is odd
//	operator_tax_code  the same for an operator's, never more than a warning
//	person_identifier  the value of a {system, value} is one of its system; CF and
//	                   CF_NUM as tax_code
//	period             a {from, to} does not end before it begins (period_order)
//	benefit_dates      a {start, end} does not either (period_order)
//	principal_first    in a list of persons the first may only be PRINCIPAL and
//	                   the others WITH (principal_first)
func Checks() map[string]schemas.Check {
	return map[string]schemas.Check{
		"tax_code":          checkTaxCode,
		"operator_tax_code": asWarning(checkTaxCode),
		"person_identifier": checkIdentifier,
		"period":            checkOrder("from", "to"),
		"benefit_dates":     checkOrder("start", "end"),
		"principal_first":   checkPrincipalFirst,
	}
}

func checkTaxCode(v any) (string, bool) {
	s, _ := v.(string)
	id, err := person.ParseTaxCode(s)
	if err != nil {
		return ruleOf(err), false
	}
	if id.System() != person.SystemCF {
		return "", false
	}
	return oddity(id.Reveal())
}

// oddity is the first warning about a well-formed code. Omocodes are ordinary
// here: only a recipient's format may dislike them.
func oddity(code string) (string, bool) {
	cf, err := person.ParseCF(code)
	if err != nil {
		return ruleOf(err), false
	}
	for _, w := range cf.Warnings() {
		if w != person.WarnOmocode {
			return string(w), true
		}
	}
	return "", false
}

// checkIdentifier leaves permits alone: they are no key of a person. A local
// code is judged by its form; whose it is, intake knows.
func checkIdentifier(v any) (string, bool) {
	m, _ := v.(map[string]any)
	system, _ := m["system"].(string)
	value, _ := m["value"].(string)
	var err error
	switch person.System(system) {
	case person.SystemPermit:
	case person.SystemCF:
		return oddity(value)
	case person.SystemLocal:
		_, err = person.NewLocal("sender", value)
	default:
		_, err = person.New(person.System(system), value)
	}
	return ruleOf(err), false
}

// ruleOf names the rule; the check character has its own name because senders
// meet it most.
func ruleOf(err error) string {
	if err == nil {
		return ""
	}
	switch rule := person.RuleOf(err); rule {
	case person.RuleCheck:
		return RuleTaxCode
	case "":
		return "identifier"
	default:
		return string(rule)
	}
}

func asWarning(check schemas.Check) schemas.Check {
	return func(v any) (string, bool) {
		rule, _ := check(v)
		return rule, true
	}
}

// checkOrder compares days as texts: YYYY-MM-DD sorts as the days do.
func checkOrder(from, to string) schemas.Check {
	return func(v any) (string, bool) {
		m, _ := v.(map[string]any)
		a, hasA := m[from].(string)
		b, hasB := m[to].(string)
		if hasA && hasB && strings.Compare(a, b) > 0 {
			return "period_order", false
		}
		return "", false
	}
}

func checkPrincipalFirst(v any) (string, bool) {
	list, _ := v.([]any)
	for i, e := range list {
		m, _ := e.(map[string]any)
		role, ok := m["role"].(string)
		if ok && (role == "PRINCIPAL") != (i == 0) {
			return "principal_first", false
		}
	}
	return "", false
}
