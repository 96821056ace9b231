package consent

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/hub/exchange"
)

var now = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC).UnixMilli()

const day = int64(24 * time.Hour / time.Millisecond)

func giveAt(at int64) *GiveRequest {
	return &GiveRequest{
		ID:          exchange.ConsentID{9},
		Scope:       Scope{exchange.SubjectID{1}, "health_escort", "sds_pistoiese", exchange.RoleHealthService},
		RecordTypes: []exchange.RecordType{"social_benefit", "service_request"},
		Notice:      Notice{"notice_health", "1", "it", exchange.Digest{1}},
		ExpiresAt:   at + 30*day,
		Act:         Act{By: BySubject, Method: MethodPaper, At: at, RecordedBy: "desk"},
	}
}

func actBy(by By, at int64) *Act { return &Act{By: by, Method: MethodSPID, At: at} }

// in is a consent in a state, as Known after entry 7.
func in(s Status) *Known {
	if s == "" {
		return nil
	}
	r := Record{ID: exchange.ConsentID{1}, Scope: giveAt(now).Scope, Status: s, At: now - 2*day, By: BySubject,
		Method: MethodPaper, GivenAt: now - 3*day, ExpiresAt: now + day, GivenSeq: 5}
	if s.Permits() {
		r.GivenSeq = 0
	}
	if s == StatusRequested || s == StatusUnknown || s == StatusRefused {
		r.GivenAt, r.GivenSeq, r.ExpiresAt = 0, 0, 0
	}
	return &Known{r, 7}
}

func lapsed() *Known { k := in(StatusGiven); k.ExpiresAt = now; return k }

// TestTransitions is the table in change.go.
func TestTransitions(t *testing.T) {
	acts := map[string]func(*Known) (*Record, error){
		"request":    func(k *Known) (*Record, error) { return Request(k, giveAt(now), now) },
		"give":       func(k *Known) (*Record, error) { return Give(k, giveAt(now), now) },
		"refuse":     func(k *Known) (*Record, error) { return Refuse(k, giveAt(now), now) },
		"withdraw":   func(k *Known) (*Record, error) { return Withdraw(k, actBy(BySubject, now), now) },
		"revoke":     func(k *Known) (*Record, error) { return Revoke(k, actBy(ByOperator, now), now) },
		"invalidate": func(k *Known) (*Record, error) { return Invalidate(k, actBy(ByOperator, now), now) },
		"expire":     func(k *Known) (*Record, error) { return Expire(k, now) },
	}
	order := []string{"request", "give", "refuse", "withdraw", "revoke", "invalidate", "expire"}
	for _, c := range []struct {
		from *Known
		to   [7]Status
	}{
		{nil, [7]Status{"requested", "given", "refused"}},
		{in(StatusUnknown), [7]Status{"requested", "given", "refused"}},
		{in(StatusRequested), [7]Status{"", "given", "refused"}},
		{in(StatusGiven), [7]Status{"", "renewed", "", "withdrawn", "revoked", "invalidated"}},
		{in(StatusRenewed), [7]Status{"", "renewed", "", "withdrawn", "revoked", "invalidated"}},
		{lapsed(), [7]Status{"requested", "renewed", "refused", "withdrawn", "revoked", "invalidated", "expired"}},
		{in(StatusExpired), [7]Status{"requested", "renewed", "refused", "withdrawn", "revoked", "invalidated"}},
		{in(StatusRefused), [7]Status{"", "given"}},
		{in(StatusWithdrawn), [7]Status{"", "given", "refused"}},
		{in(StatusRevoked), [7]Status{"", "given", "refused"}},
		{in(StatusInvalidated), [7]Status{"", "given", "refused"}},
	} {
		for i, name := range order {
			var before Known
			from := Status("")
			if c.from != nil {
				before, from = *c.from, c.from.Status
			}
			r, err := acts[name](c.from)
			if want := c.to[i]; want == "" {
				if e := exchange.AsError(err); e.Code != exchange.CodeConflict || e.Reason != exchange.ReasonConsentState {
					t.Errorf("%q %s: %v", from, name, err)
				}
				continue
			} else if err != nil || r.Status != want {
				t.Errorf("%q %s: %v, want %s", from, name, err, want)
				continue
			}
			if _, err := AppendEvent(nil, r); err != nil {
				t.Errorf("%q %s: the record cannot be written: %v", from, name, err)
			}
			if c.from != nil {
				if r.Scope != c.from.Scope || !r.Status.Permits() && r.GivenSeq != before.givenSeq() {
					t.Errorf("%q %s: scope or give lost: %d", from, name, r.GivenSeq)
				}
				same := !c.from.Status.Restricts() && from != StatusUnknown
				if (r.ID == c.from.ID) != same {
					t.Errorf("%q %s: the same consent: %t", from, name, r.ID == c.from.ID)
				}
				if c.from.Status != before.Status || c.from.At != before.At {
					t.Errorf("%q %s: what was known was changed", from, name)
				}
			}
		}
	}
}

