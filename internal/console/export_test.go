package console

// Patterns are the methods and patterns of all pages, for tests that have to know every one.
func Patterns() (all [][2]string) {
	for _, p := range pages() {
		all = append(all, [2]string{p.method, p.pattern})
	}
	return all
}
