package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// copyField is the field by which a form asks what it would do, in place of doing it.
const copyField = "copy_as"

// isCopy tells whether a form asks for what it would do.
func (v *view) isCopy() bool { return v.isPost() && v.r.FormValue(copyField) != "" }

// renderCopy answers with the commands for what a form would do.
func (v *view) renderCopy(orders ...order) error {
	var commands, blocks []string
	for _, o := range orders {
		commands = append(commands, o.commands()...)
		if !o.gone {
			blocks = append(blocks, o.terraform())
		}
	}
	return v.render(copied(strings.Join(commands, "\n"), strings.Join(blocks, "\n\n")))
}

// commands are the openstack commands for an order: one, and another for what is to be taken away.
func (o order) commands() []string {
	last := []string{cmp.Or(o.id, o.parent)}
	if o.below != "" && o.id != "" {
		last = []string{o.parent, o.id}
	}
	verb := "create"
	switch {
	case o.gone && o.kind == balancerKind:
		return []string{lines([]string{"openstack " + o.command + " delete --cascade"}, last)}
	case o.gone:
		return []string{lines([]string{"openstack " + o.command + " delete"}, last)}
	case o.id != "":
		verb = "set"
	}
	words := []string{"openstack " + o.command + " " + verb}
	unset := []string{"openstack " + o.command + " unset"}
	for _, a := range o.attributes {
		value, there := o.in[a.name]
		switch {
		case !there || a.flag == "-" || o.id == "" && (value == nil || value == ""):
		case value == nil:
			unset = append(unset, "--"+unsetFlag(a))
		default:
			words = append(words, flags(cmp.Or(a.flag, dashed(a.name)), value)...)
		}
	}
	var all []string
	if len(words) > 1 || o.id == "" {
		all = append(all, lines(words, last))
	}
	if len(unset) > 1 {
		all = append(all, lines(unset, last))
	}
	return all
}

// lines puts the words of a command below each other, so that it can be read.
func lines(words []string, last []string) string {
	for _, id := range last {
		if id != "" {
			words = append(words, quoted(id))
		}
	}
	return strings.Join(words, " \\\n  ")
}

func dashed(name string) string { return strings.ReplaceAll(name, "_", "-") }

// unsetFlag is what the command line calls an attribute when it takes it away: a list is then in the plural.
func unsetFlag(a attribute) string {
	if strings.HasSuffix(a.name, "s") {
		return dashed(a.name)
	}
	return cmp.Or(a.flag, dashed(a.name))
}

// flags are the words that give an attribute a value. The value is behind an equals sign, so that one that begins with a
// dash is none.
func flags(flag string, value any) []string {
	switch value := value.(type) {
	case bool:
		if flag == "enable" && !value {
			return []string{"--disable"}
		}
		if value {
			return []string{"--" + flag}
		}
		return nil
	case []string:
		if flag == "sni-container-refs" { // the only one that takes several words
			return []string{"--" + flag + " " + strings.Join(quotedAll(value), " ")}
		}
		var all []string
		for _, one := range value {
			all = append(all, "--"+flag+"="+quoted(one))
		}
		return all
	}
	return []string{"--" + flag + "=" + quoted(flat(value))}
}

// flat is a value in one word: the pairs of a map are separated by commas.
func flat(value any) string {
	pairs := func(names []string, at func(string) any) string {
		all := make([]string, len(names))
		for i, name := range names {
			all[i] = fmt.Sprint(name, "=", at(name))
		}
		return strings.Join(all, ",")
	}
	switch value := value.(type) {
	case map[string]string:
		return pairs(slices.Sorted(maps.Keys(value)), func(name string) any { return value[name] })
	case body:
		names := slices.Sorted(maps.Keys(value))
		slices.Reverse(names) // a session's type before its cookie
		return pairs(names, func(name string) any { return value[name] })
	}
	return fmt.Sprint(value)
}

func quotedAll(words []string) []string {
	all := make([]string, len(words))
	for i, word := range words {
		all[i] = quoted(word)
	}
	return all
}

// quoted is a word that a shell takes as it is: nothing in it is expanded or ends it, and nothing that a terminal would obey
// or that changes the direction of writing is left in it. What needs escapes is in the form $'…' of bash, ksh and zsh.
func quoted(word string) string {
	isPlain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_./:@%+,=-", r))
	}
	switch {
	case word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !isPlain(r) }):
		return word
	case !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return "$'" + escaped(word, `'\`) + "'"
}

// escaped writes characters that cannot be printed as \n, \t, \uXXXX or \UXXXXXXXX, and puts a backslash before those of
// special, in the form that shells and HCL have in common.
func escaped(text, special string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case strings.ContainsRune(special, r):
			b.WriteString(`\` + string(r))
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// terraform is the block for an order.
func (o order) terraform() string {
	values := maps.Clone(o.in)
	maps.Copy(values, o.fixed)
	named := o.attributes
	if o.parentIn != "" && o.parent != "" && o.kind != floatingKind {
		values[o.parentIn] = o.parent
		named = append([]attribute{{name: o.parentIn}}, named...)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "resource %q %q {\n", o.resource, labelOf(values["name"]))
	for _, a := range named {
		if value := values[a.name]; a.terraform != "-" && value != nil && value != "" {
			b.WriteString(argument(cmp.Or(a.terraform, a.name), value))
		}
	}
	return b.String() + "}"
}

// argument is a line of a block, or a block in it.
func argument(name string, value any) string {
	switch value := value.(type) {
	case body:
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(value)) {
			b.WriteString("  " + argument(key, value[key]))
		}
		return "  " + name + " {\n" + b.String() + "  }\n"
	case map[string]string:
		var b strings.Builder
		for _, key := range slices.Sorted(maps.Keys(value)) {
			fmt.Fprintf(&b, "    %s = %s\n", literal(key), literal(value[key]))
		}
		return "  " + name + " = {\n" + b.String() + "  }\n"
	case []string:
		all := make([]string, len(value))
		for i, one := range value {
			all[i] = literal(one)
		}
		return "  " + name + " = [" + strings.Join(all, ", ") + "]\n"
	case int:
		return "  " + name + " = " + strconv.Itoa(value) + "\n"
	case bool:
		return "  " + name + " = " + strconv.FormatBool(value) + "\n"
	}
	return "  " + name + " = " + literal(fmt.Sprint(value)) + "\n"
}

// literal is a text in HCL, in which nothing is a template.
func literal(text string) string {
	return `"` + strings.NewReplacer("${", "$${", "%{", "%%{").Replace(escaped(text, `"\`)) + `"`
}

// labelOf is how a block is called: the object's name, as far as HCL allows.
func labelOf(name any) string {
	text, _ := name.(string)
	label := strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToLower(r)
		}
		return '_'
	}, text)
	label = strings.Trim(label, "_")
	if label == "" || unicode.IsDigit(rune(label[0])) {
		label = strings.TrimSuffix("this_"+label, "_")
	}
	return label[:min(len(label), 48)]
}
