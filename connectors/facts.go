package connectors

import (
	"net/http"
	"strings"
	"time"
)

// ClassOf is what an HTTP status means (protocol.md 5.7), the same for every
// kind that speaks HTTP:
//
//	2xx            Accepted (if the body agrees, see ReadAnswer)
//	400, 413, 422  Permanent: something in the request; bisect
//	408, 429, 5xx  Transient
//	3xx            Stop: redirects are never followed; the address is wrong
//	other 4xx      Stop: the recipient refuses us, not the record
//	anything else  ClassNone: not an answer
func ClassOf(status int) Class {
	switch {
	case status >= 200 && status <= 299:
		return Accepted
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return Permanent
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return Transient
	case status >= 500 && status <= 599:
		return Transient
	case status >= 300 && status <= 499:
		return Stop
	}
	return ClassNone
}

// RetryAfter reads the value of a Retry-After header (RFC 9110 section
// 10.2.3): seconds or a date, compared with now. What is absurdly long counts
// as [MaxRetryAfter]; what is past, absent or not readable as 0.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds := 0
		for _, c := range value {
			if seconds = seconds*10 + int(c-'0'); seconds >= int(MaxRetryAfter/time.Second) {
				return MaxRetryAfter
			}
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
