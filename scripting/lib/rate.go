package lib

import (
	"crypto/sha256"
	"math"
	"strings"
	"sync"
	"time"
)

const (
	// maxLimiterKey is the longest key that is held as it is, in bytes; of a longer one its
	// SHA-256 is held, so that maxKeys bounds the memory too.
	maxLimiterKey = 128

	// limiterSweep is how many buckets each new key looks at to forget the full ones. The newest,
	// which is not full, takes the place of one that is forgotten and is looked at next; with two
	// looks a key the table grew slowly, with three it stays small (TestLimitersShrink).
	limiterSweep = 3

	// limiterSearch is how many buckets a new key looks at when there is no room.
	limiterSearch = 16
)

// Limiters are token buckets that all worlds share and that outlive a reload: a limiter is known
// by an id the script gives it. Safe for concurrent use.
//
// The number of keys is bounded over all limiters. A bucket that is full again is forgotten first,
// which loses nothing; one that is not full is never forgotten, or somebody with many keys could
// empty a bucket, push it out and have it full. When there is no room, keys that are new share one
// bucket per limiter until there is.
type Limiters struct {
	// Immutable:
	now     func() time.Time
	start   time.Time
	maxKeys int

	mu sync.Mutex
	// Guarded by mu:
	limiters map[string]*Limiter
	places   map[limiterKey]int // where in tokens a key's bucket is
	tokens   []tokenBucket
	hand     int // the bucket looked at next, as the hand of a clock goes round
}

type limiterKey struct {
	limiter *Limiter
	key     string
}

// tokenBucket is what is left for one key. Lazily refilled: tokens is the state at last.
type tokenBucket struct {
	limiterKey
	tokens float64
	last   int64 // since start, in nanoseconds
}

// Limiter lets through so many per second and key, and a burst on top.
type Limiter struct {
	all *Limiters

	// Guarded by all.mu:
	perSecond float64
	burst     float64
	overflow  tokenBucket // shared by the keys there is no room for
}

// NewLimiters returns limiters that remember up to maxKeys keys in all. now is their clock.
func NewLimiters(now func() time.Time, maxKeys int) *Limiters {
	return &Limiters{
		now: now, start: now(), maxKeys: maxKeys,
		limiters: make(map[string]*Limiter),
		places:   make(map[limiterKey]int),
	}
}

// Limiter returns the limiter known by id. One that exists goes on with the tokens it has, at the
// new rate (per second) and burst (tokens, also what a key begins with). A rate that is not above
// 0 never refills, a burst that is not above 0 lets nothing through.
func (ls *Limiters) Limiter(id string, perSecond, burst float64) *Limiter {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.limiters[id]
	now := ls.elapsed()
	if l == nil {
		l = &Limiter{all: ls, overflow: tokenBucket{tokens: atLeast0(burst), last: now}}
		l.overflow.limiter = l
		ls.limiters[strings.Clone(id)] = l
	}
	l.perSecond, l.burst = atLeast0(perSecond), atLeast0(burst)
	return l
}

// atLeast0 is f, or 0 for what is below it and for NaN.
func atLeast0(f float64) float64 {
	if f > 0 {
		return f
	}
	return 0
}

// Keep forgets the limiters whose id keep does not want, with their buckets: those of generations
// that are gone. Somebody who still holds one may go on using it.
func (ls *Limiters) Keep(keep func(id string) bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	gone := make(map[*Limiter]bool)
	for id, l := range ls.limiters {
		if !keep(id) {
			gone[l] = true
			delete(ls.limiters, id)
		}
	}
	for i := len(ls.tokens) - 1; i >= 0; i-- {
		if gone[ls.tokens[i].limiter] {
			ls.forgetLocked(i)
		}
	}
}

// Len returns the number of keys that are remembered.
func (ls *Limiters) Len() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return len(ls.tokens)
}

// Allow takes n tokens from the bucket of key and returns true, or leaves them and returns false
// if there are fewer. More than the burst is never allowed, 0 always is; a negative n and NaN never.
func (l *Limiter) Allow(key string, n float64) bool {
	if n == 0 {
		return true
	}
	if !(n > 0) {
		return false
	}
	if len(key) > maxLimiterKey {
		sum := sha256.Sum256([]byte(key))
		key = string(sum[:])
	}
	ls := l.all
	ls.mu.Lock()
	defer ls.mu.Unlock()
	now := ls.elapsed()
	return ls.bucketLocked(limiterKey{l, key}, now).take(n, now)
}

// bucketLocked returns the bucket of k, valid until the next call.
func (ls *Limiters) bucketLocked(k limiterKey, now int64) *tokenBucket {
	if i, ok := ls.places[k]; ok {
		return &ls.tokens[i]
	}
	ls.sweepLocked(limiterSweep, now)
	if len(ls.tokens) >= ls.maxKeys {
		ls.sweepLocked(limiterSearch, now)
	}
	if len(ls.tokens) >= ls.maxKeys {
		return &k.limiter.overflow
	}
	k.key = strings.Clone(k.key)
	ls.places[k] = len(ls.tokens)
	ls.tokens = append(ls.tokens, tokenBucket{limiterKey: k, tokens: k.limiter.burst, last: now})
	return &ls.tokens[len(ls.tokens)-1]
}

// sweepLocked looks at the next n buckets and forgets the full ones.
func (ls *Limiters) sweepLocked(n int, now int64) {
	for range min(n, len(ls.tokens)) {
		if ls.hand >= len(ls.tokens) {
			ls.hand = 0
		}
		b := &ls.tokens[ls.hand]
		if b.at(now) >= b.limiter.burst {
			ls.forgetLocked(ls.hand)
			continue
		}
		ls.hand++
	}
}

// forgetLocked drops bucket i; the last one takes its place.
func (ls *Limiters) forgetLocked(i int) {
	last := len(ls.tokens) - 1
	delete(ls.places, ls.tokens[i].limiterKey)
	if i != last {
		ls.tokens[i] = ls.tokens[last]
		ls.places[ls.tokens[i].limiterKey] = i
	}
	ls.tokens[last] = tokenBucket{}
	ls.tokens = ls.tokens[:last]
}

func (ls *Limiters) elapsed() int64 { return int64(ls.now().Sub(ls.start)) }

// at returns the tokens there are at a time. A clock that goes back adds none.
func (b *tokenBucket) at(now int64) float64 {
	tokens := b.tokens
	if now > b.last && b.limiter.perSecond > 0 {
		tokens += time.Duration(now-b.last).Seconds() * b.limiter.perSecond
	}
	return math.Min(tokens, b.limiter.burst)
}

func (b *tokenBucket) take(n float64, now int64) bool {
	b.tokens = b.at(now)
	b.last = max(b.last, now)
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}
