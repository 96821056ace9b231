package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

func (p *process) token(ctx context.Context, args []string) error {
	c := p.caller("token", "--as SYSTEM --key FILE",
		`Asks for a voucher in the name of a system and prints it, for use as "Authorization: Bearer ...". With --new-key it makes the system's key
		instead, writes it to --key for its owner only, and prints the public part, which an operator brings in with raccordo system add-key.`,
		`raccordo token --as oss_pistoia_desk --key desk.key --new-key --out desk.pub
		raccordo system add-key oss_pistoia_desk desk.pub
		raccordo token --as oss_pistoia_desk --key desk.key`)
	var fresh bool
	var out string
	c.flags.BoolVar(&fresh, "new-key", false, "make a key instead of asking for a voucher")
	c.flags.StringVar(&out, "out", "", "write the new key's public part to this `FILE`; default: print it")
	if err := c.parse(args, 0, 0); err != nil {
		return err
	}
	if fresh {
		public, err := c.newKey()
		if err != nil {
			return err
		}
		if out != "" {
			return os.WriteFile(out, public, 0o644)
		}
		return c.show(map[string]string{"public_key": string(public)}, func(w io.Writer) { fmt.Fprintf(w, "%s", public) })
	}
	caller, err := c.client()
	if err != nil {
		return err
	}
	v, err := caller.Voucher(ctx)
	if err != nil {
		return c.where(err)
	}
	shown := map[string]string{"access_token": v.Token, "token_type": "Bearer", "expires_at": instant(v.Expires)}
	return c.show(shown, func(w io.Writer) { fmt.Fprintln(w, v.Token) })
}
