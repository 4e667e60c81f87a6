// Package guide is a guided tour: the commands that a newcomer types to get a TCP load balancer, as a file that says what
// each of them must print, and what is needed to type them for real: a shell, a server, and a reader of tables.
//
// The demonstration shows the tour to people; the acceptance test holds the server to it.
package guide

import (
	_ "embed"
	"fmt"
	"strings"
	"time"
)

//go:embed guide.txt
var text string

//go:embed https.txt
var httpsText string

// Part is a chapter of the tour.
type Part struct {
	Title string
	Steps []Step
}

// Step is one command.
type Step struct {
	Remark  string // "": none
	Command string
	// Within is how long the command may be repeated until it prints what it must; 0: it must at once.
	Within time.Duration
	Want   Want
}

// Place is where the tour takes place.
type Place struct {
	Region   string
	Loopback bool // the lab's addresses are inside 127.0.0.0/8
}

// FloatingIP is the address that the tour gives to its load balancer.
func (p Place) FloatingIP() string { return p.fill("198.51.100.129") }

// Member is the address of the first of the tour's two servers, which the tour stops and starts.
func (p Place) Member() string { return p.fill("10.15.25.105") }

func (p Place) fill(text string) string {
	text = strings.ReplaceAll(text, "{region}", strings.ToLower(p.Region))
	if p.Loopback {
		text = strings.NewReplacer("10.15.25.", "127.15.25.", "198.51.100.", "127.51.100.").Replace(text)
	}
	return text
}

// Tour returns the parts as they are typed in a place.
func Tour(p Place) ([]Part, error) { return parse(p.fill(text)) }

// HTTPS returns the parts of the guide to HTTPS load balancers as they are typed in a place. Its servers need namespaces.
func HTTPS(p Place) ([]Part, error) { return parse(p.fill(httpsText)) }

// parse reads the form that the head of guide.txt describes.
func parse(text string) ([]Part, error) {
	r := reader{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		for strings.HasPrefix(line, "$ ") && strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line += "\n" + lines[i]
		}
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("guide, line %d: %w", i+1, err)
		}
	}
	return r.parts, nil
}

type reader struct {
	parts []Part
	next  Step // what is said of the step before its command
}

func (r *reader) line(line string) error {
	mark, rest, _ := strings.Cut(line, " ")
	switch mark {
	case "", "#":
		return nil
	case "==":
		r.parts = append(r.parts, Part{Title: rest})
		return nil
	case ">":
		r.next.Remark = rest
		return nil
	case "%":
		var err error
		r.next.Within, err = time.ParseDuration(rest)
		return err
	case "$":
		if len(r.parts) == 0 {
			return fmt.Errorf("a command before the first part")
		}
		part := &r.parts[len(r.parts)-1]
		r.next.Command = rest
		part.Steps = append(part.Steps, r.next)
		r.next = Step{}
		return nil
	}
	want := r.want()
	if want == nil {
		return fmt.Errorf("%q belongs to no command", line)
	}
	return want.line(mark, rest)
}

// want is what the last command must print, nil before the first command.
func (r *reader) want() *Want {
	if len(r.parts) == 0 {
		return nil
	}
	steps := r.parts[len(r.parts)-1].Steps
	if len(steps) == 0 {
		return nil
	}
	return &steps[len(steps)-1].Want
}
