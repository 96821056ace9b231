package demo

import (
	"context"
	"fmt"
	"slices"

	"raccordo/hub/client"
	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

// step is one scene: what is shown while it plays, and the play.
type step struct {
	title string
	play  func(*world, context.Context) error
}

// scenes are the scenario, in order. Each waits until what it is about has
// happened, so that the next one begins from a known state.
func scenes() []step {
	return []step{
		{"every service is asked for in every territory", (*world).everyService},
		{"a night's requests arrive at once, two of them spoilt", (*world).manyAtOnce},
		{"a mother with two children needs a bed tonight", (*world).motherAndChildren},
		{"health is told only with consent", (*world).consents},
		{"an emergency bed does not wait behind what waits", (*world).emergency},
		{"what cannot be accepted is refused with its pointer", (*world).refusals},
		{"a repeated push gets the same answer", (*world).repetition},
		{"no dossier, no data", (*world).dossiers},
		{"an STP code and a codice fiscale turn out to be one person", (*world).linked},
		{"benefits go to INPS", (*world).benefits},
		{"a recipient is down for a moment", (*world).outage},
	}
}

// scenario plays all scenes and then judges what everybody got.
func (w *world) scenario(ctx context.Context, show func(string)) error {
	for _, s := range scenes() {
		show(s.title)
		if err := s.play(w, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	show("everything is where it belongs")
	if err := w.settle(ctx); err != nil {
		return err
	}
	o := oracle{sent: w.sent, got: w.shelf.everything()}
	w.findings = o.judge()
	seen, err := w.senderViews(ctx)
	w.findings = append(w.findings, seen...)
	return err
}

// sending notes a request that was accepted.
func (w *world) sending(s *sent, err error) (*sent, error) {
	if err != nil {
		return nil, err
	}
	w.sent = append(w.sent, s)
	return s, nil
}

// refusing counts a request that was refused as it should be.
func (w *world) refusing(why exchange.Reason) { w.refused[why]++ }

// ask pushes a request of one person.
func (w *world) ask(ctx context.Context, d *desk, service, urgency string, persons ...deskPerson) (*sent, error) {
	return w.sending(d.push(ctx, d.request(service, urgency, persons...)))
}

// arrived waits until requests are where they are to end, and shown so to their
// senders.
func (w *world) arrived(ctx context.Context, list ...*sent) error {
	for _, s := range list {
		if err := w.until(ctx, "request "+s.ref+" is where it belongs", func(ctx context.Context) (bool, error) {
			w.poke()
			for system, f := range s.expected() {
				if f.arrives() && !w.shelf.has(system, s.ref) {
					return false, nil
				}
			}
			wrong, err := w.view(ctx, s)
			return len(wrong) == 0, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// shown is what a sender sees of a fate.
var shown = map[fate]string{fateDelivered: "delivered", fateWithheld: "not_released", fateHeld: "pending", fateParked: "failed",
	fateRejected: "failed"}

// roles in which systems receive.
var rolesOf = map[kind]exchange.Role{kindProvider: "service_provider", kindSocial: "social_service", kindWork: "employment_service",
	kindRegistry: "registry_office", kindHealth: "health_service", kindBenefitPayer: "benefit_payer"}

// view asks as the sender what became of a request, and says what is not as it
// should be.
func (w *world) view(ctx context.Context, s *sent) ([]string, error) {
	recipients, err := s.caller.status(ctx, s.typ, s.record)
	if err != nil {
		return nil, err
	}
	var wrong []string
	expected := s.expected()
	for system, f := range expected {
		i := slices.IndexFunc(recipients, func(r client.Recipient) bool {
			return r.Body == w.shelf.bodies[system] && r.Role == rolesOf[kinds[system]]
		})
		switch {
		case i < 0:
			wrong = append(wrong, fmt.Sprintf("request %s: its sender is not told of %s", s.ref, system))
		case recipients[i].State != shown[f]:
			wrong = append(wrong, fmt.Sprintf("request %s: at %s its sender sees %s, and it is %s", s.ref, system, recipients[i].State, f))
		case recipients[i].Reason != "" && kinds[system] != kindHealth:
			wrong = append(wrong, fmt.Sprintf("request %s: its sender sees why at %s", s.ref, system))
		}
	}
	if len(recipients) != len(expected) {
		wrong = append(wrong, fmt.Sprintf("request %s has %d recipients and must have %d", s.ref, len(recipients), len(expected)))
	}
	return wrong, nil
}

// senderViews asks about everything that was sent.
func (w *world) senderViews(ctx context.Context) ([]string, error) {
	var out []string
	for _, s := range w.sent {
		wrong, err := w.view(ctx, s)
		if err != nil {
			return out, err
		}
		out = append(out, wrong...)
	}
	return out, nil
}

// reasonShown is what the sender of s is told about a health service.
func (w *world) reasonShown(ctx context.Context, s *sent) (exchange.Reason, error) {
	recipients, err := s.caller.status(ctx, s.typ, s.record)
	for _, r := range recipients {
		if r.Role == "health_service" {
			return r.Reason, err
		}
	}
	return "", err
}

// settle waits until nothing is under way: what waits then waits for a consent.
func (w *world) settle(ctx context.Context) error {
	waiting := int64(w.waiting())
	return w.until(ctx, "nothing is under way", func(ctx context.Context) (bool, error) {
		w.poke()
		s, err := w.status(ctx)
		if err != nil || s.Behind > 0 {
			return false, err
		}
		sums := map[string]int64{}
		for _, states := range s.Flows {
			for state, n := range states {
				sums[state] += n
			}
		}
		idle := sums["pending"] == 0 && sums["claimed"] == 0
		return idle && (sums["waiting"] == waiting || w.loose), nil
	})
}

// waiting is how many records must be waiting now.
func (w *world) waiting() int {
	n := 0
	for _, s := range w.sent {
		for _, f := range s.expected() {
			if f == fateHeld {
				n++
			}
		}
	}
	return n
}

// link joins two codes of one person, as an officer does.
func (w *world) link(ctx context.Context, a, b control.Person) error {
	_, err := control.Call[control.Entry](ctx, w.control, "person/link", control.LinkRequest{A: a, B: b, Linked: true})
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	return nil
}
