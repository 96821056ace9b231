package connectors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

type config struct {
	Text   string               `yaml:"text" doc:"A text."`
	Number int                  `yaml:"number" doc:"A number."`
	Yes    bool                 `yaml:"yes_no" doc:"A decision."`
	Wait   time.Duration        `yaml:"wait" doc:"A time."`
	Secret connectors.SecretRef `yaml:"secret" doc:"A secret."`
	List   []string             `yaml:"list" doc:"Texts."`
	Table  map[string]int       `yaml:"table" doc:"Numbers."`
	Inner  inner                `yaml:"inner" doc:"More."`
	Inners []inner              `yaml:"inners" doc:"Much more."`
}

type inner struct {
	Text string `yaml:"text" doc:"A text."`
}

func (c config) Validate() []exchange.Fault {
	if c.Number > 9 {
		return []exchange.Fault{{Pointer: "/number", Rule: "at most 9"}, {Pointer: "/inners/0/text", Rule: "also wrong"}}
	}
	return nil
}

type nothing struct{}

func (nothing) Send(context.Context, connectors.Parcel) (connectors.Result, error) {
	return connectors.Result{}, nil
}
func (nothing) Close(context.Context) error { return nil }

func kind(got *config) connectors.Kind {
	return connectors.NewKind("example", "An example.", func() config { return config{Text: "default", Number: 3} },
		connectors.WithSink(func(c config, _ connectors.Settings) (connectors.Sink, error) {
			*got = c
			return nothing{}, nil
		}))
}

func node(t testing.TB, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return &n
}

func settings() connectors.Settings {
	return connectors.Settings{System: "recipient_system", Clock: time.Now}
}

func TestDecode(t *testing.T) {
	var got config
	k := kind(&got)
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"defaults": {"", "{default 3 false 0s  [] map[] {} []}"},
		"null":     {"~", "{default 3 false 0s  [] map[] {} []}"},
		"all": {"text: a\nnumber: 4\nyes_no: true\nwait: 90s\nsecret: env:A_B\nlist: [x, y]\ntable: {k: 1}\ninner: {text: b}\ninners: [{text: c}, {}]",
			"{a 4 true 1m30s env:A_B [x y] map[k:1] {b} [{c} {}]}"},
	} {
		decoded, faults := k.Decode(node(t, c.text))
		if len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
			continue
		}
		if _, err := k.OpenSink(decoded, settings()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s := fmt.Sprint(got); s != c.want {
			t.Errorf("%s: %s", name, s)
		}
	}
}

func TestDecodeFaults(t *testing.T) {
	var got config
	k := kind(&got)
	const value = "s3cr3t-value"
	for text, want := range map[string]string{
		"text: 1":                         "/text 1",
		"text: [" + value + "]":           "/text 1",
		"text:":                           "/text 1",
		"text: a\ntext: " + value:         "/text 2",
		"number: " + value:                "/number 1",
		"number: 1.5":                     "/number 1",
		"number: 99999999999999999999":    "/number 1",
		"number: 0x10":                    "/number 1",
		"yes_no: 'true'":                  "/yes_no 1",
		"yes_no: yes":                     "/yes_no 1",
		"wait: 30":                        "/wait 1",
		"wait: " + value:                  "/wait 1",
		"secret: " + value:                "/secret 1",
		"secret: /etc/passwd":             "/secret 1",
		"secret: env:lower":               "/secret 1",
		"secret: 'file:'":                 "/secret 1",
		"list: " + value:                  "/list 1",
		"list: [a, 1]":                    "/list/1 1",
		"table: [a]":                      "/table 1",
		"table: {a: " + value + "}":       "/table/a 1",
		"table: {a: 1, a: 2}":             "/table 1",
		"table: {1: 2}":                   "/table 1",
		"inner: " + value:                 "/inner 1",
		"inner: {other: " + value + "}":   "/inner/other 1",
		"inners:\n- text: a\n- txt: b":    "/inners/1/txt 3",
		"Text: a":                         " 1",
		value + ": a":                     " 1",
		"? [a]\n: b":                      " 1",
		"- a":                             " 1",
		value:                             " 1",
		"list: &a [x]\nlist2: *a":         "/list2 2",
		"inner: &a {text: b}\ninners: *a": "/inners 2",
		"<<: {text: a}":                   " 1",
		"number: 10\ninners:\n- text: b":  "/number 1,/inners/0/text 3",
		"number: x\nyes_no: x\nnope: x":   "/number 1,/yes_no 2,/nope 3",
	} {
		_, faults := k.Decode(node(t, text))
		var have []string
		for _, f := range faults {
			have = append(have, fmt.Sprintf("%s %d", f.Pointer, f.Line))
		}
		if s := strings.Join(have, ","); s != want {
			t.Errorf("%q: have %q, want %q", text, s, want)
		}
		if strings.Contains(fmt.Sprintf("%+v", faults), value) {
			t.Errorf("%q: the fault shows a value", text)
		}
	}
}

func TestKeys(t *testing.T) {
	var got config
	var have []string
	for _, key := range kind(&got).Keys() {
		have = append(have, key.Path+"="+key.Type+"="+key.Default)
	}
	want := "text=text=default number=whole number=3 yes_no=true or false= wait=duration= secret=secret reference= list=list of text= " +
		"table=map of whole number= inner=object= inner.text=text= inners=list of objects= inners[].text=text="
	if s := strings.Join(have, " "); s != want {
		t.Errorf("have %s", s)
	}
}

