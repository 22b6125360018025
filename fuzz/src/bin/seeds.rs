//! Writes the seeds in `corpus/`: a few valid inputs for each target, from which libFuzzer starts.
//!
//! Gossip's are recorded from a conversation between the engine of the targets and a real second one. Run it after the
//! wire forms have changed: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`.

use std::{collections::VecDeque, fs, io, path::Path, sync::Arc};

use lobby_core::{
    check::view::CheckView,
    id::{ExchangeId, Generation, NodeId},
    instance::Instance,
    label::Label,
    record::Record,
    time::{Moment, WallSecond},
    wire::{
        binary,
        packet::{self, Ask, Message},
    },
};
use lobby_exchange::seal::{Place, Sealer};
use lobby_fuzz::{ADDR, Frame, Play, SEED, TICK, engine, exchange_keys, keyring, local, push_step};
use lobby_gossip::{Engine, Input, Output, PREAMBLE_BYTES};

const LABEL_FILE: &str = "service:smtp\r\n\n  public_ip6:2a03::1\nž\nwith blank inside\na\tb\n";
const LABEL_LIST: &str = "service:ns,ns:primary,public_ip4:1,2,3,4,public_ip6:2a03::1,location:prague";
const QUERIES: &[&str] =
    &["labels=service:smtp,x", "prefixes=prometheus%3A,public_", "labels=&prefixes=%C5%BE", "label=a+b%20c&&a=1&a=2"];
