package main

import (
	"fmt"
	"log/slog"
	"time"

	"lunamq/cmd/lunamq/config"
	"lunamq/plugins/disk"
)

// storeOptions are those of the store in the data folder.
func storeOptions(c *config.Config, log *slog.Logger) disk.Options {
	s := &c.Storage
	o := disk.Options{
		Dir: disk.Folder(s.Path), Sync: time.Duration(s.Sync), Reserve: int64(s.Reserve), Refuse: s.OnDamage == "refuse", Log: log,
	}
	if o.Reserve == 0 {
		o.Reserve = -1 // none; 0 is the default there
	}
	return o
}

// lentStore is the store as the broker has it: the rules write to it when the
// broker has ended, so it is closed after them.
type lentStore struct{ *disk.Store }

func (l lentStore) Close() error {
	l.Settle()
	return nil
}

func (p *program) closeStore() error {
	if p.store == nil {
		return nil
	}
	if p.durable != nil {
		p.durable.Close()
	}
	return p.store.Close()
}

// takenError says who has the data folder.
func (p *program) takenError() error {
	who := ""
	if pid := disk.Owner(p.config.Storage.Path); pid != "" {
		who = " (process " + pid + ")"
	}
	return fmt.Errorf("the data folder %s is used by another broker%s: end that one, or choose another folder with [storage] path or --data", p.config.Storage.Path, who)
}

// storageReport is a part of the status.
type storageReport struct {
	Kind    string    `json:"kind"`
	OK      bool      `json:"ok"`
	Error   string    `json:"error,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Damaged []string  `json:"damaged,omitempty"` // what was put aside since the start
}

func (p *program) storage() storageReport {
	r := storageReport{Kind: p.config.Storage.Kind, OK: true}
	if p.store != nil {
		r.OK, r.Error, r.Since = p.store.State()
		r.Damaged = p.store.Damaged()
	}
	return r
}

func (r storageReport) String() string {
	switch {
	case r.Kind == "memory":
		return "in memory, ends with the program"
	case !r.OK:
		return "ON DISK, AND REFUSED since " + momentText(r.Since) + ": " + r.Error
	case len(r.Damaged) > 0:
		return "on disk; DAMAGED at the start, put aside: " + r.Damaged[0]
	}
	return "on disk"
}
