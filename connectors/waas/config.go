package waas

import (
	"regexp"
	"strings"

	"raccordo/connectors"
	"raccordo/hub/exchange"
)

// Config is what stands in the network for INPS's system.
type Config struct {
	Base   string            `yaml:"base" doc:"Path under which every body's e-service hangs, as <base>/<belfiore in lower case>/v1."`
	Bodies []Body            `yaml:"bodies" doc:"The bodies whose flows are served, one e-service each."`
	Types  map[string]string `yaml:"types" doc:"Kind of flow per record type: PS_PSA_SINA or SINBA."`
}

// Body is one body on whose behalf the hub serves the e-service.
type Body struct {
	Body     string `yaml:"body" doc:"Its name in the network."`
	Belfiore string `yaml:"belfiore" doc:"Its Belfiore (cadastral) code, codice_ente."`
	Name     string `yaml:"name" doc:"Its name in full, denominazione_ente, at most 256 characters."`
}

func defaults() Config {
	return Config{Base: "/waas", Types: map[string]string{"social_benefit": "PS_PSA_SINA"}}
}

var (
	basePath = regexp.MustCompile(`^(/[a-z0-9]+(-[a-z0-9]+)*){1,4}$`)
	belfiore = regexp.MustCompile(`^[A-Z][0-9]{3}$`) // Flusso.codice_ente of the OpenAPI
)

// shortType is TIPO inside an id_flusso.
func shortType(tipo string) string {
	return map[string]string{"PS_PSA_SINA": "PS", "SINBA": "SINBA"}[tipo]
}

// Validate finds everything that cannot work.
func (c Config) Validate() []exchange.Fault {
	var faults []exchange.Fault
	add := func(p exchange.Pointer, rule string) {
		faults = append(faults, exchange.Fault{Pointer: p, Rule: rule})
	}
	if !basePath.MatchString(c.Base) {
		add("/base", "must be a path of kebab-case words, like /waas")
	}
	if len(c.Bodies) == 0 || len(c.Bodies) > 1000 {
		add("/bodies", "must name 1 to 1000 bodies")
	}
	codes, bodies := map[string]bool{}, map[string]bool{}
	for i, b := range c.Bodies {
		at := exchange.Pointer("/bodies").Index(i)
		if !exchange.ValidName(b.Body) || bodies[b.Body] {
			add(at.Append("body"), "must be the name of a body in the network, each once")
		}
		if !belfiore.MatchString(b.Belfiore) || codes[b.Belfiore] {
			add(at.Append("belfiore"), "must be a letter and three digits, each code once")
		}
		if n := len([]rune(b.Name)); n == 0 || n > 256 || strings.TrimSpace(b.Name) != b.Name {
			add(at.Append("name"), "must have 1 to 256 characters and no space at its ends")
		}
		codes[b.Belfiore], bodies[b.Body] = true, true
	}
	if len(c.Types) == 0 {
		add("/types", "must name at least one record type")
	}
	for t, tipo := range c.Types {
		if !exchange.ValidName(t) || shortType(tipo) == "" {
			add("/types", "must give PS_PSA_SINA or SINBA for names of record types")
		}
	}
	return faults
}

// Kind declares the connector.
func Kind() connectors.Kind {
	return connectors.NewKind("waas", "Lets INPS fetch SIUSS flows the WaaS way and takes its outcomes.", defaults,
		connectors.WithOutlet(open), connectors.WithStability[Config](connectors.Stable))
}