const DEFINITIONS: &[&str] = &[
    r#"{"Name":"web","ID":"web-1","Tags":["a"],"Address":"10.0.0.7","Port":80,"Meta":{"k":"v"},"Weights":{"Passing":2},"Check":{"TTL":"10s","Status":"passing"},"Checks":[{"HTTP":"https://a/","Interval":"1m30s","Header":{"X":["y"]},"tls_skip_verify":true,"DeregisterCriticalServiceAfter":"90m"}]}"#,
    r#"{"name":"web","enable_tag_override":true,"tagged_addresses":{"lan":{"address":"a","port":1}},"proxy":{"local_service_port":1,"config":{}},"connect":{"sidecar_service":{"port":2}},"checks":[{"args":["true"],"interval":1000000000},{"alias_service":"x"},{"pid":"self"},{"Hold":true},{"grpc":"a:1/b","grpc_use_tls":true,"interval":"1s"}]}"#,
    r#"{"Name":"disk","ServiceID":"web","docker_container_id":"c","script_args":["a"],"Interval":"2s","failures_before_critical":3,"output_max_size":9}"#,
    r#"{"Node":"n","ID":"6c1e0f0a-5d0e-4a8e-9b7d-0a5c3f1e2d44","Address":"a","NodeMeta":{"k":"v"},"TaggedAddresses":{"lan":"b"},"Service":{"Service":"s","Port":1},"Check":{"Name":"C","ServiceID":"s","Definition":{"IntervalDuration":"1s"}}}"#,
];
const EXPRESSIONS: &[&str] = &[
    r#"Name == "a" and not (b in Tags or Meta["a.b"] matches `^a$`) or Checks.Status != passing"#,
    "Port != 80 and Native == true and Tags is not empty and Meta.a is empty",
    r#"label=zone:eu and (service=web or not status=critical) and label^="a b" or label:zone and tag!=v2"#,
];
const RENDER_CONFIGS: &[&str] = &[
    "consul = \"a:1\"\nwait { min = \"5s\" max = 10000000000 }\ntemplate {\n  contents = <<-EOF\n    {{ key \"a\" }} ${b}\n    EOF\n  destination = \"\\u00e9\\x41\"\n  perms = 0600 # why\n}\n",
    "{\"template\": [{\"source\": \"a\", \"destination\": \"{{.Name}}\", \"for_each\": {\"node\": \"x\"}, \"command\": [\"a\", \"b\"]}], \"token\": null}",
    "exec \"x\" y { command = \"${a \"b\"}\" splay = 1.5e3, env { custom = [\"A=1\", <<B\nc\nB\n,] } } /* end */ // !",
    "rate = 5\n[consul.retry]\nattempts = 0\n[[template]]\nsource = 'a'\ndestination = 'b'\nperms = 0o600\n",
];
/// Names in the domains that are answered, and the types they are asked for.
const QUESTIONS: &[(&str, u16)] = &[
    ("web.service.consul", 1),
    ("t.1.Web.SERVICE.lobby", 33),
    ("_web._t.service.dc1.consul", 33),
    ("fuzz-1.node.lobby", 16),
    ("0a000001.addr.consul", 1),
    ("service.smtp.label.lobby", 28),
    ("web.3.web.instance.lobby", 255),
    ("1.0.0.10.in-addr.arpa", 12),
    ("consul", 6),
    ("lobby", 2),
    ("no.service.consul.dc1.dc", 1),
];
const PROMETHEUS: &[&str] = &[
    "node\nprometheus:node\nservice:smtp",
    "node\nprometheus:node:host:10.0.0.1\nprometheus:node:host:2a03::1\nprometheus:node:port:9101\nprometheus:node:k-1:v:w",
    "x\nprometheus:x:port:-\nprometheus:x:host:[2a03::1]:80\nprometheus:x:host:a/b",
];
const TEMPLATES: &[&str] = &[
    "a {{- /* { */ -}} { {{- /**/}}{{$x := index .A.B \"k\\x41\" | print 'c' `r` (len $).C}}{{$x = nil}}{{template \"n\" $x.D}}\n",
    "{{range $i, $e := f 3 -1.5e3 0x1p-2 1+2i 0b1_0 07}}{{if true}}{{break}}{{else if false}}{{.if}}{{else}}b{{end}}{{else}}c{{end}}",
    "{{define \"n\"}}{{with . -}} {{.}} {{- else with f}}{{end}}{{end}}{{block \"m\" .}}{{range .}}{{continue}}{{end}}{{end}}",
    "<<1 | print>> {{ [.-] [if .A- b [end -]",
];
/// Templates that run, and their data behind a zero.
const RUNS: &[&str] = &[
    "{{range $k, $v := .}}{{$k}}={{printf \"%#v|%+q|%x|% d|%08.3f|%U|%T\" $v $v $v $v $v $v $v}}{{else}}none{{end}}\0\u{48}\x02\0\0\0\0\0\0\x01\0\x06\x03abc\x04?\0\0\0\0\0\0\0\x39",
    "{{define \"T\"}}{{if gt . 0}}{{run \"T\" (len (slice \"abc\" .))}}{{end}}{{end}}{{template \"T\" 2}}{{$x := 1}}{{range count 99}}{{$x = wrap $x $x}}{{end}}{{index $x 0 1}}",
    "{{with .a}}{{index . 0 | print | html | js | urlquery}}{{else}}{{eq .b 1 2.5 \"c\" nil | not | or false}}{{le 1 -1}}{{end}}\0\u{18}\x27\x06\x01<",
    "{{range count 3}}{{if .}}{{continue}}{{end}}{{break}}{{end}}{{printf \"%[2]*[1]d %.*f%%\" 1 9 3 1e300 | call .}}{{block \"b\" $.x.y}}{{.}}{{end}}",
];
const BARE: &[&str] = &[
    r#"{"discovery":{"hostname":"smtp.example.com","labels":["service:smtp","a\tb"],"last_check":1630612478},"message":"hi"}"#,
    r#"{"discovery":{"hostname":"a","labels":null,"last_check":0},"message":"goodbye","new":1}"#,
];

