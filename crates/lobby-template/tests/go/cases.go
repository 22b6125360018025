// Go's own answers to templates, for comparing ours with them.
//
//	go run cases.go <cases >answers       one JSON object a line, answers in the same order
//	go run cases.go -array <f.json        the fixtures' form: an array, with the answers filled in
//
// The functions and data are those of tests/it/functions.rs: where one changes, so must the other.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"text/template"
)

type testCase struct {
	Template   string  `json:"template"`
	MissingKey string  `json:"missingkey"`
	Left       string  `json:"left"`
	Right      string  `json:"right"`
	Output     *string `json:"output"`
	Error      *string `json:"error"`
	Stage      *string `json:"stage"`
}

// S is an instance of a service.
type S struct {
	ID, Name, Address string
	Port              int
	Tags              []string
	ServiceMeta       map[string]string
}

// Named says itself what it prints, and has methods.
type Named struct{ Word string }

func (n *Named) String() string                                  { return "<" + n.Word + ">" }
func (n *Named) Fail() (interface{}, error)                      { return nil, errors.New("boom") }
func (n *Named) Join(a string, b ...string) (interface{}, error) { return strings.Join(b, a), nil }

type list = []interface{}
type dict = map[string]interface{}

var m = dict{
	"a": 1, "b": "x", "f": 2.0, "list": list{1, "two", 3.5}, "nil": nil, "t": true, "z": dict{"k": "v"},
}

var named = &Named{"n"}

// Values of every kind that there is, by name.
var values = dict{
	"nil": nil, "true": true, "false": false,
	"zero": 0, "three": 3, "minus": -3, "i8": int8(-128), "i16": int16(300), "i32": int32(-70000), "min": int64(math.MinInt64),
	"max": int64(math.MaxInt64), "rune": 0x1F600, "u8": uint8(200), "u0": uint(0), "u16": uint16(65535), "u32": uint32(3), "u64": uint64(math.MaxUint64),
	"f0": 0.0, "nf0": math.Copysign(0, -1), "f": 1.5, "nf": -2.25, "big": 1e21, "edge": 123456789.0, "small": 1e-7, "third": 1.0 / 3, "most": math.MaxFloat64,
	"least": math.SmallestNonzeroFloat64, "inf": math.Inf(1), "ninf": math.Inf(-1), "nan": math.NaN(),
	"c": complex(1.5, -2), "c0": complex(0, 0), "cbig": complex(-1e30, 1e-9), "cinf": complex(math.Inf(1), math.NaN()),
	"empty": "", "s": "abc", "utf8": "žluť 😀", "bad": "a\xff\xc3(z", "html": "<a href='x'>&\"\x00=`\u2028</a>", "ctl": "\a\b\f\n\r\t\v\\\x00\x7f\u00a0\u200b",
	"raw": "a`b", "digits": "007",
	"ints": []int{3, -1, 200}, "strings": []string{"a b", "<c>", "\xff"}, "floats": []float64{0.1, 2e10}, "bools": []bool{true, false},
	"list": list{1, "two", 3.5, nil, true, list{uint8(7)}, dict{"k": nil}}, "none": list{}, "nested": [][]string{{"a"}, {}},
	"m": m, "ms": map[string]string{"b": "2", "a": "1", "": "e"}, "mi": map[int]string{10: "x", 2: "y", -1: "z"}, "mb": map[bool]int{true: 1, false: 0},
	"mu": map[uint8]float64{7: 0.5, 3: 2}, "mm": map[string]map[string]int{"x": {"y": 1}}, "ml": map[string][]int{"x": {1, 2}}, "m0": dict{},
	"s0": &S{"www0", "www", "10.0.0.1", 80, []string{"a", "b"}, map[string]string{"k": "v"}}, "named": named, "nameds": list{named, "x"},
}