func TestWhoEnds(t *testing.T) {
	for _, by := range []By{BySubject, ByRepresentative, ByOperator, "", "HUB"} {
		_, withdraw := Withdraw(in(StatusGiven), actBy(by, now), now)
		_, revoke := Revoke(in(StatusGiven), actBy(by, now), now)
		_, invalidate := Invalidate(in(StatusGiven), actBy(by, now), now)
		if (withdraw == nil) != (by == BySubject) {
			t.Errorf("%q withdraws: %v", by, withdraw)
		}
		other := by == ByRepresentative || by == ByOperator
		if (revoke == nil) != other || (invalidate == nil) != other {
			t.Errorf("%q revokes: %v; invalidates: %v", by, revoke, invalidate)
		}
	}
}

func TestPermits(t *testing.T) {
	k := in(StatusGiven)
	for at, want := range map[int64]exchange.Reason{now: exchange.ReasonPermitted, k.ExpiresAt - 1: exchange.ReasonPermitted,
		k.ExpiresAt: exchange.ReasonConsentExpired, k.ExpiresAt + 1: exchange.ReasonConsentExpired} {
		if got := k.Reason(at); got != want || k.Permits(at) != (want == exchange.ReasonPermitted) {
			t.Errorf("%d ms before its end: %s", k.ExpiresAt-at, got)
		}
	}
	k.ExpiresAt = 0
	if !k.Permits(now + 100*365*day) {
		t.Error("a consent without end ended")
	}
	for s, want := range map[Status]exchange.Reason{StatusUnknown: exchange.ReasonConsentMissing, StatusRequested: exchange.ReasonConsentMissing,
		StatusRefused: exchange.ReasonConsentRefused, StatusRenewed: exchange.ReasonPermitted, StatusExpired: exchange.ReasonConsentExpired,
		StatusWithdrawn: exchange.ReasonConsentWithdrawn, StatusRevoked: exchange.ReasonConsentRevoked,
		StatusInvalidated: exchange.ReasonConsentRevoked} {
		if got := in(s).Reason(now); got != want || in(s).Permits(now) != (want == exchange.ReasonPermitted) {
			t.Errorf("%s: %s", s, got)
		}
		// An expiry changes nothing about what was not given.
		k := in(s)
		k.ExpiresAt = 1
		if got := k.Reason(now); s != StatusRenewed && got != want {
			t.Errorf("%s long ago: %s", s, got)
		}
	}
	var zero Record
	if zero.Permits(now) || zero.Reason(now) != exchange.ReasonConsentMissing {
		t.Error("the zero record permits")
	}
}

func TestNarrow(t *testing.T) {
	clause := exchange.NewCategorySet(1, 2, 3)
	var r Record
	if r.Narrow(clause) != clause || !r.Covers("anything") {
		t.Error("nothing named narrows")
	}
	r.Categories, r.RecordTypes = exchange.NewCategorySet(2, 9), []exchange.RecordType{"a"}
	if r.Narrow(clause) != exchange.NewCategorySet(2) || r.Covers("b") || !r.Covers("a") {
		t.Error("a consent is wider than what was agreed, or than the clause")
	}
}

