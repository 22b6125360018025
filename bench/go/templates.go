// The peer of `bench templates`: Go's text/template on the same templates and data, the same line of figures.
//
//	templates FILE INSTANCES ROUNDS    parse ns, run ns, peak KiB, bytes, FNV-1a
package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"sort"
	"strconv"
	"strings"
	"text/template"
	"time"
)

type instance struct {
	ID, Name, Address, Status string
	Port, Weight              int
	Tags                      []string
	Meta                      map[string]string
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	check(err)
	count, _ := strconv.Atoi(os.Args[2])
	rounds, _ := strconv.Atoi(os.Args[3])
	instances := make([]*instance, count)
	for i := range instances {
		status, meta := "passing", map[string]string{"version": "1.2"}
		if i%10 == 0 {
			status = "critical"
		}
		if i%2 == 0 {
			meta["zone"] = "z" + strconv.Itoa(i%7)
		}
		address := fmt.Sprintf("10.0.%d.%d", i/250, i%250)
		instances[i] = &instance{fmt.Sprintf("www-%d", i), "www", address, status, 80 + i%100, i % 9, []string{"a", "primary", "eu-west"}, meta}
	}
	funcs := template.FuncMap{
		"service": func(string) []*instance { return instances },
		"join":    func(sep string, texts []string) string { return strings.Join(texts, sep) },
	}
	parsed := template.New("")
	parse := median(rounds, func() {
		parsed, err = template.New("").Funcs(funcs).Parse(string(text))
		check(err)
	})
	var out bytes.Buffer
	run := median(rounds, func() {
		out = bytes.Buffer{}
		check(parsed.Execute(&out, nil))
	})
	hash := fnv.New64a()
	hash.Write(out.Bytes())
	fmt.Println(parse.Nanoseconds(), run.Nanoseconds(), peak(), out.Len(), hash.Sum64())
}

func median(rounds int, work func()) time.Duration {
	times := make([]time.Duration, rounds)
	for i := range times {
		start := time.Now()
		work()
		times[i] = time.Since(start)
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times[rounds/2]
}

func peak() string {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	return strings.Fields(rest)[0]
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