fn main() -> io::Result<()> {
    let versions = versions();
    packets(&versions)?;
    seals(&versions)?;
    service_packet()?;
    records(&versions)?;
    write("label_file", "file", LABEL_FILE)?;
    write("label_file", "list", LABEL_LIST)?;
    for (idx, text) in QUERIES.iter().enumerate() {
        write("query", &idx.to_string(), text)?;
    }
    for (idx, text) in DEFINITIONS.iter().enumerate() {
        write("definition", &idx.to_string(), text)?;
    }
    for (idx, text) in EXPRESSIONS.iter().enumerate() {
        write("expr", &idx.to_string(), text)?;
    }
    for (idx, (name, kind)) in QUESTIONS.iter().enumerate() {
        let mut bytes = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(idx % 2 == 0)];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).expect("labels are short"));
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        if idx % 2 == 0 {
            bytes.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
        }
        write("dns", &idx.to_string(), bytes)?;
    }
    for (idx, text) in PROMETHEUS.iter().enumerate() {
        write("prometheus_labels", &idx.to_string(), text)?;
    }
    for (idx, text) in TEMPLATES.iter().enumerate() {
        write("template_parse", &idx.to_string(), text)?;
    }
    for (idx, text) in RENDER_CONFIGS.iter().enumerate() {
        write("render_config", &idx.to_string(), text)?;
    }
    for (idx, run) in RUNS.iter().enumerate() {
        write("template_run", &idx.to_string(), run)?;
    }
    gossip()
}

/// Three versions of one record, with tombstones in the later ones.
fn versions() -> Vec<Arc<Record>> {
    let mut local = local(2);
    local.set_meta("addresses", "192.0.2.1,2a03::1");
    let mut versions = vec![local.record().clone()];
    for labels in ["service:smtp,new", "other"] {
        local.set_labels(Label::split_list(labels).filter_map(Result::ok));
        versions.extend(local.commit(Moment::ZERO));
    }
    versions
}

fn packets(versions: &[Arc<Record>]) -> io::Result<()> {
    let newest = &versions[versions.len() - 1];
    write("packet", "hi", packet::encode(newest, Message::Hi, "lobby", WallSecond(5)))?;
    for (idx, text) in BARE.iter().enumerate() {
        write("packet", &format!("bare-{idx}"), text)?;
    }
    let bare = packet::decode(BARE[0].as_bytes(), ExchangeId(0)).expect("a packet").record;
    let answer = packet::encode_answer([(&**newest, 17), (&*bare, 2000)], "lobby", WallSecond(5), 4096);
    write("packet", "answer", &answer[0])?;
    let ask = Ask { asker: NodeId::from_bytes([3; 16]), cluster: "lobby".into(), taken: true };
    write("packet", "ask", packet::encode_ask(&ask))
}

/// A packet before and after it is sealed, one that names others, and one to another place.
fn seals(versions: &[Arc<Record>]) -> io::Result<()> {
    let mut sealer = Sealer::new("fuzz", NodeId::from_bytes([3; 16]), Generation(9), &exchange_keys());
    let hi = packet::encode(&versions[0], Message::Hi, "lobby", WallSecond(5));
    write("seal", "plain", &hi)?;
    write("seal", "first", sealer.seal(Place::Packets, None, hi.clone()))?;
    write("seal", "answering", sealer.seal(Place::Packets, Some(7), hi.clone()))?;
    write("seal", "asks", sealer.seal(Place::Asks, None, hi))
}

/// A packet with an instance and a check.
fn service_packet() -> io::Result<()> {
    let mut local = local(2);
    let instance = Instance::new("web-1".parse().expect("an id"), "web".parse().expect("an id"));
    let instance = Instance { port: 80, tags: ["a".into()].into(), ..instance };
    let check = CheckView::new("service:web-1".parse().expect("an id"), "C", Some(instance.id.clone()));
    local.set_instance(&instance).expect("there is room");
    local.set_check(&check).expect("there is room");
    let record = local.commit(Moment::ZERO).expect("something changed");
    write("packet", "services", packet::encode(&record, Message::Hi, "lobby", WallSecond(5)))
}

