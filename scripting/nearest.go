package scripting

import "fmt"

// maxNearest bounds the length of names that are compared.
const maxNearest = 64

// nearest returns the candidate with the smallest edit distance to name, "" if
// none is near: at most a third of the name, and two letters, may differ.
func nearest(name string, candidates []string) string {
	if len(name) > maxNearest {
		return ""
	}
	best, at := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(name, c); d < at {
			best, at = c, d
		}
	}
	return best
}

// meant is the end of an error text: which name may have been meant.
func meant(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" {
		return fmt.Sprintf(" (did you mean %q?)", n)
	}
	return ""
}

// distance is the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
