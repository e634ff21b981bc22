package scripting

import (
	"context"
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// TryReport is what rules did with one event.
type TryReport struct {
	Event     string            `json:"event"`
	Handlers  int               `json:"handlers"` // of this event, whether they ran or not
	Steps     []Step            `json:"steps"`    // those that ran
	Verdict   string            `json:"verdict"`
	Reason    string            `json:"reason,omitempty"`
	Text      string            `json:"text,omitempty"`
	By        string            `json:"by,omitempty"`
	Failed    bool              `json:"failed"` // a handler failed
	Fields    map[string]string `json:"fields"` // of the event afterwards, as a rule would write them
	Published []string          `json:"published,omitempty"`
	Answer    string            `json:"answer,omitempty"` // of an authentication, as a rule would write it
	Kicked    []string          `json:"kicked,omitempty"`

	Subscribed   []string `json:"subscribed,omitempty"`
	Unsubscribed []string `json:"unsubscribed,omitempty"`

	Logs []string `json:"logs,omitempty"`
}

// TryEvents are the events that can be tried.
func TryEvents() []string { return slices.Clone(trialNames) }

// Try puts one event to the rules in o.Dir, in a world of their own, and says
// handler by handler what they did. fields describe the event as the table of
// try.event{…} does: strings, float64 numbers, booleans and tables of them.
func Try(ctx context.Context, o Options, event string, fields map[string]any) (*TryReport, error) {
	k, ok := trials[event]
	if !ok {
		return nil, fmt.Errorf("there is no event %q to try%s", clip(event), meant(event, trialNames))
	}
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	set, err := readSet(o.Dir)
	if err != nil {
		return nil, err
	}
	chunks, err := compileSet(set)
	if err != nil {
		return nil, err
	}
	t, err := newTrial(ctx, o, set, chunks)
	if err != nil {
		return nil, err
	}
	t.tracing = true
	return t.try(event, k, fields)
}

func (t *trial) try(event string, k trialType, fields map[string]any) (*TryReport, error) {
	var report *TryReport
	var wrong error
	fn := newFunction(func(L *lua.LState) int {
		c := running(L)
		table, err := goTable(fields)
		if err == nil {
			var r *result
			if r, err = t.fireTable(L, c, k, table); err == nil {
				report = r.report(c, event)
			}
		}
		wrong = err
		return 0
	})
	if err := t.inTester(fn, looking); err != nil {
		return nil, err
	}
	if wrong != nil {
		return nil, wrong
	}
	report.Handlers = t.generation.counts()[event]
	return report, nil
}

// report says what became of an event. It runs in the tester's call.
func (r *result) report(c *call, event string) *TryReport {
	out := &TryReport{
		Event: event, Steps: []Step{}, Fields: make(map[string]string), Failed: len(r.failures) > 0,
		Verdict: r.verdict(), Text: r.decision.Text, By: r.decision.By,
	}
	if r.isRefused() {
		out.Reason = reasonOf(r.decision).String()
	}
	for _, s := range r.steps {
		out.Steps = append(out.Steps, s.Step)
	}
	for _, name := range r.event.fieldNames() {
		if x, ok := r.event.read(c, r.ev, name); ok && name != "level" && name != "password" {
			flatten(out.Fields, name, view(c, x))
		}
	}
	for i := range r.published {
		out.Published = append(out.Published, publishedText(c, &r.published[i]))
	}
	for _, k := range r.kicked {
		words := slices.DeleteFunc([]string{k.id, "with", k.reason, k.text, "by", k.by}, func(w string) bool { return w == "" })
		out.Kicked = append(out.Kicked, strings.Join(words, " "))
	}
	for _, s := range r.subscribed {
		out.Subscribed = append(out.Subscribed, fmt.Sprintf("%s to %s with QoS %d", s.id, s.filter, s.qos))
	}
	for _, s := range r.unsubscribed {
		out.Unsubscribed = append(out.Unsubscribed, s.id+" from "+s.filter)
	}
	if x, ok := r.ev.(*exchange); ok && x.data != nil {
		flat := make(map[string]string)
		flatten(flat, "answer", lua.LString(x.data))
		out.Answer = flat["answer"]
	}
	for _, l := range r.logs {
		out.Logs = append(out.Logs, l.String())
	}
	return out
}

// goTable makes a Lua table of Go values.
func goTable(m map[string]any) (*lua.LTable, error) {
	t := newTable()
	for name, x := range m {
		v, err := goValue(x)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.RawSetString(name, v)
	}
	return t, nil
}

func goValue(x any) (lua.LValue, error) {
	switch x := x.(type) {
	case string:
		return lua.LString(x), nil
	case float64:
		return lua.LNumber(x), nil
	case bool:
		return boolean(x), nil
	case map[string]any:
		return goTable(x)
	}
	return nil, fmt.Errorf("a %T is no string, float64, bool or map[string]any", x)
}

// publishedText is a message as the call of mqtt.publish that makes it: the
// fields that say something.
func publishedText(c *call, p *published) string {
	t := newTable()
	for _, name := range messageKeys {
		x := view(c, publishedKind.fields[name].get(c, p))
		if list, ok := x.(*lua.LTable); x == lua.LNil || x == lua.LFalse || x == lua.LNumber(0) || ok && listLen(list) == 0 {
			continue
		}
		t.RawSetString(name, x)
	}
	return clipTo(literal(t), maxShown)
}
