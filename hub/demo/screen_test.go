package demo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"raccordo/hub/exchange"
)

func TestTable(t *testing.T) {
	flows := map[exchange.FlowID]map[string]int64{
		"a_health":   {"withheld": 2, "delivered": 1},
		"b_provider": {"delivered": 10},
		"c_provider": {"delivered": 5},
		"d_unused":   {},
	}
	fields := func(most int) [][]string {
		var b strings.Builder
		table(&b, flows, most)
		var out [][]string
		for line := range strings.Lines(b.String()) {
			out = append(out, strings.Fields(line))
		}
		return out
	}
	require.Equal(t, [][]string{{"flow", "accepted", "delivered", "withheld"}, {"a_health", "3", "1", "2"}, {"b_provider", "10", "10"},
		{"c_provider", "5", "5"}}, fields(10))
	require.Equal(t, [][]string{{"flow", "accepted", "delivered", "withheld"}, {"a_health", "3", "1", "2"},
		{"(2", "other", "flows)", "15", "15"}}, fields(2))
}
