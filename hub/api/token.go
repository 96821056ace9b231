package api

import (
	"context"
	"net/http"
	"net/url"
	"unicode/utf8"

	"raccordo/hub/access"
	"raccordo/hub/exchange"
)

const (
	tokenPath = "/v1/token.oauth2"
	mediaForm = "application/x-www-form-urlencoded"
)

type voucherJSON struct {
	Token string `json:"access_token"`
	Type  string `json:"token_type"`
	Life  int    `json:"expires_in"`
}

func (a *API) issueVoucher(ctx context.Context, c *call) (*answer, error) {
	refused := exchange.NewError(exchange.CodeMalformed, exchange.ReasonParameter, "the form is not what it must be")
	if !utf8.Valid(c.body) {
		return nil, refused
	}
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return nil, refused
	}
	var r access.TokenRequest
	for name, values := range form {
		if len(values) != 1 {
			return nil, refused
		}
		switch name {
		case "client_id":
			r.ClientID = values[0]
		case "client_assertion":
			r.Assertion = values[0]
		case "client_assertion_type":
			r.AssertionType = values[0]
		case "grant_type":
			r.GrantType = values[0]
		default:
			return nil, refused
		}
	}
	v, err := a.o.Tokens.Issue(ctx, r)
	if err != nil {
		return nil, err
	}
	return asJSON(http.StatusOK, voucherJSON{v.Token, "Bearer", wholeSeconds(v.Life, 1)})
}
