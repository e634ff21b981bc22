package scripting

import (
	"context"
	"testing"
)

// The tests of the shipped rules are their documentation, and pass.
func TestExamples(t *testing.T) {
	report, err := Test(context.Background(), Options{Dir: "../examples/scripts"}, nil, func(r TestResult) {
		if !r.Passed {
			t.Errorf("%s:%d %s:\n%s\n%q", r.File, r.Line, r.Name, r.Failure, r.Logs)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Failed != 0 || report.Passed < 25 {
		t.Errorf("%d passed, %d failed", report.Passed, report.Failed)
	}
}