fn records(versions: &[Arc<Record>]) -> io::Result<()> {
    for (idx, record) in versions.iter().enumerate() {
        let mut seed = vec![0, 0];
        binary::encode_record(record, &mut seed);
        let length = u16::try_from(seed.len() - 2).expect("seeds are short");
        seed[..2].copy_from_slice(&length.to_le_bytes());
        if let Some(delta) = versions[versions.len() - 1].delta_since(record.stamp.version) {
            binary::encode_delta(&delta, &mut seed);
        }
        write("record", &format!("version-{idx}"), seed)?;
    }
    Ok(())
}

/// Lets a second engine find the one of the targets, change its labels and leave; records all that it sends.
fn gossip() -> io::Result<()> {
    let stats = Arc::default();
    let mut talk =
        Talk { play: Play::new(), other: engine(2, SEED, &keyring(), &stats), datagrams: Vec::new(), frames: Vec::new() };
    let mut idle = [0_u8; 2];
    for tick in 1_u32..200 {
        let now = Moment::ZERO + TICK * tick;
        idle = idle.map(|ticks| ticks + 1);
        if tick == 150 {
            talk.other.handle(Input::Leave, now);
        }
        talk.other.handle_deadline(now);
        let outputs = talk.play.wait(1);
        talk.carry(outputs, &mut idle, now);
        let most = 60;
        if idle[0] >= most {
            push_step(&mut talk.datagrams, idle[0] * 2, b"");
            idle[0] = 0;
        }
        if idle[1] >= most {
            push_step(&mut talk.frames, idle[1] * 4 + 1, b"");
            idle[1] = 0;
        }
    }
    write("gossip_datagram", "conversation", &talk.datagrams)?;
    write("stream_frame", "conversation", &talk.frames)
}

/// The engine of the targets, the other one, and what the other has said so far.
struct Talk {
    play: Play,
    other: Engine,
    datagrams: Vec<u8>,
    frames: Vec<u8>,
}

impl Talk {
    /// Carries everything that either wants sent, until both are silent. `idle` counts ticks since the last step.
    fn carry(&mut self, outputs: Vec<Output>, idle: &mut [u8; 2], now: Moment) {
        let mut to_other: VecDeque<_> = outputs.into();
        // Both sides' streams; at most one of each is open at a time.
        let (mut theirs, mut ours) = (None, None);
        loop {
            while let Some(output) = to_other.pop_front() {
                match output {
                    Output::Datagram(_, bytes) => self.other.handle(Input::Datagram(ADDR, &bytes), now),
                    Output::Open(..) => ours = self.other.accept(),
                    Output::Frame(_, bytes) => {
                        if let Some(stream) = ours.or(theirs) {
                            self.other.handle(Input::Frame(stream, &bytes), now);
                        }
                    }
                    _ => {}
                }
            }
            let Some(output) = self.other.poll_output() else { return };
            to_other.extend(match output {
                Output::Datagram(_, bytes) => {
                    push_step(&mut self.datagrams, std::mem::take(&mut idle[0]) * 2, &bytes[PREAMBLE_BYTES..]);
                    self.play.raw_datagram(&bytes)
                }
                Output::Open(stream, _) => {
                    theirs = Some(stream);
                    self.other.handle(Input::Opened(stream), now);
                    Vec::new()
                }
                Output::Resolve => {
                    self.other.handle(Input::Seeds { addrs: vec![ADDR], all_resolved: true }, now);
                    Vec::new()
                }
                Output::Frame(stream, bytes) => {
                    let on = match theirs {
                        Some(opened) if opened == stream && bytes[0] == HELLO => Frame::New,
                        Some(opened) if opened == stream => Frame::Theirs,
                        _ => Frame::Ours,
                    };
                    push_step(&mut self.frames, std::mem::take(&mut idle[1]) * 4 + on as u8, &bytes);
                    self.play.frame(on, &bytes)
                }
                _ => Vec::new(),
            });
        }
    }
}

/// The first byte of the frame that begins an exchange.
const HELLO: u8 = 1;

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
