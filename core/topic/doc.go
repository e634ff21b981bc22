// Package topic is MQTT's language of topics: names, filters, what matches
// what, and the two trees a broker looks things up in.
//
//   - [Filters] holds topic filters and is asked with a topic name: the
//     subscription tree.
//   - [Names] holds topic names and is asked with a topic filter: the retained
//     messages.
//
// It knows nothing of clients, sessions, messages or packets, and imports the
// standard library only.
//
// A topic is cut at '/' into levels; the level between two neighbouring
// slashes, before a leading and after a trailing one is the empty string and
// is a level like any other (MQTT 5, 4.7.1.1). A topic is at most 65 535 bytes
// long [MQTT-4.7.3-3], so it has at most 65 536 levels: nothing here recurses
// by levels, and nothing is quadratic in them (CVE-2019-11779).
//
// Everything but [CheckName] and [CheckFilter] takes topics that passed these.
// Others do no harm, but what they match is not specified. Strings passed in
// may be lent: the trees keep copies of what they need.
package topic
