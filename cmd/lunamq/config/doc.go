// Package config reads config.toml: strictly, with line and nearest key in each
// error, and all errors at once. It knows the file, the defaults (those of
// core.DefaultOptions) and how both become core's options; it opens nothing and
// starts nothing.
//
// A key is a field of Config. Its bounds are in the field's tags: range (ends
// included, written as in the file), oneof, and word, the word that stands in
// place of a number.
package config