var funcs = template.FuncMap{
	"service": func(...string) ([]*S, error) {
		meta := map[string]string{"k": "v"}
		return []*S{{"www0", "www", "10.0.0.1", 80, []string{"a", "b"}, meta}, {"www1", "www", "10.0.0.2", 81, []string{"c"}, meta}}, nil
	},
	"m":     func() dict { return m },
	"ms":    func() map[string]string { return map[string]string{"a": "1", "b": "2"} },
	"mi":    func() map[int]string { return map[int]string{2: "y", 10: "x"} },
	"ints":  func() []int { return []int{3, 1, 2} },
	"empty": func() []int { return []int{} },
	"nilv":  func() interface{} { return nil },
	"fail":  func() (string, error) { return "", errors.New("boom") },
	"dict": func(pairs ...interface{}) dict {
		made := dict{}
		for i := 0; i+1 < len(pairs); i += 2 {
			made[pairs[i].(string)] = pairs[i+1]
		}
		return made
	},
	"set":     func(d dict, key string, value interface{}) dict { d[key] = value; return d },
	"unset":   func(d dict, key string) dict { delete(d, key); return d },
	"split":   func(sep, text string) []string { return strings.Split(text, sep) },
	"join":    func(sep string, texts []string) string { return strings.Join(texts, sep) },
	"toUpper": strings.ToUpper,
	"pick": func(name string) (interface{}, error) {
		value, ok := values[name]
		if !ok {
			return nil, fmt.Errorf("no value %q", name)
		}
		return value, nil
	},
	"asInt":    func(x int) int { return x },
	"asInt8":   func(x int8) int8 { return x },
	"asUint":   func(x uint) uint { return x },
	"asFloat":  func(x float64) float64 { return x },
	"asCplx":   func(x complex128) complex128 { return x },
	"asBool":   func(x bool) bool { return x },
	"asString": func(x string) string { return x },
	"asList":   func(x []string) []string { return x },
	"asMap":    func(x map[string]int) int { return len(x) },
	"named":    func() *Named { return named },
	"adder": func(n int) func(int, ...int8) (interface{}, error) {
		return func(x int, more ...int8) (interface{}, error) {
			for _, y := range more {
				x += int(y)
			}
			return n + x, nil
		}
	},
	"add": func(b, a interface{}) (interface{}, error) {
		x, y := integer(a), integer(b)
		if x == nil || y == nil {
			return nil, errors.New("add: unknown type")
		}
		return *x + *y, nil
	},
	"loop": func(first int, more ...int) (<-chan int64, error) {
		start, end := 0, first
		switch len(more) {
		case 0:
		case 1:
			start, end = first, more[0]
		default:
			return nil, errors.New("loop: wrong number of arguments, expected 1 or 2")
		}
		numbers := make(chan int64)
		go func() {
			for i := start; i < end; i++ {
				numbers <- int64(i)
			}
			close(numbers)
		}()
		return numbers, nil
	},
}

func integer(value interface{}) *int64 {
	number := reflect.ValueOf(value)
	if !number.IsValid() || !number.CanInt() {
		return nil
	}
	wide := number.Int()
	return &wide
}

// answer runs the case and fills in what came out. A panic that Go does not turn into an error has a stage of its own.
func (c *testCase) answer() {
	c.Output, c.Error, c.Stage = nil, nil, nil
	stage := "parse"
	failed := func(message string) { c.Error, c.Stage = &message, &stage }
	defer func() {
		if r := recover(); r != nil {
			stage = "panic"
			failed(fmt.Sprint(r))
		}
	}()
	parsed, err := template.New("").Option("missingkey="+c.MissingKey).Delims(c.Left, c.Right).Funcs(funcs).Parse(c.Template)
	if err != nil {
		failed(err.Error())
		return
	}
	stage = "exec"
	var out bytes.Buffer
	if err := parsed.Execute(&out, nil); err != nil {
		failed(err.Error())
		return
	}
	text := out.String()
	c.Output, c.Stage = &text, nil
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	decoder := json.NewDecoder(bufio.NewReader(os.Stdin))
	if len(os.Args) > 1 && os.Args[1] == "-array" {
		var cases []testCase
		check(decoder.Decode(&cases))
		for i := range cases {
			cases[i].answer()
		}
		encoder.SetIndent("", " ")
		check(encoder.Encode(cases))
		return
	}
	for decoder.More() {
		var c testCase
		check(decoder.Decode(&c))
		c.answer()
		check(encoder.Encode(c))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
