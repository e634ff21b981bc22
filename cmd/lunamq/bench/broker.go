package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Broker is one that can be started.
type Broker struct {
	Name string
	// Args are the command. In them and in Files these are replaced: {port}, the
	// port of 127.0.0.1 to listen at; {dir}, a folder of its own; {cert}, {key}
	// and {ca}, files of a certificate for 127.0.0.1.
	Args  []string
	Files map[string]string // by name: what is in the folder before it starts

	Subscribe string   // in place of the options', where not empty
	Options   *Options // in place of the contest's: the same broker with less to do; nil: those
}

// LunaMQ is this program, with the folder of rules that is named, if any. Clients
// may have any number of subscriptions, as those of mosquitto.
func LunaMQ(program, scripts string, secure bool) Broker {
	text := "[storage]\npath = \"data\"\n[log]\nlevel = \"warn\"\n[limits]\nsubscriptions = \"unlimited\"\n[[listener]]\n"
	if secure {
		text += "url = \"tls://127.0.0.1:{port}\"\ncert = \"{cert}\"\nkey = \"{key}\"\n"
	} else {
		text += "url = \"tcp://127.0.0.1:{port}\"\n"
	}
	if scripts != "" {
		text += "[scripting]\ndir = " + strconv.Quote(scripts) + "\n"
	}
	return Broker{Name: "lunamq", Args: []string{program, "serve", "--config", "{dir}/config.toml"}, Files: map[string]string{"config.toml": text}}
}

// InMemory is that broker with nothing on disk.
func InMemory(b Broker) Broker {
	b.Name = "memory"
	b.Files = maps.Clone(b.Files)
	b.Files["config.toml"] = strings.Replace(b.Files["config.toml"], "[storage]\n", "[storage]\nkind = \"memory\"\n", 1)
	return b
}

// places are where servers stand that are not on every user's PATH.
var places = []string{"/usr/local/sbin", "/usr/sbin"}

// findProgram is the path of a program, empty where there is none.
func findProgram(name string) string {
	candidates := []string{name}
	for _, dir := range places {
		candidates = append(candidates, filepath.Join(dir, name))
	}
	for _, c := range candidates {
		if path, err := exec.LookPath(c); err == nil {
			return path
		}
	}
	return ""
}

// Mosquitto is Debian's, without the bounds that would have it drop messages or
// clients: with its default of 20 for max_inflight_messages it resets a client of
// 3.1.1, which cannot be told, that has more QoS 2 messages under way. 100 is
// what LunaMQ has by default.
func Mosquitto(secure bool) (Broker, error) {
	program := findProgram("mosquitto")
	if program == "" {
		return Broker{}, errors.New("mosquitto is not installed (Debian, Ubuntu: apt-get install mosquitto); or name other brokers: --with 'NAME=COMMAND with {port}'")
	}
	text := `listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 100
set_tcp_nodelay true
log_type error
log_type warning
`
	if secure {
		text += "certfile {cert}\nkeyfile {key}\n"
	}
	if os.Geteuid() == 0 {
		text += "user root\n" // else it could not read its folder
	}
	return Broker{Name: "mosquitto", Args: []string{program, "-c", "{dir}/mosquitto.conf"}, Files: map[string]string{"mosquitto.conf": text}}, nil
}

// Command is a broker by a command of the shell, "name=command with {port}".
func Command(s string) (Broker, error) {
	name, command, ok := strings.Cut(s, "=")
	if !ok || name == "" || !strings.Contains(command, "{port}") {
		return Broker{}, fmt.Errorf("--with %q: must be mosquitto, or NAME=COMMAND with {port} where the port belongs", s)
	}
	return Broker{Name: name, Args: []string{"sh", "-c", "exec " + command}}, nil
}

// started is a broker that runs.
type started struct {
	Broker
	dir    string
	port   int
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
}

const (
	startLimit = 30 * time.Second
	stopLimit  = 10 * time.Second
)

// start runs the broker until it listens.
func (b Broker) start(ctx context.Context, certs *certificates) (*started, error) {
	dir, err := os.MkdirTemp("", "lunamq-bench-"+filepath.Base(b.Name)+"-")
	if err != nil {
		return nil, err
	}
	s := &started{Broker: b, dir: dir, exited: make(chan struct{})}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	replace := strings.NewReplacer("{port}", strconv.Itoa(s.port), "{dir}", dir, "{cert}", certs.cert, "{key}", certs.key, "{ca}", certs.ca)
	for name, text := range b.Files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(replace.Replace(text)), 0o600); err != nil {
			return nil, err
		}
	}
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		return nil, err
	}
	args := make([]string, len(b.Args))
	for i, a := range b.Args {
		args[i] = replace.Replace(a)
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = dir, s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait() // how it ended is in its log
		close(s.exited)
	}()
	if err := s.waitListening(ctx); err != nil {
		s.stop()
		if ctx.Err() != nil {
			s.forget()
			return nil, ctx.Err()
		}
		return nil, s.failed(err)
	}
	return s, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *started) waitListening(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.exited:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not listen at port %d", s.port)
		case <-retry.C:
		}
	}
}

// stop ends the process, gently first.
func (s *started) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(stopLimit):
		s.cmd.Process.Kill()
		<-s.exited
	}
	s.log.Close()
}

// failed is an error of a broker, whose folder with its log stays.
func (s *started) failed(err error) error {
	return fmt.Errorf("%s: %w (its log is %s)", s.Name, err, filepath.Join(s.dir, "log"))
}

// forget removes the folder.
func (s *started) forget() { os.RemoveAll(s.dir) }
