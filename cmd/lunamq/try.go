package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lunamq/scripting"
)

// tryFlags are those of lunamq try EVENT: what they set goes into the table
// that describes the event.
type tryFlags struct {
	rulesFlags
	dir string
}

// tryField is a flag and the field that it sets: "client.id" is a field of the
// table client.
type tryField struct {
	flag, field, usage string
	kind               string // "string", "number" or "bool"
}

var (
	tryClient = []tryField{
		{"client", "client.id", "identifier of the client", "string"},
		{"username", "client.username", "user name of the client", "string"},
		{"protocol", "client.protocol", "version of the client: 3.1, 3.1.1 or 5", "string"},
		{"mount", "client.mount", "mount of the client", "string"},
	}
	tryMessage = []tryField{
		{"topic", "topic", "topic name", "string"},
		{"payload", "payload", "payload", "string"},
		{"qos", "qos", "quality of service, 0 to 2", "number"},
		{"retain", "retain", "a retained message", "bool"},
		{"content-type", "content_type", "content type", "string"},
	}
	trySubscription = []tryField{
		{"filter", "filter", "topic filter", "string"},
		{"qos", "qos", "quality of service, 0 to 2", "number"},
	}
	// tryFields are the flags of each event that can be tried from the shell.
	tryFields = map[string][]tryField{
		"publish":   slices.Concat(tryMessage, tryClient, []tryField{{"origin", "origin", "client, will, script, bridge or admin", "string"}}),
		"will":      slices.Concat(tryMessage, tryClient, []tryField{{"reason", "reason", "why the connection ended", "string"}}),
		"deliver":   slices.Concat(tryMessage, tryClient, []tryField{{"filter", "subscription.filter", "filter of the subscription", "string"}}),
		"subscribe": slices.Concat(trySubscription, tryClient),
		"connect": {
			{"client", "client_id", "identifier of the client", "string"},
			{"username", "username", "user name", "string"},
			{"password", "password", "password", "string"},
			{"protocol", "protocol", "version: 3.1, 3.1.1 or 5", "string"},
			{"listener", "listener", "name of the listener", "string"},
			{"remote", "remote", "address of the client, IP:PORT", "string"},
			{"will-topic", "will.topic", "topic of its will", "string"},
			{"will-payload", "will.payload", "payload of its will", "string"},
		},
	}
)

func tryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "try",
		Short: "Put one event to the rules and see what each handler does",
		Long: `Put one event to a folder of rules, in a world of their own with an empty kv:
nothing is published, nobody is disconnected. Every handler that ran is printed
with file and line, what it changed and what it decided. The exit code is 1 if a
handler failed.`,
		Example: `  lunamq try publish --topic demo/fahrenheit/1 --payload 212 --client gw-7
  lunamq try connect --username demo-alice --password wonderland
  lunamq try subscribe --filter 'demo/private/ann/#' --username bob --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no event %q to try: there are %s", args[0], strings.Join(slices.Sorted(maps.Keys(tryFields)), ", "))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, event := range slices.Sorted(maps.Keys(tryFields)) {
		cmd.AddCommand(tryEventCommand(event))
	}
	return cmd
}

func tryEventCommand(event string) *cobra.Command {
	var f tryFlags
	cmd := &cobra.Command{
		Use:   event,
		Short: "Put one " + event + " event to the rules",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.try(cmd, event) },
	}
	flags := cmd.Flags()
	f.add(flags)
	flags.StringVar(&f.dir, "scripts", "", "`DIR` of the rules (default: that of the configuration)")
	for _, field := range tryFields[event] {
		switch field.kind {
		case "string":
			flags.String(field.flag, "", field.usage)
		case "number":
			flags.Float64(field.flag, 0, field.usage)
		case "bool":
			flags.Bool(field.flag, false, field.usage)
		}
	}
	return cmd
}

func (f *tryFlags) try(cmd *cobra.Command, event string) error {
	c, err := f.load(f.dir)
	if err != nil {
		return err
	}
	table, err := tryTable(cmd.Flags(), tryFields[event])
	if err != nil {
		return err
	}
	report, err := scripting.Try(cmd.Context(), scriptingOptions(c), event, table)
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(cmd.OutOrStdout(), report)
	} else {
		printTry(cmd.OutOrStdout(), report)
	}
	if err == nil && report.Failed {
		err = errQuiet
	}
	return err
}

// tryTable is the table that the flags describe.
func tryTable(flags *pflag.FlagSet, fields []tryField) (map[string]any, error) {
	table := make(map[string]any)
	for _, f := range fields {
		if !flags.Changed(f.flag) {
			continue
		}
		var x any
		var err error
		switch f.kind {
		case "string":
			x, err = flags.GetString(f.flag)
		case "number":
			x, err = flags.GetFloat64(f.flag)
		case "bool":
			x, err = flags.GetBool(f.flag)
		}
		if err != nil {
			return nil, err
		}
		in, name := table, f.field
		if outer, inner, nested := strings.Cut(f.field, "."); nested {
			if table[outer] == nil {
				table[outer] = make(map[string]any)
			}
			in, name = table[outer].(map[string]any), inner
		}
		in[name] = x
	}
	return table, nil
}

func printTry(out io.Writer, r *scripting.TryReport) {
	fmt.Fprintf(out, "%s: %d of %s ran\n", r.Event, len(r.Steps), count(r.Handlers, "handler"))
	for _, s := range r.Steps {
		printStep(out, s, r.Event)
	}
	for _, list := range []struct {
		word  string
		lines []string
	}{{"published", r.Published}, {"kicked", r.Kicked}, {"subscribed", r.Subscribed}, {"unsubscribed", r.Unsubscribed}, {"logged", r.Logs}} {
		for _, l := range list.lines {
			fmt.Fprintf(out, "%s %s\n", list.word, l)
		}
	}
	if r.Answer != "" {
		fmt.Fprintln(out, "answer "+r.Answer)
	}
	verdict := withReason(r.Verdict, r.Reason, r.Text)
	if r.By != "" {
		verdict += " by " + r.By
	}
	fmt.Fprintln(out, "verdict: "+verdict)
}

// printStep prints one handler: where it is, what it changed, what it decided.
func printStep(out io.Writer, s scripting.Step, event string) {
	where := s.By
	if s.Event != event {
		where += " " + s.Event
	}
	if s.Filter != "" {
		where += " (" + s.Filter + ")"
	}
	fmt.Fprintf(out, "  %s: %s\n", where, withReason(s.Verdict, s.Reason, s.Text))
	for _, c := range s.Changes {
		fmt.Fprintf(out, "      %s: %s -> %s\n", c.Field, c.Before, c.After)
	}
	if s.Failure != nil {
		fmt.Fprintln(out, indent(s.Failure.String()))
	}
}

func withReason(verdict, reason, text string) string {
	if reason != "" {
		verdict += " " + reason
	}
	if text != "" {
		verdict += fmt.Sprintf(" (%q)", text)
	}
	return verdict
}