func TestSetRefusesMalformedKinds(t *testing.T) {
	var got config
	good := kind(&got)
	sink := func(config, connectors.Settings) (connectors.Sink, error) { return nothing{}, nil }
	fresh := func() config { return config{} }
	type undocumented struct {
		A string `yaml:"a"`
	}
	type badKey struct {
		A string `yaml:"BadKey" doc:"A."`
	}
	type badType struct {
		A chan int `yaml:"a" doc:"A."`
	}
	for name, kinds := range map[string][]connectors.Kind{
		"twice":        {good, good},
		"zero":         {{}},
		"name":         {connectors.NewKind("Bad_Name", "A.", fresh, connectors.WithSink(sink))},
		"no summary":   {connectors.NewKind("example", "", fresh, connectors.WithSink(sink))},
		"no ability":   {connectors.NewKind[config]("example", "A.", fresh)},
		"no defaults":  {connectors.NewKind("example", "A.", nil, connectors.WithSink(sink))},
		"stability":    {connectors.NewKind("example", "A.", fresh, connectors.WithSink(sink), connectors.WithStability[config]("sure"))},
		"not a struct": {connectors.NewKind("example", "A.", func() int { return 0 }, connectors.WithSink(func(int, connectors.Settings) (connectors.Sink, error) { return nothing{}, nil }))},
		"undocumented": {connectors.NewKind("example", "A.", func() undocumented { return undocumented{} }, connectors.WithSink(func(undocumented, connectors.Settings) (connectors.Sink, error) { return nothing{}, nil }))},
		"bad key":      {connectors.NewKind("example", "A.", func() badKey { return badKey{} }, connectors.WithSink(func(badKey, connectors.Settings) (connectors.Sink, error) { return nothing{}, nil }))},
		"bad type":     {connectors.NewKind("example", "A.", func() badType { return badType{} }, connectors.WithSink(func(badType, connectors.Settings) (connectors.Sink, error) { return nothing{}, nil }))},
	} {
		if _, err := connectors.NewSet(kinds...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	set, err := connectors.NewSet(good)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := set.Kind("example"); !ok || k.Name() != "example" || len(set.Names()) != 1 {
		t.Error("the kind is not in the set")
	}
}

func TestOpenRefusesWhatDoesNotBelong(t *testing.T) {
	var got config
	k := kind(&got)
	c, _ := k.Decode(nil)
	other := connectors.NewKind("other", "Another.", func() config { return config{} },
		connectors.WithOutlet(func(config, connectors.Settings, connectors.Claims) (connectors.Outlet, error) {
			return nil, errors.New("no")
		}))
	o, _ := other.Decode(nil)
	for name, try := range map[string]func() error{
		"another kind's": func() error { _, err := k.OpenSink(o, settings()); return err },
		"zero config":    func() error { _, err := k.OpenSink(connectors.Config{}, settings()); return err },
		"no clock":       func() error { _, err := k.OpenSink(c, connectors.Settings{System: "a"}); return err },
		"no system":      func() error { _, err := k.OpenSink(c, connectors.Settings{Clock: time.Now}); return err },
		"no outlet":      func() error { _, err := k.OpenOutlet(c, settings(), nil); return err },
		"no claims":      func() error { _, err := other.OpenOutlet(o, settings(), nil); return err },
		"no sink":        func() error { _, err := other.OpenSink(o, settings()); return err },
	} {
		if try() == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestSecrets(t *testing.T) {
	get := connectors.SecretsFrom(
		func(name string) (string, bool) {
			v, ok := map[string]string{"A": "one\n", "EMPTY": " \n"}[name]
			return v, ok
		},
		func(path string) ([]byte, error) {
			switch path {
			case "/run/key":
				return []byte("two\r\n"), nil
			case "/run/huge":
				return make([]byte, 1<<20), nil
			}
			return nil, errors.New("not there")
		})
	for ref, want := range map[connectors.SecretRef]string{"env:A": "one", "file:/run/key": "two",
		"env:B": "", "env:EMPTY": "", "file:/none": "", "file:/run/huge": "", "plain": "", "": ""} {
		p, err := get(ref)
		if string(p.Reveal()) != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, connectors.ErrNoSecret) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestCaller(t *testing.T) {
	if _, ok := connectors.CallerFrom(context.Background()); ok {
		t.Error("a caller out of nothing")
	}
	if _, ok := connectors.CallerFrom(connectors.WithCaller(context.Background(), "")); ok {
		t.Error("an empty caller")
	}
	if s, ok := connectors.CallerFrom(connectors.WithCaller(context.Background(), "a")); !ok || s != "a" {
		t.Error("the caller was lost")
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"text: a", "inners: [{text: c}]", "a: &a [*a]", "<<: {}", "table: {a: 1}", "wait: 1s"} {
		f.Add(s)
	}
	var got config
	k := kind(&got)
	f.Fuzz(func(t *testing.T, text string) {
		var n yaml.Node
		if yaml.Unmarshal([]byte(text), &n) != nil {
			return
		}
		c, faults := k.Decode(&n)
		if len(faults) == 0 {
			if _, err := k.OpenSink(c, settings()); err != nil {
				t.Error(err)
			}
		}
	})
}
