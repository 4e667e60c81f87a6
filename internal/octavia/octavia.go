// Package octavia is the Octavia v2 wire.
package octavia