// TestStaleGive: a yes that was overtaken does not undo a later withdrawal; a
// no counts in any order.
func TestStaleGive(t *testing.T) {
	withdrawn := in(StatusWithdrawn)
	withdrawn.At = now - day
	if _, err := Give(withdrawn, giveAt(now-2*day), now); exchange.AsError(err).Code != exchange.CodeConflict {
		t.Errorf("a stale yes: %v", err)
	}
	if _, err := Give(withdrawn, giveAt(now-day/2), now); err != nil {
		t.Errorf("a newer yes: %v", err)
	}
	given := in(StatusGiven)
	if r, err := Withdraw(given, actBy(BySubject, given.At-day), now); err != nil || r.Status != StatusWithdrawn {
		t.Errorf("a no dated earlier: %v", err)
	}
	// That time was over, or that a question was asked, is no decision.
	expired := in(StatusExpired)
	expired.At, expired.GivenAt = now, now-40*day
	if _, err := Give(expired, giveAt(now-day), now); err != nil {
		t.Errorf("a yes from before the expiry was typed in: %v", err)
	}
	requested := in(StatusRequested)
	requested.At = now
	if _, err := Give(requested, giveAt(now-day), now); err != nil {
		t.Errorf("a yes from before the question was typed in: %v", err)
	}
}

// TestGiveValidation: every fault is named, with its pointer, and nothing else.
func TestGiveValidation(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*GiveRequest)
		fault  exchange.Fault
	}{
		"sound":             {func(*GiveRequest) {}, exchange.Fault{}},
		"no end":            {func(q *GiveRequest) { q.ExpiresAt = 0 }, exchange.Fault{}},
		"clock ahead":       {func(q *GiveRequest) { q.Act.At = now + Leeway.Milliseconds() }, exchange.Fault{}},
		"ten years":         {func(q *GiveRequest) { q.ExpiresAt = time.UnixMilli(now).UTC().AddDate(10, 0, 0).UnixMilli() }, exchange.Fault{}},
		"in the future":     {func(q *GiveRequest) { q.Act.At = now + Leeway.Milliseconds() + 1 }, exchange.Fault{Pointer: "/at", Rule: "not_in_future"}},
		"without a moment":  {func(q *GiveRequest) { q.Act.At, q.ExpiresAt = 0, 0 }, exchange.Fault{Pointer: "/at", Rule: "required"}},
		"longer":            {func(q *GiveRequest) { q.ExpiresAt = time.UnixMilli(now).UTC().AddDate(10, 0, 0).UnixMilli() + 1 }, exchange.Fault{Pointer: "/expires_at", Rule: "max_10_years"}},
		"ends as it begins": {func(q *GiveRequest) { q.ExpiresAt = q.Act.At }, exchange.Fault{Pointer: "/expires_at", Rule: "after_given"}},
		"is over already":   {func(q *GiveRequest) { q.Act.At = now - 2*day; q.ExpiresAt = now }, exchange.Fault{Pointer: "/expires_at", Rule: "after_given"}},
		"negative end":      {func(q *GiveRequest) { q.ExpiresAt = -1 }, exchange.Fault{Pointer: "/expires_at", Rule: "after_given"}},
		"no id":             {func(q *GiveRequest) { q.ID = exchange.ConsentID{} }, exchange.Fault{Pointer: "/consent_id", Rule: "required"}},
		"no subject":        {func(q *GiveRequest) { q.Scope.Subject = exchange.SubjectID{} }, exchange.Fault{Pointer: "/subject", Rule: "required"}},
		"purpose":           {func(q *GiveRequest) { q.Scope.Purpose = "Salute" }, exchange.Fault{Pointer: "/purpose", Rule: "name"}},
		"body":              {func(q *GiveRequest) { q.Scope.Body = "" }, exchange.Fault{Pointer: "/recipient/body", Rule: "name"}},
		"role":              {func(q *GiveRequest) { q.Scope.Role = "king" }, exchange.Fault{Pointer: "/recipient/role", Rule: "role"}},
		"types":             {func(q *GiveRequest) { q.RecordTypes = []exchange.RecordType{"a", "a"} }, exchange.Fault{Pointer: "/record_types", Rule: "record_types"}},
		"notice":            {func(q *GiveRequest) { q.Notice.ID = "" }, exchange.Fault{Pointer: "/notice/id", Rule: "name"}},
		"version":           {func(q *GiveRequest) { q.Notice.Version = "a b" }, exchange.Fault{Pointer: "/notice/version", Rule: "version"}},
		"language":          {func(q *GiveRequest) { q.Notice.Language = "it-IT" }, exchange.Fault{Pointer: "/notice/language", Rule: "language"}},
		"hash":              {func(q *GiveRequest) { q.Notice.Hash = exchange.Digest{} }, exchange.Fault{Pointer: "/notice/hash", Rule: "required"}},
		"by":                {func(q *GiveRequest) { q.Act.By = "" }, exchange.Fault{Pointer: "/by", Rule: "enum"}},
		"method":            {func(q *GiveRequest) { q.Act.Method = "FAX" }, exchange.Fault{Pointer: "/method", Rule: "enum"}},
		"recorder":          {func(q *GiveRequest) { q.Act.RecordedBy = "A B" }, exchange.Fault{Pointer: "/recorded_by", Rule: "name"}},
	} {
		q := giveAt(now)
		c.change(q)
		err := q.Validate(now)
		if c.fault.Rule == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		e := exchange.AsError(err)
		if e.Code != exchange.CodeInvalid || len(e.Faults) != 1 || e.Faults[0] != c.fault {
			t.Errorf("%s: %v, want %v", name, err, c.fault)
		}
		if _, err := Give(nil, q, now); !errors.As(err, &e) {
			t.Errorf("%s was given", name)
		}
	}
	if e := exchange.AsError((&GiveRequest{}).Validate(now)); len(e.Faults) < 8 {
		t.Errorf("of an empty request only %d faults are named", len(e.Faults))
	}
}

