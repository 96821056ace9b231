package hub_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"raccordo/hub"
)

const least = "data_dir: d\nnetwork: n\n"

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	c, err := hub.LoadConfig(strings.NewReader(least), nil)
	require.NoError(t, err)
	want := hub.DefaultConfig()
	want.DataDir, want.Network = "d", "n"
	require.Equal(t, want, c)
}

// Each row is a file and all that must be said of it.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		file string
		want []string
	}{
		"nothing given":        {"", []string{"data_dir: ", "network: "}},
		"empty sections":       {least + "tls:\nstream:\n", nil},
		"an empty value":       {least + "listen:\n", nil},
		"not YAML":             {"a: [", []string{"not YAML"}},
		"not a mapping":        {"[]", []string{"the document: line 1: must be a list of keys", "data_dir: ", "network: "}},
		"a section as a value": {least + "tls: on\n", []string{"tls: line 3: must be a list of keys"}},
		"a value as a section": {least + "listen: {a: b}\n", []string{"listen: line 3: must be one value"}},
		"a list as a value":    {least + "listen: [a]\n", []string{"listen: line 3: must be one value"}},
		"unknown keys":         {least + "colour: red\nstream: {lane: 3}\nadmin: {listen: 127.0.0.1:1, x: 1}\n", []string{"colour: line 3: no such key", "stream.lane: line 4: no such key", "admin.x: line 5: no such key"}},
		"a key twice":          {least + "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", []string{"listen: line 4: is there twice"}},
		"a merge":              {"x: &x {data_dir: d}\n<<: *x\nnetwork: n\n", []string{"x: line 1: no such key", "<<: line 2: no such key", "data_dir: is required"}},
		"an alias":             {"data_dir: &d x\nnetwork: *d\n", []string{"network: line 2: must be one value", "network: is required"}},
		"a second document":    {least + "---\nlisten: x\n", []string{"one document only"}},
		"other kinds":          {least + "stream: {lanes: four, max_bytes: 1.5}\nlimits: {per_second: many, burst: 9999999999999999999}\ndelivery: {send_timeout: 10}\nintake: {keep_keys: 72}\n", []string{"stream.lanes: line 3: must be a whole number", "stream.max_bytes: line 3: must be a whole number", "limits.per_second: line 4: must be a number", "limits.burst: line 4: must be a whole number", "delivery.send_timeout: line 5: must be a time with its unit", "intake.keep_keys: line 6: must be a time with its unit"}},
		"file and rules":       {"data_dir: d\nnope: 1\nlog: {level: loud}\n", []string{"nope: line 2: no such key", "network: is required", "log.level: must be"}},
		"a long data_dir":      {"network: n\ndata_dir: " + strings.Repeat("x", 100) + "\n", []string{"data_dir: is too long"}},
		"half a certificate":   {least + "tls: {certificate: c}\n", []string{"tls: needs both"}},
		"plain off loopback":   {least + "listen: 0.0.0.0:8080\n", []string{"listen: without tls"}},
		"plain on everything":  {least + "listen: :8080\n", []string{"listen: without tls"}},
		"plain on a name":      {least + "listen: example.test:8080\n", []string{"listen: without tls"}},
		"plain on loopback 6":  {least + "listen: '[::1]:8080'\n", nil},
		"plain on localhost":   {least + "listen: localhost:8080\n", nil},
		"with a certificate":   {least + "listen: 0.0.0.0:8443\ntls: {certificate: c, key: k}\n", nil},
		"no port":              {least + "listen: 127.0.0.1\nadmin: {listen: 127.0.0.1}\n", []string{"listen: must be HOST:PORT", "admin.listen: must be on loopback"}},
		"no such port":         {least + "listen: 127.0.0.1:99999\n", []string{"listen: must be HOST:PORT"}},
		"admin off loopback":   {least + "admin: {listen: 0.0.0.0:9464}\ntls: {certificate: c, key: k}\n", []string{"admin.listen: must be on loopback"}},
		"public URLs":          {least + "vouchers: {public_url: 'ftp://a'}\n", []string{"vouchers.public_url: "}},
		"public URL slash":     {least + "vouchers: {public_url: 'https://hub.example/'}\n", []string{"vouchers.public_url: "}},
		"public URL":           {least + "vouchers: {public_url: 'https://hub.example/base'}\n", nil},
		"issuer alone":         {least + "vouchers: {issuer: i}\n", []string{"vouchers.jwks: is required", "vouchers.eservice: is required", "vouchers.descriptor: is required", "vouchers.producer: is required"}},
		"no issuer":            {least + "vouchers: {jwks: f, audience: a, eservice: e, descriptor: d, producer: p}\n", []string{"vouchers.jwks: only", "vouchers.audience: only", "vouchers.eservice: only", "vouchers.descriptor: only", "vouchers.producer: only"}},
		"origin":               {least + "checkpoint: {origin: 'a b', every: 10ms}\n", []string{"checkpoint.origin: ", "checkpoint.every: "}},
		"stream":               {least + "stream: {lanes: 65, segment_bytes: 1000, max_bytes: 1000}\n", []string{"stream.lanes: ", "stream.segment_bytes: ", "stream.max_bytes: "}},
		"delivery":             {least + "delivery: {send_timeout: 11m, backoff_min: 0s, backoff_max: -1s, spill_after: 0s, waiting_max: 0, lag_max: 0}\n", []string{"delivery.send_timeout: ", "delivery.backoff_min: ", "delivery.backoff_max: ", "delivery.spill_after: ", "delivery.waiting_max: ", "delivery.lag_max: "}},
		"intake":               {least + "intake: {body_bytes: 1, lines: 10001, keep_keys: 23h, max_keys: 0}\n", []string{"intake.body_bytes: ", "intake.lines: ", "intake.keep_keys: ", "intake.max_keys: "}},
		"limits and clock":     {least + "limits: {per_second: .nan, burst: 0}\nclock: {max_downtime: 0s}\n", []string{"limits.per_second: ", "limits.burst: ", "clock.max_downtime: "}},
		"infinite":             {least + "limits: {per_second: Inf}\n", []string{"limits.per_second: "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := hub.LoadConfig(strings.NewReader(row.file), nil)
			if row.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, hub.ErrConfig)
			lines := strings.Split(strings.TrimPrefix(err.Error(), hub.ErrConfig.Error()+": "), "\n")
			require.Len(t, lines, len(row.want), "%s", err)
			for _, w := range row.want {
				require.True(t, has(lines, w), "%q is not said:\n%s", w, err)
			}
		})
	}
}

