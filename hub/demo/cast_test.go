package demo

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/hub/person"
)

func TestCast(t *testing.T) {
	a, b, other := newCast(3), newCast(3), newCast(4)
	inps := regexp.MustCompile(`^([A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z][A-Za-z0-9]{3}[A-Za-z])$`) // of the XSD PS_PSA_SINA201812
	seen := map[string]bool{}
	differ := false
	for range 3000 {
		p, q := a.next("LI"), b.next("LI")
		require.Equal(t, p, q, "the same seed gives the same persons")
		differ = differ || other.next("LI").CF != p.CF
		for _, s := range []string{p.Family, p.CF, p.STP, p.Local} {
			require.False(t, seen[s], "given twice")
			seen[s] = true
		}
		_, err := person.New(person.SystemCF, p.CF)
		require.NoError(t, err)
		_, err = person.New(person.SystemSTP, p.STP)
		require.NoError(t, err)
		_, err = person.NewLocal("il_simbolo", p.Local)
		require.NoError(t, err)
		_, err = person.New(person.SystemCF, wrongCheck(p.CF))
		require.Equal(t, person.RuleCheck, person.RuleOf(err))
		omocode, err := omocodeInYear(p.CF)
		require.NoError(t, err)
		require.NotEqual(t, p.CF, omocode)
		require.Regexp(t, inps, p.CF)
		require.NotRegexp(t, inps, omocode)
		require.Regexp(t, codes, p.CF)
	}
	require.True(t, differ, "another seed gives other persons")
}

func TestSumBy(t *testing.T) {
	const text = `# HELP raccordo_a_total x
raccordo_a_total{flow="f",reason="schema"} 2
raccordo_a_total{flow="g",reason="schema"} 3
raccordo_a_total{flow="g",reason="semantic"} 1e+02
raccordo_a_total_more{flow="g"} 7
raccordo_b 9
`
	require.Equal(t, map[string]int64{"schema": 5, "semantic": 100}, sumBy([]byte(text), "raccordo_a_total", "reason"))
	require.Equal(t, map[string]int64{"f": 2, "g": 103}, sumBy([]byte(text), "raccordo_a_total", "flow"))
	require.Empty(t, sumBy([]byte(text), "raccordo_b", "flow"))
}

func TestQuote(t *testing.T) {
	require.Equal(t, "/a/b-c_1.json", quote("/a/b-c_1.json"))
	require.Equal(t, `'/a b/c'`, quote("/a b/c"))
	require.Equal(t, `'it'\''s'`, quote("it's"))
	require.Equal(t, `''`, quote(""))
}
