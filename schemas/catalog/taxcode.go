package catalog

const ruleTaxCode = "tax_code_check"

func checkTaxCode(v any) (string, bool) {
	s, _ := v.(string)
	if len(s) == 11 && numericCheck(s) || len(s) == 16 && alphaCheck(s) {
		return "", false
	}
	return ruleTaxCode, false
}

func checkIdentifier(v any) (string, bool) {
	m, _ := v.(map[string]any)
	switch m["system"] {
	case "CF", "CF_NUM":
		return checkTaxCode(m["value"])
	}
	return "", false
}

var oddValues = [36]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, // 0-9
	1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23} // A-Z

func alphaCheck(s string) bool {
	sum := 0
	for i := range 15 {
		c := s[i]
		n := int(c - '0')
		if c >= 'A' {
			n = int(c-'A') + 10
		}
		switch {
		case n < 0 || n > 35:
			return false
		case i%2 == 0:
			sum += oddValues[n]
		case n >= 10:
			sum += n - 10
		default:
			sum += n
		}
	}
	return s[15] == byte('A'+sum%26)
}

func numericCheck(s string) bool {
	sum := 0
	for i := range 10 {
		n := int(s[i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return int(s[10]-'0') == (10-sum%10)%10
}
