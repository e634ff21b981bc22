package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"lunamq/core"
	"lunamq/plugins/disk"
)

// An export is lines of JSON: a head, one line per operation that makes the
// store again, in an order that import needs, and an end that counts them.
type (
	exportHead struct {
		Export  string    `json:"lunamq_export"` // an identifier of this export
		Format  int       `json:"format"`
		Written time.Time `json:"written"`
	}
	exportEnd struct {
		End int64 `json:"end"` // lines between head and end
	}
)

// exportFormat is the version of the lines.
const exportFormat = 1

// maxLine bounds a line: the largest packet there can be, in base64, with room
// for what stands around it.
const maxLine = 512 << 20

func storeExportCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "export FILE|-",
		Short: "Write what a stopped broker has stored as lines of JSON",
		Long: `Write what a stopped broker has stored as lines of JSON, for lunamq store import or
for programs; "-" is standard output. Of a running broker, export a backup. The file
holds user names, messages and what rules keep: it is made for its owner alone.`,
		Example: `  lunamq store export store.jsonl
  lunamq store export --data /backup/monday - | jq -r 'select(.op == "retained").message.topic'`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return f.storeExport(cmd, args[0]) },
	}
	f.add(cmd)
	return cmd
}

func (f *askFlags) storeExport(cmd *cobra.Command, name string) (err error) {
	v, err := f.view(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	out := cmd.OutOrStdout()
	if name != "-" {
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		out = file
		defer func() {
			if err == nil {
				err = file.Sync()
			}
		}()
	}
	n, err := writeExport(out, v, progress(cmd.ErrOrStderr(), "exported"))
	if err != nil {
		return fmt.Errorf("export to %s: %w", name, err)
	}
	if f.json {
		return printJSON(cmd.ErrOrStderr(), exportEnd{n})
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: exported\n", count(int(n), "record"))
	return nil
}

func writeExport(to io.Writer, v *disk.View, progress func(int64)) (n int64, err error) {
	w := bufio.NewWriterSize(to, 1<<20)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(exportHead{rand.Text(), exportFormat, time.Now().UTC()}); err != nil {
		return 0, err
	}
	err = v.All(func(op core.Op) error {
		n++
		return e.Encode(disk.LineOf(op))
	}, progress)
	if err == nil {
		err = e.Encode(exportEnd{n})
	}
	return n, errors.Join(err, w.Flush())
}

func storeImportCommand() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Bring an export into the empty store of a stopped broker",
		Long: `Bring an export into the empty store of a stopped broker; "-" is standard input. An
import that was interrupted goes on when it is begun again with the same export.`,
		Example: `  lunamq store import store.jsonl
  zcat monday.gz | lunamq store import --data /var/lib/lunamq -`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return f.storeImport(cmd, args[0]) },
	}
	f.add(cmd)
	return cmd
}

func (f *askFlags) storeImport(cmd *cobra.Command, name string) (err error) {
	data, err := f.dataFolder(cmd)
	if err != nil {
		return err
	}
	in := cmd.InOrStdin()
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	s, err := disk.Open(disk.Options{Dir: disk.Folder(data), Refuse: true, Log: slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	i := &importer{store: s, lines: bufio.NewReaderSize(in, 1<<20), progress: progress(cmd.ErrOrStderr(), "imported")}
	if err := i.run(); err != nil {
		err = errors.Join(err, i.commit()) // what is good before goes on from here
		return fmt.Errorf("import %s: line %d: %w", name, i.line, err)
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), i.report)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: imported", count(int(i.report.Records), "record"))
	if i.report.Before > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), ", %d of them before", i.report.Before)
	}
	fmt.Fprintln(cmd.OutOrStdout())
	return nil
}

// importer reads an export.
type importer struct {
	store    *disk.Store
	lines    *bufio.Reader
	progress func(int64)
	line     int64 // that is being read, from 1
	report   importReport

	begun disk.Import
	batch core.Batch
	taken int64 // the last record that is in it, or stored
	size  int
}

// importReport is what import --json prints.
type importReport struct {
	Records int64 `json:"records"`
	Before  int64 `json:"before"` // of them, by an import that was interrupted
}

// importBatch is how many bytes of lines are committed at once.
const importBatch = 512 << 10

func (i *importer) run() error {
	text, err := i.next()
	if err != nil {
		return err
	}
	var head exportHead
	if err := json.Unmarshal(text, &head); err != nil || head.Export == "" {
		return errors.New("this is no export of lunamq store export")
	}
	if head.Format != exportFormat {
		return fmt.Errorf("the export has format %d, this program knows %d", head.Format, exportFormat)
	}
	if i.begun, err = i.store.BeginImport(head.Export); err != nil {
		return err
	}
	i.report.Before = i.begun.Done
	for {
		if text, err = i.next(); err != nil {
			return err
		}
		if bytes.HasPrefix(text, []byte(`{"end":`)) {
			return i.end(text)
		}
		i.report.Records++
		if i.report.Records <= i.begun.Done {
			continue
		}
		if err := i.take(text); err != nil {
			return err
		}
		i.progress(i.report.Records)
	}
}

// next reads a line.
func (i *importer) next() (line []byte, err error) {
	i.line++
	for {
		part, err := i.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case len(line) > maxLine:
			return nil, fmt.Errorf("it has more than %d bytes", maxLine)
		case errors.Is(err, io.EOF):
			return nil, errors.New("the export ends here, without its end: it was cut off; with all of it the import goes on")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func (i *importer) take(text []byte) error {
	op, err := disk.ParseLine(text)
	if err != nil {
		return err
	}
	i.batch.Ops = append(i.batch.Ops, op)
	i.taken = i.report.Records
	if i.size += len(text); i.size < importBatch {
		return nil
	}
	return i.commit()
}

// commit stores what was taken, and how far that is.
func (i *importer) commit() error {
	b := i.batch
	if len(b.Ops) == 0 {
		return nil
	}
	i.batch, i.size = core.Batch{}, 0
	return i.store.ImportBatch(&b, i.begun, i.taken)
}

func (i *importer) end(text []byte) error {
	var end exportEnd
	if err := json.Unmarshal(text, &end); err != nil || end.End != i.report.Records {
		return fmt.Errorf("the export says that it has %d records, %d came", end.End, i.report.Records)
	}
	if err := i.commit(); err != nil {
		return err
	}
	return i.store.EndImport(i.begun)
}
