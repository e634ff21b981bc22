package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"lunamq/plugins/disk"
)

func storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look at, check, back up and move what a broker has stored",
		Long: `Look at, check, back up and move what a broker has stored: sessions with their
subscriptions and messages, retained messages, and durable buckets of kv.`,
		Example: `  lunamq store info
  lunamq store backup /backup/monday
  lunamq store check --data /backup/monday
  lunamq store export --data /backup/monday - | gzip > monday.gz`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(storeInfoCommand(), storeCheckCommand(), storeBackupCommand(), storeExportCommand(), storeImportCommand())
	return cmd
}

// oneArg refuses anything but one argument, as an error of usage.
func oneArg(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return usageError{err}
	}
	return nil
}

// view opens the store of a broker that does not run.
func (f *askFlags) view(cmd *cobra.Command) (*disk.View, error) {
	dir, err := f.dataFolder(cmd)
	if err != nil {
		return nil, err
	}
	v, err := disk.OpenView(disk.Options{Dir: disk.Folder(dir)})
	if errors.Is(err, disk.ErrTaken) {
		return nil, fmt.Errorf("%w: make a copy with lunamq store backup DIR, and name that with --data DIR", err)
	}
	return v, err
}

// progress tells on standard error how many records were read.
func progress(w io.Writer, what string) func(int64) {
	last := time.Now()
	return func(n int64) {
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			fmt.Fprintf(w, "%s: %d records\n", what, n)
		}
	}
}

func storeInfoCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Count what is stored, in a running broker or in the folder of a stopped one",
		Long: `Count what is stored, in a running broker or in the folder of a stopped one: how many
sessions, messages and values, how large the files are, whether the disk takes what
is stored, and what was damaged and put aside.`,
		Example: `  lunamq store info
  lunamq store info --data /var/lib/lunamq
  lunamq store info --json | jq .queued`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.storeInfo(cmd) },
	}
	f.add(cmd)
	return cmd
}

func (f *askFlags) storeInfo(cmd *cobra.Command) error {
	var i disk.Info
	err := f.ask(cmd, "/v1/store", nil, &i)
	if errors.Is(err, errNobody) {
		var v *disk.View
		if v, err = f.view(cmd); err != nil {
			return err
		}
		i, err = v.Info()
		err = errors.Join(err, v.Close())
		if err == nil && f.json {
			return printJSON(cmd.OutOrStdout(), i)
		}
	}
	if err != nil || f.json {
		return err
	}
	printInfo(cmd.OutOrStdout(), &i)
	return nil
}

func printInfo(w io.Writer, i *disk.Info) {
	state := "takes what is stored"
	switch {
	case !i.OK:
		state = "REFUSES what is stored since " + momentText(i.Since) + ": " + i.Error
	case i.LastCommit.IsZero() && i.Batches == 0 && i.Since.IsZero():
		state = "no broker runs here"
	}
	last := ""
	if !i.LastCommit.IsZero() {
		last = fmt.Sprintf("%s; %d batches in %d groups since the start", momentText(i.LastCommit), i.Batches, i.Groups)
	}
	refused := ""
	if i.Refused > 0 {
		refused = fmt.Sprintf("%d batches since the start", i.Refused)
	}
	damaged := ""
	for _, d := range i.Damaged {
		damaged += d + "\n"
	}
	facts(w,
		[2]string{"store", fmt.Sprintf("%s, format %d, %s in %d files", i.Dir, i.Format, bytesText(i.Bytes), i.Files)},
		[2]string{"state", state},
		[2]string{"last stored", last},
		[2]string{"refused", refused},
		[2]string{"damaged", damaged},
	)
	fmt.Fprintln(w)
	n := func(n int64) string { return fmt.Sprint(n) }
	table(w, [][]string{
		{"WHAT", "COUNT", "BYTES"},
		{"sessions", n(i.Sessions), "-"},
		{"subscriptions", n(i.Subscriptions), "-"},
		{"queued messages", n(i.Queued), bytesText(i.QueuedBytes)},
		{"of them in flight", n(i.Inflight), "-"},
		{"QoS 2 identifiers", n(i.Received), "-"},
		{"retained messages", n(i.Retained), bytesText(i.RetainedBytes)},
		{"values of rules", n(i.Values), bytesText(i.ValueBytes)},
	})
}

// errNoStore is the answer of a broker that keeps all in memory.
var errNoStore = errors.New(`this broker has no store: [storage] kind = "memory"`)

// handleStore is the broker's side of lunamq store info.
func (p *program) handleStore() (any, error) {
	if p.store == nil {
		return nil, errNoStore
	}
	return p.store.Info()
}

// maxFindings bounds what store check prints of one store.
const maxFindings = 1000

func storeCheckCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read all that a stopped broker has stored, and say what is damaged",
		Long: `Read all that a stopped broker has stored, and say what is damaged: every checksum,
every field, and what belongs to something that is not there. Nothing is changed. The
exit code is 1 if anything is wrong.`,
		Example: `  lunamq store check
  lunamq store check --data /backup/monday --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.storeCheck(cmd) },
	}
	f.add(cmd)
	return cmd
}

// storeCheckReport is what store check --json prints.
type storeCheckReport struct {
	OK       bool           `json:"ok"`
	Findings []disk.Finding `json:"findings"`
	More     int            `json:"more,omitempty"` // findings that are not listed
	disk.Counts
}

func (f *askFlags) storeCheck(cmd *cobra.Command) error {
	r := storeCheckReport{Findings: []disk.Finding{}}
	v, err := f.view(cmd)
	if err == nil {
		r.Counts, err = v.Check(r.add, progress(cmd.ErrOrStderr(), "checked"))
		_ = v.Close() // it was read alone; what that found is in r
	} else if !errors.Is(err, disk.ErrTaken) && !errors.Is(err, disk.ErrNone) && !errors.Is(err, disk.ErrNewer) {
		r.add(disk.Finding{What: "the store cannot be opened", Error: err.Error()})
		err = nil
	}
	if err != nil {
		return err
	}
	r.OK = len(r.Findings) == 0
	w := cmd.OutOrStdout()
	if f.json {
		if err := printJSON(w, r); err != nil {
			return err
		}
	} else {
		r.print(w)
	}
	if !r.OK {
		return errQuiet
	}
	return nil
}

func (r *storeCheckReport) add(x disk.Finding) {
	if len(r.Findings) == maxFindings {
		r.More++
		return
	}
	r.Findings = append(r.Findings, x)
}

func (r *storeCheckReport) print(w io.Writer) {
	for _, x := range r.Findings {
		fmt.Fprintf(w, "%s: %s\n", x.What, x.Error)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	if r.OK {
		fmt.Fprintf(w, "good: %s, %s, %s, %s\n", count(int(r.Sessions), "session"), count(int(r.Queued), "queued message"),
			count(int(r.Retained), "retained message"), count(int(r.Values), "value"))
	}
}

const backupPath = "/v1/store/backup"

// backupRequest is the body of a POST to backupPath.
type backupRequest struct {
	Dir string `json:"dir"` // absolute
}

// backupReport is the answer.
type backupReport struct {
	Dir  string        `json:"dir"`
	Took time.Duration `json:"took_ns"`
}

func storeBackupCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy what a broker has stored, as it is at one moment, while it runs or not",
		Long: `Copy what a broker has stored, as it is at one moment, while it runs or not, to a
folder that is not there yet. A broker can be started on it: lunamq --data DIR. On the
same file system it takes next to no time and room, for files are linked.`,
		Example: `  lunamq store backup /backup/monday
  lunamq store check --data /backup/monday`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return f.storeBackup(cmd, args[0]) },
	}
	f.add(cmd)
	return cmd
}

func (f *askFlags) storeBackup(cmd *cobra.Command, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var r backupReport
	if err = f.ask(cmd, backupPath, backupRequest{dir}, &r); errors.Is(err, errNobody) {
		if r, err = f.backupStopped(cmd, dir); err == nil && f.json {
			return printJSON(cmd.OutOrStdout(), r)
		}
	}
	if err != nil || f.json {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: backed up in %s\n", r.Dir, timeText(r.Took))
	return nil
}

// backupStopped copies the store of a broker that does not run.
func (f *askFlags) backupStopped(cmd *cobra.Command, dir string) (r backupReport, err error) {
	data, err := f.dataFolder(cmd)
	if err != nil {
		return r, err
	}
	if _, err := os.Stat(disk.Folder(data)); err != nil {
		return r, fmt.Errorf("%s: %w", disk.Folder(data), disk.ErrNone)
	}
	s, err := disk.Open(disk.Options{Dir: disk.Folder(data), Reserve: -1, Refuse: true, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))})
	if err != nil {
		return r, err
	}
	began := time.Now()
	err = s.Backup(dir)
	return backupReport{dir, time.Since(began)}, errors.Join(err, s.Close())
}

// handleBackup is the broker's side.
func (p *program) handleBackup(ctx context.Context, r backupRequest) (any, error) {
	if p.store == nil {
		return nil, errNoStore
	}
	if !filepath.IsAbs(r.Dir) {
		return nil, fmt.Errorf("%q is no absolute path", r.Dir)
	}
	began := time.Now()
	if err := p.store.Backup(r.Dir); err != nil {
		return nil, err
	}
	p.log.Info("backed up", "path", r.Dir, "by", askedBy(ctx, "store backup"), "dur", time.Since(began))
	return backupReport{r.Dir, time.Since(began)}, nil
}
