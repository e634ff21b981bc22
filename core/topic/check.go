package topic

import (
	"errors"
	"strings"
)

// MaxLen is the longest topic name or filter in bytes [MQTT-4.7.3-3].
const MaxLen = 65535

var (
	errNameEmpty    = errors.New("topic name is empty")
	errNameLong     = errors.New("topic name is longer than 65535 bytes")
	errNameNull     = errors.New("topic name contains U+0000")
	errNameWildcard = errors.New("topic name contains a wildcard, + or #")

	errFilterEmpty   = errors.New("topic filter is empty")
	errFilterLong    = errors.New("topic filter is longer than 65535 bytes")
	errFilterNull    = errors.New("topic filter contains U+0000")
	errFilterHashOwn = errors.New("topic filter has # beside other characters: # stands alone in its level")
	errFilterHashEnd = errors.New("topic filter goes on after #: # is the last level")
	errFilterPlusOwn = errors.New("topic filter has + beside other characters: + stands alone in its level")

	errShareShort  = errors.New("shared subscription has no filter: want $share/group/filter")
	errShareGroup  = errors.New("shared subscription has an empty group: want $share/group/filter")
	errShareLetter = errors.New("shared subscription has + or # in its group")
	errShareFilter = errors.New("shared subscription has an empty filter: want $share/group/filter")
)

// CheckName says what is wrong with a topic name, or nil. It does not look at
// the encoding: UTF-8 is checked where bytes become strings.
func CheckName(name string) error {
	switch {
	case name == "": // [MQTT-4.7.3-1]
		return errNameEmpty
	case len(name) > MaxLen: // [MQTT-4.7.3-3]
		return errNameLong
	}
	for i := range len(name) {
		switch name[i] {
		case '+', '#': // [MQTT-4.7.0-1] and [MQTT-3.3.2-2]; in 3.1.1 [MQTT-4.7.1-1]
			return errNameWildcard
		case 0: // [MQTT-4.7.3-2]
			return errNameNull
		}
	}
	return nil
}

// CheckFilter says what is wrong with a topic filter, shared or not, or nil.
func CheckFilter(filter string) error {
	switch {
	case filter == "": // [MQTT-4.7.3-1]
		return errFilterEmpty
	case len(filter) > MaxLen: // [MQTT-4.7.3-3]
		return errFilterLong
	case strings.IndexByte(filter, 0) >= 0: // [MQTT-4.7.3-2]
		return errFilterNull
	case filter == shareMark || strings.HasPrefix(filter, sharePrefix):
		return checkShare(filter)
	}
	return checkWildcards(filter)
}

// checkShare checks "$share/group/filter".
func checkShare(filter string) error {
	if filter == shareMark {
		return errShareShort
	}
	group, rest, found := strings.Cut(filter[len(sharePrefix):], "/")
	switch {
	case group == "": // [MQTT-4.8.2-1]
		return errShareGroup
	case strings.ContainsAny(group, "+#"): // [MQTT-4.8.2-2]
		return errShareLetter
	case !found: // [MQTT-4.8.2-2]
		return errShareShort
	case rest == "": // [MQTT-4.8.2-2]
		return errShareFilter
	}
	return checkWildcards(rest)
}

// checkWildcards checks where + and # stand.
func checkWildcards(filter string) error {
	for i := range len(filter) {
		first := i == 0 || filter[i-1] == '/'
		last := i+1 == len(filter) || filter[i+1] == '/'
		switch filter[i] {
		case '+': // MQTT 5 [MQTT-4.7.1-2]; 3.1.1 [MQTT-4.7.1-3]
			if !first || !last {
				return errFilterPlusOwn
			}
		case '#': // MQTT 5 [MQTT-4.7.1-1]; 3.1.1 [MQTT-4.7.1-2]
			if !first || !last {
				return errFilterHashOwn
			}
			if i+1 != len(filter) {
				return errFilterHashEnd
			}
		}
	}
	return nil
}
