package crashtest_test

import (
	"bytes"
	"context"
	"os"
	"syscall"

	"raccordo/connectors"
)

// fatalKind is a connector of somebody else's: it accepts everything and keeps
// nothing, and dies of one record as no recover can catch.
func fatalKind() connectors.Kind {
	type none struct{}
	return connectors.NewKind("fatal", "Dies of a marked record.", func() none { return none{} },
		connectors.WithSink(func(none, connectors.Settings) (connectors.Sink, error) { return fatalSink{}, nil }))
}

type fatalSink struct{}

func (fatalSink) Send(_ context.Context, p connectors.Parcel) (connectors.Result, error) {
	for _, x := range p.Items {
		if bytes.Contains(x.Body.Reveal(), []byte(fatalMarker)) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	return connectors.Result{Overall: connectors.Answered, Class: connectors.Accepted}, nil
}

func (fatalSink) Close(context.Context) error { return nil }
