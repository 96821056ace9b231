package exchange

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// canary must appear nowhere.
const canary = "CANARY-RSSMRA80A01H501U"

// holders are things that carry a payload or a tree, as code would.
func holders() map[string]any {
	p, tree := NewPayload([]byte(canary)), NewTree(map[string]any{canary: []any{canary, json.Number("1")}})
	type inside struct {
		Name    string
		payload Payload
		Shown   Payload
		tree    Tree
		Tree    Tree
	}
	in := inside{"x", p, p, tree, tree}
	return map[string]any{
		"payload": p, "payload pointer": &p, "tree": tree, "tree pointer": &tree, "struct": in, "struct pointer": &in,
		"slice": []Payload{p}, "trees": []Tree{tree}, "map": map[string]any{"p": p, "t": tree, "in": in},
		"nested": []any{&in, []inside{in}}, "error": NewError(CodeInternal, ReasonInternal, "x").Because(fmt.Errorf("with %v and %+v", p, tree)),
	}
}

func TestNothingShowsAPayload(t *testing.T) {
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%t", "%e", "%b", "%o", "%08s", "%-20v", "%T", "%p", "%w"}
	canaries := []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))}
	check := func(how, out string) {
		t.Helper()
		for _, c := range append(canaries, strings.Trim(canaries[3], "[]")) {
			if strings.Contains(out, c) {
				t.Errorf("%s shows the canary: %s", how, out)
			}
		}
	}
	for name, v := range holders() {
		for _, verb := range verbs {
			check(name+" "+verb, fmt.Sprintf(verb, v))
			check(name+" "+verb, fmt.Errorf(verb, v).Error())
		}
		check(name+" Sprint", fmt.Sprint(v)+fmt.Sprintln(v))
		if b, err := json.Marshal(v); err == nil {
			check(name+" json", string(b))
		}
		if b, err := yaml.Marshal(v); err == nil {
			check(name+" yaml", string(b))
		}
		if b, err := xml.Marshal(v); err == nil {
			check(name+" xml", string(b))
		}
		var buf bytes.Buffer
		if err := gob.NewEncoder(&buf).Encode(v); err == nil {
			check(name+" gob", buf.String())
		}
		var logs bytes.Buffer
		slog.New(slog.NewJSONHandler(&logs, nil)).Info("x", "v", v, slog.Any("w", v), slog.Group("g", "v", v))
		slog.New(slog.NewTextHandler(&logs, nil)).Info("x", "v", v)
		log.New(&logs, "", 0).Print(v)
		check(name+" log", logs.String())
	}
}

// A payload that nobody shows can still be used.
func TestPayloadReveals(t *testing.T) {
	p := NewPayload([]byte(canary))
	if string(p.Reveal()) != canary || p.Len() != len(canary) {
		t.Error("the payload is not what was hidden")
	}
	if (Payload{}).Reveal() != nil || (Payload{}).Len() != 0 || (Tree{}).Value() != nil || (Tree{}).Object() != nil {
		t.Error("the zero value hides something")
	}
	if got := fmt.Sprint(p); got != hidden {
		t.Errorf("a payload prints as %q", got)
	}
}

func TestErrorsSayNothing(t *testing.T) {
	for name, err := range map[string]error{
		"id": func() error { _, err := ParseSubjectID(canary); return err }(), "name": func() error { _, err := ParseName[FlowID](canary); return err }(),
		"state": func() error { _, err := ParseState(canary); return err }(), "class": func() error { _, err := ParseClass(canary); return err }(),
		"digest": new(Digest).UnmarshalText([]byte(canary)), "fact": DecodeFact([]byte(`{"x":"`+canary+`"}`), &StopFact{}),
	} {
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("cause")
	e := NewError(CodeInvalid, ReasonSchema, "does not fit", Fault{Pointer: "/a", Rule: "required"}, Fault{Pointer: "/b", Rule: "type"},
		Fault{Rule: "x"}, Fault{Rule: "y"}, Fault{Rule: "z"})
	got := e.Because(cause).After(3)
	if got.Error() != "schema: does not fit [/a required] [/b type] [ x] (and 2 more)" {
		t.Errorf("%q", got.Error())
	}
	if !errors.Is(got, cause) || got.RetryAfter != 3 || e.RetryAfter != 0 || errors.Unwrap(e) != nil {
		t.Error("Because or After changed the original, or lost the cause")
	}
	if AsError(fmt.Errorf("around: %w", got)) != got {
		t.Error("AsError does not find the error")
	}
	if x := AsError(cause); x.Code != CodeInternal || x.Reason != ReasonInternal || !errors.Is(x, cause) {
		t.Errorf("%+v", x)
	}
}