// TestMachine walks at random and keeps a model: whether the person's last word
// is yes, and until when.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var known *Known
		var yes, no bool // the last word, if any
		var until int64
		clock, seq, id := now, uint64(0), byte(0)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			clock += rapid.Int64Range(0, 3*day).Draw(t, "pause")
			id++
			q := giveAt(clock)
			q.ID = exchange.ConsentID{id}
			q.ExpiresAt = clock + rapid.Int64Range(1, 5*day).Draw(t, "for")
			if rapid.IntRange(0, 4).Draw(t, "endless") == 0 {
				q.ExpiresAt = 0
			}
			var r *Record
			var err error
			act := rapid.SampledFrom([]string{"request", "give", "refuse", "withdraw", "revoke", "invalidate", "expire"}).Draw(t, "act")
			inForce := yes && (until == 0 || clock < until)
			switch act {
			case "request":
				r, err = Request(known, q, clock)
			case "give":
				if r, err = Give(known, q, clock); err != nil {
					t.Fatalf("a yes was refused: %v", err)
				}
				yes, no, until = true, false, q.ExpiresAt
			case "refuse":
				if r, err = Refuse(known, q, clock); err == nil {
					if inForce {
						t.Fatal("what is in force was refused instead of withdrawn")
					}
					yes, no = false, true
				}
			case "withdraw", "revoke", "invalidate":
				f, by := Withdraw, BySubject
				if act == "revoke" {
					f, by = Revoke, ByOperator
				} else if act == "invalidate" {
					f, by = Invalidate, ByRepresentative
				}
				r, err = f(known, actBy(by, clock), clock)
				if inForce && err != nil {
					t.Fatalf("%s of what is in force: %v", act, err)
				}
				if err == nil {
					yes, no = false, true
				}
			case "expire":
				if r, err = Expire(known, clock); err == nil && inForce {
					t.Fatal("expired before its time")
				}
			}
			if err != nil {
				if exchange.AsError(err).Reason != exchange.ReasonConsentState {
					t.Fatalf("%s: %v", act, err)
				}
			} else {
				seq++
				b, err := AppendEvent(nil, r)
				if err != nil {
					t.Fatalf("%s: %v", act, err)
				}
				if known, err = Read(seq, b); err != nil {
					t.Fatalf("%s: %v", act, err)
				}
			}
			if known == nil {
				continue
			}
			for _, at := range []int64{clock, clock + day} {
				want := yes && (until == 0 || at < until)
				if known.Permits(at) != want || (known.Reason(at) == exchange.ReasonPermitted) != want {
					t.Fatalf("after %s it permits: %t, the last word was yes: %t", act, known.Permits(at), want)
				}
			}
			if no != known.Status.Restricts() {
				t.Fatalf("after %s: %s, the last word was no: %t", act, known.Status, no)
			}
		}
	})
}
