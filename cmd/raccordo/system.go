package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"raccordo/hub/control"
	"raccordo/hub/exchange"
)

func (p *process) system(ctx context.Context, args []string) error {
	return p.acts(ctx, args, `Systems of bodies and the public keys by which they show who they are; and the hub's own keys.`,
		act{"add-key", p.addKey}, act{"list", p.listSystems}, act{"rotate-keys", p.rotateKeys})
}

// maxKey bounds a key file.
const maxKey = 64 << 10

func (p *process) addKey(ctx context.Context, args []string) error {
	o := p.operator("system add-key", "SYSTEM FILE|-",
		`Brings the public key of a body's system in, as PEM or JWK (RSA, 2048 bits at least). From then on the system gets vouchers with it. A private
		key is refused: it never leaves its system.`,
		`raccordo system add-key oss_pistoia_desk desk.pub`)
	if err := o.parse(args, 2, 2); err != nil {
		return err
	}
	key, err := o.p.input(o.args[1], maxKey)
	if err != nil {
		return err
	}
	if isPrivate(key) {
		return errors.New("this is a private key, which never leaves its system: give the public one, as raccordo token --new-key --out FILE writes it")
	}
	got, err := ask[control.System](ctx, o, "system/add-key", control.KeyRequest{System: exchange.SystemID(o.args[0]), Key: key})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		fmt.Fprintf(w, "%s has %s: %s\n", got.System, count(len(got.Keys), "key"), strings.Join(got.Keys, " "))
		table(w, [][]string{{"client id", got.Client}})
		for _, id := range slices.Sorted(maps.Keys(got.Purposes)) {
			fmt.Fprintf(w, "purpose id %s: %s\n", id, got.Purposes[id])
		}
	})
}

// isPrivate is whether what should be a public key is, or holds, a private one.
func isPrivate(key []byte) bool {
	for rest := key; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return true
		}
	}
	var jwk struct {
		D json.RawMessage `json:"d"`
	}
	return json.Unmarshal(key, &jwk) == nil && len(jwk.D) > 0
}

func (p *process) listSystems(ctx context.Context, args []string) error {
	o := p.operator("system list", "", `Lists the network's systems: client ids, keys, what they push, how they receive; and where they ask for vouchers.`,
		`raccordo system list`)
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	got, err := ask[control.Systems](ctx, o, "system/list", control.Nothing{})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		fmt.Fprintf(w, "token endpoint: %s\n\n", got.TokenEndpoint)
		rows := [][]string{{"SYSTEM", "BODY", "CLIENT ID", "KEYS", "PUSHES", "RECEIVES BY"}}
		for _, s := range got.Systems {
			rows = append(rows, []string{string(s.System), string(s.Body), dash(s.Client), fmt.Sprint(len(s.Keys)), dash(strings.Join(s.Produces, " ")), dash(s.Receives)})
		}
		table(w, rows)
	})
}

func (p *process) rotateKeys(ctx context.Context, args []string) error {
	o := p.operator("system rotate-keys", "--keys signing|digest|voucher",
		`Makes a new key of the hub's own and goes over to it. A new signing key is announced in the ledger under the old one, so that who holds the
		first key can verify what comes later; vouchers under the old voucher key are good until they expire; persons' digests are made anew when
		they are next seen.`,
		`raccordo system rotate-keys --keys signing`)
	keys := o.flags.String("keys", "", "`WHICH` keys: signing, digest or voucher")
	if err := o.parse(args, 0, 0); err != nil {
		return err
	}
	if err := o.required("keys"); err != nil {
		return err
	}
	if !slices.Contains([]string{"signing", "digest", "voucher"}, *keys) {
		return usagef("--keys must be signing, digest or voucher")
	}
	got, err := ask[control.Entry](ctx, o, "keys/rotate", control.RotateRequest{Keys: *keys})
	if err != nil {
		return err
	}
	return o.show(got, func(w io.Writer) {
		fmt.Fprintf(w, "a new %s key is in use", *keys)
		if got.Seq > 0 {
			fmt.Fprintf(w, ", announced in ledger entry %d", got.Seq)
		}
		fmt.Fprintln(w)
	})
}

// input reads a file, or standard input for -.
func (p *process) input(name string, limit int64) ([]byte, error) {
	if name != "-" {
		return readBounded(name, limit)
	}
	b, err := io.ReadAll(io.LimitReader(p.stdin, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, usagef("standard input is larger than %d bytes", limit)
	}
	return b, nil
}
