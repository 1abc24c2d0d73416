// The Go client program of the suite: runs scenarios against a name server or proxy, several at once, one JSON line each.
//
//	main -n HOST:PORT -p PREFIX [-j 4] [-seconds 20] SCENARIO...
//
// go.mod names the released client, newest.mod the newest commit. Topics are PREFIX_SCENARIO and exist already.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var (
	server   = flag.String("n", "127.0.0.1:9876", "name server or proxy")
	prefix   = flag.String("p", "T", "beginning of topic names")
	parallel = flag.Int("j", 4, "scenarios at a time")
	seconds  = flag.Int("seconds", 20, "how long to send in stream")
	secure   = flag.Bool("tls", false, "speak TLS; the newest client alone can")
	wait     = flag.Int("wait", 60, "seconds to wait for the last message")
)

var scenarios = map[string]func(*run){
	"sync":      func(r *run) { r.roundTrip("sync") },
	"async":     func(r *run) { r.roundTrip("async") },
	"oneway":    func(r *run) { r.roundTrip("oneway") },
	"batch":     func(r *run) { r.roundTrip("batch") },
	"delay":     func(r *run) { r.roundTrip("delay") },
	"big":       (*run).big,
	"order":     (*run).order,
	"broadcast": (*run).broadcast,
	"tags":      (*run).tags,
	"pull":      (*run).pull,
	"retry":     (*run).retry,
	"dlq":       (*run).deadLetters,
	"tx":        (*run).transactions,
	"members":   (*run).members,
	"request":   (*run).request,
	"stream":    (*run).stream,
}

var output sync.Mutex

func say(line string) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(line)
}

// failed ends a scenario early; one recovers from it.
type failed struct{ why string }

func one(name string) {
	r := newRun(name)
	begin := time.Now()
	func() {
		defer func() {
			if e := recover(); e != nil {
				if f, ours := e.(failed); ours {
					r.fail(f.why)
				} else {
					r.fail(fmt.Sprint("panic: ", e))
				}
			}
		}()
		scenarios[name](r)
	}()
	r.close()
	r.note("ms", time.Since(begin).Milliseconds())
	r.mu.Lock()
	defer r.mu.Unlock()
	line, _ := json.Marshal(r.out)
	// The suite looks for lines that begin with the scenario.
	say(fmt.Sprintf(`{"scenario":%q,%s`, name, line[1:]))
}

func main() {
	flag.Parse()
	rlog.SetLogLevel("warn")
	var all sync.WaitGroup
	slots := make(chan struct{}, *parallel)
	for _, name := range flag.Args() {
		slots <- struct{}{}
		all.Add(1)
		go func() {
			defer func() { <-slots; all.Done() }()
			one(name)
		}()
	}
	all.Wait()
	os.Exit(0)
}