func has(lines []string, prefix string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

func TestConfigThatCannotBeRead(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	_, err := hub.LoadConfig(iotest.ErrReader(broken), nil)
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, hub.ErrConfig)
	_, err = hub.LoadConfig(strings.NewReader("#"+strings.Repeat("x", 1<<20)), nil)
	require.ErrorIs(t, err, hub.ErrConfig)
}

// Every key of the configuration can be given as a variable, whatever its kind.
func TestEveryKeyAsAVariable(t *testing.T) {
	t.Parallel()
	var want hub.Config
	environ := []string{"PATH=/bin", "RACCORDO_CONFIG=f", "RACCORDO_URL=u", "RACCORDO_KEY=k", "RACCORDO_CA=c"}
	n := 0
	var walk func(v reflect.Value, name string)
	walk = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			at, f := name+"_"+strings.ToUpper(v.Type().Field(i).Tag.Get("yaml")), v.Field(i)
			if f.Kind() == reflect.Struct {
				walk(f, at)
				continue
			}
			n++
			text := ""
			switch {
			case f.Type() == reflect.TypeFor[time.Duration]():
				f.SetInt(int64(n) * int64(time.Second))
				text = time.Duration(f.Int()).String()
			case f.Kind() == reflect.String:
				f.SetString(fmt.Sprintf("text: '%d'", n)) // as it stands: no YAML
				text = f.String()
			case f.Kind() == reflect.Float64:
				f.SetFloat(float64(n) + 0.5)
				text = fmt.Sprint(f.Float())
			default:
				f.SetInt(int64(n))
				text = fmt.Sprint(f.Int())
			}
			environ = append(environ, at+"="+text)
		}
	}
	walk(reflect.ValueOf(&want).Elem(), "RACCORDO")
	require.Greater(t, n, 25)
	file := "listen: 127.0.0.1:1\nstream: {lanes: 2}\n"
	got, err := hub.LoadConfig(strings.NewReader(file), environ)
	require.ErrorIs(t, err, hub.ErrConfig, "the values are nonsense")
	require.NotContains(t, err.Error(), "no such key")
	require.Equal(t, want, got)
}

func TestVariablesThatAreRefused(t *testing.T) {
	t.Parallel()
	_, err := hub.LoadConfig(strings.NewReader(least), []string{"RACCORDO_LISTNE=x", "RACCORDO_STREAM=x", "RACCORDO_=x",
		"RACCORDO_STREAM_LANES=many", "RACCORDO_CHECKPOINT_EVERY=10", "RACCORDO_LIMITS_BURST=", "LISTEN=x"})
	require.ErrorIs(t, err, hub.ErrConfig)
	for _, w := range []string{"RACCORDO_LISTNE: no such key", "RACCORDO_STREAM: no such key", "RACCORDO_: no such key",
		"RACCORDO_STREAM_LANES: must be a whole number", "RACCORDO_CHECKPOINT_EVERY: must be a time"} {
		require.Contains(t, err.Error(), w)
	}
	require.Equal(t, 5, 1+strings.Count(err.Error(), "\n"), "%s", err)
}

func FuzzLoadConfig(f *testing.F) {
	f.Add(least)
	f.Add("a: &a [*a]")
	f.Add("? {a: b}\n: c")
	f.Add("stream: {lanes: 4, lanes: 4}\n---\n")
	f.Fuzz(func(t *testing.T, file string) {
		c, err := hub.LoadConfig(strings.NewReader(file), nil)
		if err == nil {
			require.NoError(t, c.Validate())
			return
		}
		require.ErrorIs(t, err, hub.ErrConfig)
	})
}
