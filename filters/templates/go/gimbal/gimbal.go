// Package gimbal is what a filter in Go may ask of its host, and how it begins.
//
// A filter says in an init function what it is; main is never called:
//
//	func init() {
//		gimbal.OnInit(configure)
//		requests.Handle(decide)
//	}
//
//	func main() {}
//
// The packages requests, responses and connections are apart because importing one is what makes the host call it. What
// the functions promise is written in the contract (`gimbal wit`); names are the same, spelled as in Go.
//
// Everything runs on one thread, one call at a time. What a call prints, and how it panics, goes to Gimbal's log.
package gimbal

import (
	"gimbal/internal/abi"
	"structs"
	"unsafe"
)

// Request codes that filters often name. Sends are Sends.
const (
	Pull      = 11
	Heartbeat = 34
	Route     = 105
	Pop       = 200050
)

// Response codes that fit refusals.
const (
	Success        = 0
	SystemError    = 1
	MessageIllegal = 13
	NoPermission   = 16
	TopicNotExist  = 17
	FlowControl    = 215
)

// Sends are the request codes of sends: plain, second version, batch, reply, second version.
var Sends = []int32{10, 310, 320, 324, 325}

// Pulls are the request codes whose answers bring messages: pull, lite pull, pop.
var Pulls = []int32{Pull, 361, Pop}

// Phase is on which of its two ways a command is shown.
type Phase uint8

const (
	// Request alone.
	Request Phase = iota
	// Response alone.
	Response
	// Both ways.
	Both
)

// Interest is a kind of command that a filter wants to see; what is empty means any.
type Interest struct {
	// Request codes.
	Codes []int32
	Phase Phase
	// Patterns of topics: `*` for any text, `?` for one character.
	Topics []string
	// Patterns of groups.
	Groups []string
	// Whether bodies or messages are read or changed: without it they are refused.
	NeedsBody bool
}

// Pair is a name and its value.
type Pair struct{ Name, Value string }

// Verdict is what a filter decides. Its zero value is Forward.
type Verdict struct {
	tag    uint8
	code   int32
	remark string
	fields []Pair
	body   []byte
	millis uint32
}

// Forward lets the command go on, with what was changed.
func Forward() Verdict { return Verdict{} }

// Answer ends the command here; the client gets this response.
func Answer(code int32, remark string) Verdict { return Verdict{tag: 1, code: code, remark: remark} }

// With gives an answer ext fields and a body.
func (v Verdict) With(fields []Pair, body []byte) Verdict {
	v.fields, v.body = fields, body
	return v
}

// Delay holds the command for so many milliseconds.
func Delay(millis uint32) Verdict { return Verdict{tag: 2, millis: millis} }

// Drop forgets a one-way command.
func Drop() Verdict { return Verdict{tag: 3} }

// Close ends the client's connection; the text goes to the log.
func Close(why string) Verdict { return Verdict{tag: 4, remark: why} }

// A verdict as it lies in memory; of an answer all of it.
type verdict struct {
	_            structs.HostLayout
	tag          uint8
	_            [3]uint8
	first        uint32
	hasRemark    uint32
	remark       abi.Text
	fields, body abi.Text
}

var (
	decided verdict
	// What the host is about to read, kept from the collector.
	kept struct {
		verdict Verdict
		pairs   []abi.Pair
		list    []interest
		text    string
		topics  [][]abi.Text
	}
)

// Lower puts a verdict where the host reads it; for the packages beside this one.
func Lower(v Verdict) unsafe.Pointer {
	kept.verdict, kept.pairs = v, nil
	decided = verdict{tag: v.tag}
	switch v.tag {
	case 1:
		kept.pairs = pairs(v.fields)
		decided.first = uint32(v.code)
		if v.remark != "" {
			decided.hasRemark, decided.remark = 1, abi.TextOf(v.remark)
		}
		decided.fields, decided.body = abi.ListOf(kept.pairs), abi.BytesOf(v.body)
	case 2:
		decided.first = v.millis
	case 4:
		why := abi.TextOf(v.remark)
		decided.first, decided.hasRemark = uint32(why.At), why.Len
	}
	return unsafe.Pointer(&decided)
}

func pairs(list []Pair) []abi.Pair {
	out := make([]abi.Pair, len(list))
	for i, pair := range list {
		out[i] = abi.Pair{Name: abi.TextOf(pair.Name), Value: abi.TextOf(pair.Value)}
	}
	return out
}

func copied(list abi.Text) []Pair {
	raw := abi.Slice[abi.Pair](list)
	out := make([]Pair, len(raw))
	for i, pair := range raw {
		out[i] = Pair{pair.Name.String(), pair.Value.String()}
	}
	return out
}

var configure func(config string) ([]Interest, error)

// OnInit says what is called first, once per instance: it gets the configuration as JSON (`{}` without one) and returns
// what the filter wants to see. An error is the operator's to read, and the filter is not loaded.
func OnInit(function func(config string) ([]Interest, error)) { configure = function }

type interest struct {
	_              structs.HostLayout
	codes          abi.Text
	phase          uint8
	_              [3]uint8
	topics, groups abi.Text
	needsBody      bool
	_              [3]uint8
}

var begun struct {
	_    structs.HostLayout
	tag  uint8
	_    [3]uint8
	list abi.Text
}

//go:wasmexport gimbal:filter/lifecycle@0.1.0#init
func begin(at, length uint32) unsafe.Pointer {
	config := abi.Text{At: abi.Address(at), Len: length}.String()
	var wanted []Interest
	err := error(nil)
	if configure == nil {
		kept.text = "the filter has no gimbal.OnInit"
		begun.tag, begun.list = 1, abi.TextOf(kept.text)
		return unsafe.Pointer(&begun)
	}
	if wanted, err = configure(config); err != nil {
		kept.text = err.Error()
		begun.tag, begun.list = 1, abi.TextOf(kept.text)
		return unsafe.Pointer(&begun)
	}
	kept.list = make([]interest, len(wanted))
	for i, want := range wanted {
		// The copy on the heap is what `kept` must hold: numbers and names outlive this function there.
		topics, groups := texts(want.Topics), texts(want.Groups)
		kept.list[i] = interest{
			codes: abi.ListOf(want.Codes), phase: uint8(want.Phase), topics: topics, groups: groups, needsBody: want.NeedsBody,
		}
	}
	interests = wanted
	begun.tag, begun.list = 0, abi.ListOf(kept.list)
	return unsafe.Pointer(&begun)
}

// Keeps the interests' own memory.
var interests []Interest

func texts(list []string) abi.Text {
	out := make([]abi.Text, len(list))
	for i, text := range list {
		out[i] = abi.TextOf(text)
	}
	kept.topics = append(kept.topics, out)
	return abi.ListOf(out)
}
