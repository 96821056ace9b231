package catalog

import (
	"strings"

	"raccordo/schemas"
)

// Checks are what schemas may name in x-semantic:
//
//	tax_code           check character of a codice fiscale; an error (tax_code_check)
//	operator_tax_code  the same for an operator's, a warning
//	person_identifier  the value of a {system, value} fits its system; CF and
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
